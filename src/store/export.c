/* Writers of fields and quads for other programs (see export.h). */
#include "store/export.h"

#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Half of a drawn cross's arm in units of the square root of the triangle's area: crosses of neighbours do not touch. */
static const double ARM = 0.35;

static const char *const endings[QL_EXPORT_FORMAT_COUNT] = {"txt", "rosy", "obj", "ply", "off", "vtkhdf"};

const char *ql_export_ending(ql_export_format format) { return endings[format]; }

ql_status ql_export_check(ql_export_what what, ql_export_format format)
{
    static const struct {
        const char *name;
        unsigned formats;
    } allowed[] = {{"field", 1u << QL_EXPORT_TXT | 1u << QL_EXPORT_ROSY | 1u << QL_EXPORT_OBJ | 1u << QL_EXPORT_VTKHDF},
                   {"quads", 1u << QL_EXPORT_OBJ | 1u << QL_EXPORT_PLY},
                   {"mesh", 1u << QL_EXPORT_OBJ | 1u << QL_EXPORT_PLY | 1u << QL_EXPORT_OFF}};
    char list[64] = "";
    if ((allowed[what].formats >> format & 1) != 0) return QL_OK;
    for (int k = 0; k < QL_EXPORT_FORMAT_COUNT; ++k)
        if ((allowed[what].formats >> k & 1) != 0)
            (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] != '\0' ? ", " : "",
                           endings[k]);
    return QL_FAIL(USAGE, "%s cannot be written as %s; there are %s", allowed[what].name, endings[format], list);
}

/* ---- text put together in memory ---- */

typedef struct text_file {
    FILE *out;
    char *text;
    size_t size;
} text_file;

static ql_status text_begin(text_file *file)
{
    *file = (text_file){0};
    file->out = open_memstream(&file->text, &file->size);
    return file->out != NULL ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for a file");
}

static ql_status text_end(text_file *file, const char *path)
{
    bool failed = ferror(file->out) != 0;
    failed = fclose(file->out) != 0 || failed;
    ql_status status =
        failed ? QL_FAIL(NO_MEMORY, "%s: no memory for it", path) : ql_file_write_whole(path, file->text, file->size);
    free(file->text);
    return status;
}

/* ---- fields ---- */

static void put_txt(FILE *out, const ql_train_result *train)
{
    for (int64_t f = 0; f < train->face_count; ++f) {
        const float *a = train->alpha + 3 * f, *b = train->beta + 3 * f;
        (void)fprintf(out, "%.9g %.9g %.9g %.9g %.9g %.9g\n", (double)a[0], (double)a[1], (double)a[2], (double)b[0],
                      (double)b[1], (double)b[2]);
    }
}

static void put_rosy(FILE *out, const ql_train_result *train)
{
    (void)fprintf(out, "%d\n4\n", train->face_count);
    for (int64_t f = 0; f < train->face_count; ++f) {
        const float *a = train->alpha + 3 * f;
        (void)fprintf(out, "%.9g %.9g %.9g\n", (double)a[0], (double)a[1], (double)a[2]);
    }
}

/* Centre of a face and the root of its area. */
static double measure_face(const ql_mesh *mesh, int64_t f, double centre[3])
{
    const double *p[3];
    double e[3], g[3];
    for (int k = 0; k < 3; ++k) p[k] = mesh->vertices + 3 * (size_t)mesh->faces[3 * f + k];
    for (int c = 0; c < 3; ++c) {
        centre[c] = (p[0][c] + p[1][c] + p[2][c]) / 3;
        e[c] = p[1][c] - p[0][c];
        g[c] = p[2][c] - p[0][c];
    }
    double x = e[1] * g[2] - e[2] * g[1], y = e[2] * g[0] - e[0] * g[2], z = e[0] * g[1] - e[1] * g[0];
    return sqrt(0.5 * sqrt(x * x + y * y + z * z));
}

static void put_arm(FILE *out, const double centre[3], const float *direction, double length)
{
    for (int sign = -1; sign <= 1; sign += 2)
        (void)fprintf(out, "v %.9g %.9g %.9g\n", centre[0] + sign * length * (double)direction[0],
                      centre[1] + sign * length * (double)direction[1],
                      centre[2] + sign * length * (double)direction[2]);
}

