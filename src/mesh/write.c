/* Writers: OBJ and OFF as text with 17 digits (a double survives), PLY binary little endian with doubles. */
#include "base/file.h"
#include "base/memory.h"
#include "mesh/mesh.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A file being put together in memory, sized before. */
typedef struct text_buffer {
    char *text;
    size_t used, size;
} text_buffer;

enum { HEADER_BYTES = 512, VERTEX_BYTES = 80, FACE_BYTES = 48 };

/* Shortest of 15 to 17 digits that gives the number back; the decimal point is one in every locale. */
static int put_real(char *out, size_t size, double value)
{
    int length = 0;
    for (int digits = 15; digits <= 17; ++digits) {
        length = snprintf(out, size, "%.*g", digits, value);
        double back;
        if (digits < 17 && (sscanf(out, "%lf", &back) != 1 || back != value)) continue;
        break;
    }
    for (char *c = out; *c != '\0'; ++c)
        if (*c == ',') *c = '.';
    return length;
}

static void put_vertex(text_buffer *buffer, const char *prefix, const double *point)
{
    char number[3][32];
    for (int k = 0; k < 3; ++k) (void)put_real(number[k], sizeof number[k], point[k]);
    buffer->used += (size_t)snprintf(buffer->text + buffer->used, buffer->size - buffer->used, "%s%s %s %s\n", prefix,
                                     number[0], number[1], number[2]);
}

static void put_face(text_buffer *buffer, const char *prefix, const int32_t *face, int base)
{
    buffer->used += (size_t)snprintf(buffer->text + buffer->used, buffer->size - buffer->used, "%s%d %d %d\n", prefix,
                                     face[0] + base, face[1] + base, face[2] + base);
}

static void put_text_mesh(text_buffer *buffer, const ql_mesh *mesh, const char *vertex_prefix, const char *face_prefix,
                          int base)
{
    for (int32_t v = 0; v < mesh->vertex_count; ++v) put_vertex(buffer, vertex_prefix, mesh->vertices + 3 * (size_t)v);
    for (int32_t f = 0; f < mesh->face_count; ++f) put_face(buffer, face_prefix, mesh->faces + 3 * (size_t)f, base);
}

static void put_little(text_buffer *buffer, uint64_t word, int size)
{
    for (int k = 0; k < size; ++k) buffer->text[buffer->used++] = (char)(unsigned char)(word >> (8 * k));
}

static void put_obj(text_buffer *buffer, const ql_mesh *mesh)
{
    buffer->used +=
        (size_t)snprintf(buffer->text, buffer->size, "# %d vertices, %d faces\n", mesh->vertex_count, mesh->face_count);
    put_text_mesh(buffer, mesh, "v ", "f ", 1);
}

static void put_off(text_buffer *buffer, const ql_mesh *mesh)
{
    buffer->used +=
        (size_t)snprintf(buffer->text, buffer->size, "OFF\n%d %d 0\n", mesh->vertex_count, mesh->face_count);
    put_text_mesh(buffer, mesh, "", "3 ", 0);
}

static void put_ply(text_buffer *buffer, const ql_mesh *mesh)
{
    buffer->used += (size_t)snprintf(buffer->text, buffer->size,
                                     "ply\nformat binary_little_endian 1.0\nelement vertex %d\n"
                                     "property double x\nproperty double y\nproperty double z\n"
                                     "element face %d\nproperty list uchar int vertex_indices\nend_header\n",
                                     mesh->vertex_count, mesh->face_count);
    for (size_t i = 0; i < 3 * (size_t)mesh->vertex_count; ++i) {
        uint64_t word;
        memcpy(&word, mesh->vertices + i, sizeof word);
        put_little(buffer, word, 8);
    }
    for (size_t f = 0; f < (size_t)mesh->face_count; ++f) {
        put_little(buffer, 3, 1);
        for (int k = 0; k < 3; ++k) put_little(buffer, (uint32_t)mesh->faces[3 * f + (size_t)k], 4);
    }
}

ql_status ql_mesh_write(const ql_mesh *mesh, const char *path)
{
    static const struct {
        const char *extension;
        void (*put)(text_buffer *buffer, const ql_mesh *mesh);
    } WRITERS[] = {{".obj", put_obj}, {".off", put_off}, {".ply", put_ply}};
    const char *dot = strrchr(ql_path_name(path), '.');
    for (size_t i = 0; dot != NULL && i < sizeof WRITERS / sizeof WRITERS[0]; ++i) {
        if (strcasecmp(dot, WRITERS[i].extension) != 0) continue;
        text_buffer buffer = {.size = HEADER_BYTES + VERTEX_BYTES * (size_t)mesh->vertex_count +
                                      FACE_BYTES * (size_t)mesh->face_count};
        QL_TRY(QL_TAKE(buffer.text, buffer.size));
        WRITERS[i].put(&buffer, mesh);
        ql_status status = ql_file_write_whole(path, buffer.text, buffer.used);
        ql_free(buffer.text);
        return status;
    }
    return QL_FAIL(USAGE, "cannot write a mesh to %s: its name must end in .obj, .ply or .off", path);
}
