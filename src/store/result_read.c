/* Reading a result file back (see result.h). */
#include "base/file.h"
#include "base/memory.h"
#include "model/layout.h"
#include "store/parts.h"
#include "store/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ql_result_destroy(ql_result *result)
{
    if (result == NULL) return;
    ql_mesh_destroy(&result->mesh);
    ql_train_result_destroy(&result->train);
    ql_free(result->quads.vertices);
    ql_free(result->quads.faces);
    ql_provenance_destroy(&result->provenance);
    memset(result, 0, sizeof *result);
}

static ql_status get_format(hid_t file)
{
    char format[32] = "";
    int64_t version = 0;
    bool found;
    QL_TRY(ql_h5_get_text(file, "format", format, sizeof format, &found));
    if (strcmp(format, "quadloom-result") != 0) return QL_FAIL(FORMAT, "is not a result of quadloom");
    QL_TRY(ql_h5_get_int(file, "format_version", &version, &found));
    if (version != 1) return QL_FAIL(FORMAT, "format version %lld, this program reads 1", (long long)version);
    return QL_OK;
}

/* Corner indices inside 0 .. vertices - 1. */
static ql_status check_corners(const int32_t *corners, int64_t count, int64_t per_face, int64_t vertices,
                               const char *name)
{
    for (int64_t k = 0; k < count; ++k)
        if (corners[k] < 0 || corners[k] >= vertices)
            return QL_FAIL(FORMAT, "%s: face %lld: vertex %d of %lld", name, (long long)(k / per_face), corners[k],
                           (long long)vertices);
    return QL_OK;
}

static ql_status get_mesh(hid_t file, ql_result *result)
{
    ql_mesh *mesh = &result->mesh;
    int64_t rows = -1, columns = 3;
    void *data;
    mesh->name = ql_memory_string(result->summary.name);
    mesh->path = ql_memory_string(result->summary.input);
    if (mesh->name == NULL || mesh->path == NULL) return QL_FAIL(NO_MEMORY, "no memory for a name");
    QL_TRY(ql_h5_read_array(file, "/mesh/vertices", QL_H5_F64, &rows, &columns, &data));
    mesh->vertices = data;
    if (rows > INT32_MAX) return QL_FAIL(FORMAT, "/mesh/vertices: too many");
    mesh->vertex_count = (int32_t)rows;
    rows = -1;
    QL_TRY(ql_h5_read_array(file, "/mesh/faces", QL_H5_I32, &rows, &columns, &data));
    mesh->faces = data;
    if (rows > INT32_MAX / 3) return QL_FAIL(FORMAT, "/mesh/faces: too many");
    mesh->face_count = (int32_t)rows;
    QL_TRY(check_corners(mesh->faces, 3 * rows, 3, mesh->vertex_count, "/mesh/faces"));
    ql_mesh_rehash(mesh);
    char hash[QL_SUMMARY_TEXT];
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)mesh->hash);
    if (strcmp(hash, result->summary.mesh_hash) != 0)
        return QL_FAIL(FORMAT, "/mesh: its hash is %s, not %s as recorded", hash, result->summary.mesh_hash);
    return QL_OK;
}

/* An array of the field that may be absent. */
static ql_status get_part(hid_t file, const char *name, ql_h5_type type, int64_t rows, int64_t columns, void *data_out)
{
    void *data = NULL;
    if (!ql_h5_has(file, name)) return QL_OK;
    QL_TRY(ql_h5_read_array(file, name, type, &rows, &columns, &data));
    memcpy(data_out, &data, sizeof data);
    return QL_OK;
}

static ql_status get_field(hid_t file, ql_result *result)
{
    ql_train_result *train = &result->train;
    int64_t faces = result->summary.faces, vertices = result->summary.vertices;
    QL_TRY(get_part(file, "/field/theta", QL_H5_F32, faces, 0, &train->theta));
    QL_TRY(get_part(file, "/field/alpha", QL_H5_F32, faces, 3, &train->alpha));
    QL_TRY(get_part(file, "/field/beta", QL_H5_F32, faces, 3, &train->beta));
    QL_TRY(get_part(file, "/field/sdf", QL_H5_F32, faces, 0, &train->sdf));
    QL_TRY(get_part(file, "/field/curvature_min", QL_H5_F32, faces, 3, &train->curvature_min));
    QL_TRY(get_part(file, "/field/curvature_max", QL_H5_F32, faces, 3, &train->curvature_max));
    return get_part(file, "/field/singularity_index", QL_H5_I8, vertices, 0, &train->singularity_index);
}