static void put_cross_lines(FILE *out, const ql_mesh *mesh, const ql_train_result *train)
{
    (void)fprintf(out, "# %d triangles, then two lines per triangle: the directions of its cross\no mesh\n",
                  mesh->face_count);
    for (int64_t v = 0; v < mesh->vertex_count; ++v)
        (void)fprintf(out, "v %.17g %.17g %.17g\n", mesh->vertices[3 * v], mesh->vertices[3 * v + 1],
                      mesh->vertices[3 * v + 2]);
    for (int64_t f = 0; f < mesh->face_count; ++f)
        (void)fprintf(out, "f %d %d %d\n", mesh->faces[3 * f] + 1, mesh->faces[3 * f + 1] + 1,
                      mesh->faces[3 * f + 2] + 1);
    (void)fputs("o crosses\n", out);
    for (int64_t f = 0; f < mesh->face_count; ++f) {
        double centre[3], length = ARM * measure_face(mesh, f, centre);
        put_arm(out, centre, train->alpha + 3 * f, length);
        put_arm(out, centre, train->beta + 3 * f, length);
    }
    int64_t first = (int64_t)mesh->vertex_count + 1;
    for (int64_t k = 0; k < 2 * (int64_t)mesh->face_count; ++k)
        (void)fprintf(out, "l %lld %lld\n", (long long)(first + 2 * k), (long long)(first + 2 * k + 1));
}

static ql_status export_field(const char *path, const ql_result *result, ql_export_format format)
{
    text_file file;
    QL_TRY(text_begin(&file));
    if (format == QL_EXPORT_TXT)
        put_txt(file.out, &result->train);
    else if (format == QL_EXPORT_ROSY)
        put_rosy(file.out, &result->train);
    else
        put_cross_lines(file.out, &result->mesh, &result->train);
    return text_end(&file, path);
}

/* ---- quads ---- */

static void put_quads_obj(FILE *out, const ql_quad_result *quads)
{
    for (int64_t v = 0; v < quads->vertex_count; ++v)
        (void)fprintf(out, "v %.17g %.17g %.17g\n", quads->vertices[3 * v], quads->vertices[3 * v + 1],
                      quads->vertices[3 * v + 2]);
    for (int64_t f = 0; f < quads->face_count; ++f) {
        const int32_t *q = quads->faces + 4 * f;
        (void)fprintf(out, "f %d %d %d %d\n", q[0] + 1, q[1] + 1, q[2] + 1, q[3] + 1);
    }
}

/* The least significant byte first, on any machine. */
static void put_little(FILE *out, uint64_t word, int size)
{
    for (int k = 0; k < size; ++k) (void)fputc((int)(word >> (8 * k) & 0xff), out);
}

static void put_quads_ply(FILE *out, const ql_quad_result *quads)
{
    (void)fprintf(out,
                  "ply\nformat binary_little_endian 1.0\ncomment quad mesh by quadloom\n"
                  "element vertex %d\nproperty double x\nproperty double y\nproperty double z\n"
                  "element face %d\nproperty list uchar int vertex_indices\nend_header\n",
                  quads->vertex_count, quads->face_count);
    for (int64_t k = 0; k < 3 * (int64_t)quads->vertex_count; ++k) {
        uint64_t word;
        memcpy(&word, &quads->vertices[k], sizeof word);
        put_little(out, word, 8);
    }
    for (int64_t k = 0; k < 4 * (int64_t)quads->face_count; ++k) {
        if (k % 4 == 0) (void)fputc(4, out);
        put_little(out, (uint32_t)quads->faces[k], 4);
    }
}

ql_status ql_export_quads(const char *path, const ql_quad_result *quads, ql_export_format format)
{
    text_file file;
    QL_TRY(text_begin(&file));
    if (format == QL_EXPORT_PLY)
        put_quads_ply(file.out, quads);
    else
        put_quads_obj(file.out, quads);
    return text_end(&file, path);
}

/* ---- a result ---- */

static ql_status export_part(const char *path, const ql_result *result, ql_export_what what, ql_export_format format,
                             bool *missing)
{
    if (what == QL_EXPORT_MESH) return ql_mesh_write(&result->mesh, path);
    if (what == QL_EXPORT_QUADS) {
        *missing = result->quads.face_count == 0;
        return *missing ? QL_OK : ql_export_quads(path, &result->quads, format);
    }
    *missing = result->train.alpha == NULL || result->train.beta == NULL;
    return *missing ? QL_OK : export_field(path, result, format);
}

ql_status ql_export_result(const char *path, const char *result_path, ql_export_what what, ql_export_format format,
                           bool *missing)
{
    static const unsigned parts[] = {[QL_EXPORT_FIELD] = QL_RESULT_MESH | QL_RESULT_FIELD,
                                     [QL_EXPORT_QUADS] = QL_RESULT_QUADS,
                                     [QL_EXPORT_MESH] = QL_RESULT_MESH};
    ql_result *result;
    *missing = false;
    QL_TRY(ql_export_check(what, format));
    if (format == QL_EXPORT_VTKHDF) return ql_result_export_vtkhdf(result_path, path);
    QL_TRY(QL_TAKE(result, 1));
    ql_status status = ql_result_read(result, result_path, parts[what]);
    if (status == QL_OK) {
        status = export_part(path, result, what, format, missing);
        ql_result_destroy(result);
    }
    ql_free(result);
    return status;
}