/* A quality that a file does not have does not apply. */
static ql_status get_quality(hid_t group, ql_quad_result *quads)
{
    bool found;
    int64_t rung = 0, valid = 0;
#define X(name, unit, text)                                                                                            \
    quads->quality.name = NAN;                                                                                         \
    QL_TRY(ql_h5_get_real(group, #name, &quads->quality.name, &found));
    QL_QUAD_QUALITY_LIST(X)
#undef X
    QL_TRY(ql_h5_get_int(group, "rung", &rung, &found));
    QL_TRY(ql_h5_get_int(group, "valid", &valid, &found));
    if (rung < 0 || rung >= QL_RUNG_COUNT) return QL_FAIL(FORMAT, "/quads/quality: rung %lld", (long long)rung);
    quads->rung = (ql_quad_rung)rung;
    quads->valid = valid != 0;
    return ql_h5_get_text(group, "note", quads->note, sizeof quads->note, &found);
}

static ql_status get_quads(hid_t file, ql_quad_result *quads)
{
    int64_t vertices = -1, faces = -1, columns = 3;
    void *data;
    if (!ql_h5_has(file, "/quads")) return QL_OK;
    QL_TRY(ql_h5_read_array(file, "/quads/vertices", QL_H5_F64, &vertices, &columns, &data));
    quads->vertices = data;
    columns = 4;
    QL_TRY(ql_h5_read_array(file, "/quads/faces", QL_H5_I32, &faces, &columns, &data));
    quads->faces = data;
    if (vertices > INT32_MAX || faces > INT32_MAX) return QL_FAIL(FORMAT, "/quads: too many");
    quads->vertex_count = (int32_t)vertices;
    quads->face_count = (int32_t)faces;
    QL_TRY(check_corners(quads->faces, 4 * faces, 4, vertices, "/quads/faces"));
    hid_t group = H5Gopen2(file, "/quads/quality", H5P_DEFAULT);
    if (group < 0) return QL_H5_FAIL(FORMAT, "/quads/quality: missing or damaged");
    ql_status status = get_quality(group, quads);
    (void)H5Gclose(group);
    return QL_CHAIN(status, "/quads/quality");
}

static ql_status get_history(hid_t file, ql_history *history)
{
    if (!ql_h5_has(file, "/train/history")) return QL_OK;
    QL_TRY(ql_h5_read_table(file, "/train/history", QL_HISTORY_COLUMNS, ql_history_column_name, &history->rows,
                            &history->values));
    history->capacity = history->rows;
    return QL_OK;
}

static double or_zero(double value) { return value == value ? value : 0; }
static int64_t or_none(int64_t value) { return value != QL_SUMMARY_NONE ? value : 0; }

/* What the row tells of the training. */
static void take_summary(ql_train_result *train, const ql_summary *row)
{
    const double losses[QL_LOSS_COUNT] = {row->loss_total,  row->loss_sdf,   row->loss_off,   row->loss_eikonal,
                                          row->loss_normal, row->loss_align, row->loss_smooth};
    train->face_count = (int32_t)or_none(row->faces);
    train->vertex_count = (int32_t)or_none(row->vertices);
    train->singularity_sum = or_none(row->singularity_sum);
    train->singular_vertices = (int32_t)or_none(row->singular_vertices);
    train->mismatch_mean_deg = or_zero(row->mismatch_mean_deg);
    train->steps = or_none(row->steps);
    for (int k = 0; k < QL_LOSS_COUNT; ++k) train->final_terms[k] = or_zero(losses[k]);
    train->train_seconds = or_zero(row->train_s);
    train->prepare_seconds = or_zero(row->prepare_s);
    train->seconds_per_step = or_zero(row->s_per_step);
    train->cpu_seconds = or_zero(row->cpu_s);
    train->memory_bytes = (int64_t)(or_zero(row->memory_mb) * 1e6);
    (void)snprintf(train->engine, sizeof train->engine, "%.15s", row->engine);
}

static ql_status get_all(hid_t file, ql_result *result, unsigned parts)
{
    ql_train_result *train = &result->train;
    QL_TRY(get_format(file));
    QL_TRY(ql_part_get_summary(file, &result->summary));
    take_summary(train, &result->summary);
    if ((parts & QL_RESULT_MESH) != 0) QL_TRY(get_mesh(file, result));
    if ((parts & QL_RESULT_FIELD) != 0) QL_TRY(get_field(file, result));
    if ((parts & QL_RESULT_MODEL) != 0)
        QL_TRY(get_part(file, "/model/parameters", QL_H5_F32, QL_PARAMETER_COUNT, 0, &train->parameters));
    if ((parts & QL_RESULT_HISTORY) != 0) QL_TRY(get_history(file, &train->history));
    if ((parts & QL_RESULT_QUADS) != 0) QL_TRY(get_quads(file, &result->quads));
    if ((parts & QL_RESULT_PROVENANCE) == 0) return QL_OK;
    return ql_h5_get_facts(file, "/provenance", &result->provenance);
}

ql_status ql_result_read(ql_result *result, const char *path, unsigned parts)
{
    hid_t file;
    memset(result, 0, sizeof *result);
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = QL_CHAIN(get_all(file, result, parts), "%s", path);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    if (status != QL_OK) ql_result_destroy(result);
    return status;
}

ql_status ql_result_export_vtkhdf(const char *result_path, const char *path)
{
    hid_t file;
    ql_h5_image image = {.file = -1};
    ql_h5_lock();
    ql_status status = ql_h5_open(result_path, &file);
    if (status == QL_OK && !ql_h5_has(file, "/VTKHDF")) status = QL_FAIL(FORMAT, "%s: has no /VTKHDF", result_path);
    if (status == QL_OK) status = ql_h5_image_create(&image, 0);
    if (status == QL_OK && H5Ocopy(file, "/VTKHDF", image.file, "VTKHDF", H5P_DEFAULT, H5P_DEFAULT) < 0)
        status = QL_H5_FAIL(FORMAT, "%s: copying /VTKHDF", result_path);
    if (status == QL_OK) status = ql_h5_image_close(&image);
    if (file >= 0) (void)H5Fclose(file);
    ql_h5_unlock();
    if (status == QL_OK) status = ql_file_write_whole(path, image.bytes, image.size);
    ql_h5_lock();
    ql_h5_image_destroy(&image);
    ql_h5_unlock();
    return status;
}
