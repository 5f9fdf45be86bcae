/* Writing a result file (see result.h and docs/results.md). Arrays that ParaView and we both want are stored
 * once and have two names (hard links). */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "mesh/topology.h"
#include "model/layout.h"
#include "store/h5_common.h"
#include "store/parts.h"
#include "store/result.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_VERSION = 1, HEAD_BYTES = 131072, VTK_TRIANGLE = 5 };

/* ---- the row ---- */

static void put_text(char *to, const char *text) { (void)snprintf(to, QL_SUMMARY_TEXT, "%s", text); }

static void put_hash(char *to, uint64_t hash)
{
    (void)snprintf(to, QL_SUMMARY_TEXT, "%016llx", (unsigned long long)hash);
}

static ql_status count_topology(ql_summary *row, const ql_mesh *mesh)
{
    ql_topology topology;
    unsigned char *used;
    QL_TRY(ql_topology_build(&topology, mesh));
    int64_t corners = 3 * (int64_t)mesh->face_count, vertices = 0, boundary = 0;
    ql_status status = QL_TAKE(used, mesh->vertex_count);
    if (status == QL_OK) {
        for (int64_t h = 0; h < corners; ++h) {
            vertices += used[mesh->faces[h]] == 0;
            used[mesh->faces[h]] = 1;
        }
        for (int32_t e = 0; e < topology.edge_count; ++e)
            boundary += topology.edge_ptr[e + 1] - topology.edge_ptr[e] == 1;
        row->euler = vertices - topology.edge_count + mesh->face_count;
        row->boundary_edges = boundary;
        ql_free(used);
    }
    ql_topology_destroy(&topology);
    return status;
}

static void put_train(ql_summary *row, const ql_train_result *train)
{
    double *const losses[QL_LOSS_COUNT] = {&row->loss_total,  &row->loss_sdf,   &row->loss_off,   &row->loss_eikonal,
                                           &row->loss_normal, &row->loss_align, &row->loss_smooth};
    put_text(row->engine, train->engine);
    row->steps = train->steps;
    if (train->steps > 0)
        for (int k = 0; k < QL_LOSS_COUNT; ++k) *losses[k] = train->final_terms[k];
    if (train->singularity_index != NULL) {
        row->singular_vertices = train->singular_vertices;
        row->singularity_sum = train->singularity_sum;
        row->mismatch_mean_deg = train->mismatch_mean_deg;
    }
    row->prepare_s = train->prepare_seconds;
    row->train_s = train->train_seconds;
    row->s_per_step = train->seconds_per_step;
    row->cpu_s = train->cpu_seconds;
    row->memory_mb = (double)train->memory_bytes / 1e6;
}

/* Columns quads_X take the quality X. */
static void put_quads(ql_summary *row, const ql_quad_result *quads)
{
    const struct {
        const char *column;
        double value;
    } qualities[] = {
#define X(name, unit, text) {"quads_" #name, quads->quality.name},
        QL_QUAD_QUALITY_LIST(X)
#undef X
    };
    row->quads_s = quads->quality.total_s;
    for (size_t k = 0; k < sizeof qualities / sizeof *qualities; ++k)
        for (int c = 0; c < ql_summary_column_count(); ++c) {
            const ql_summary_column *column = ql_summary_column_at(c);
            void *at = (char *)row + column->offset;
            if (isnan(qualities[k].value) || strcmp(column->name, qualities[k].column) != 0) continue;
            if (column->kind == QL_SUMMARY_KIND_INT) *(int64_t *)at = llround(qualities[k].value);
            if (column->kind == QL_SUMMARY_KIND_REAL) *(double *)at = qualities[k].value;
        }
    row->quads_faces = quads->face_count;
    row->quads_vertices = quads->vertex_count;
    row->quads_ladder_step = quads->rung;
}

static void put_options(ql_summary *row, const ql_options *options)
{
    int preset = ql_option_find("train.preset"), seed = ql_option_find("train.seed");
    if (preset >= 0) (void)ql_options_get(options, preset, row->preset, sizeof row->preset);
    if (seed >= 0) (void)ql_options_get(options, seed, row->seed, sizeof row->seed);
}

ql_status ql_result_summary(ql_summary *row, const ql_result_content *content)
{
    char stamp[QL_STAMP_SIZE];
    const ql_mesh *mesh = content->mesh;
    ql_summary_init(row);
    put_text(row->mesh, content->id);
    put_text(row->name, mesh->name);
    put_text(row->status, "finished");
    put_text(row->input, mesh->path);
    put_hash(row->mesh_hash, mesh->hash);
    put_hash(row->options_hash, content->options_hash);
    put_text(row->date, ql_clock_stamp(stamp));
    row->attempts = content->attempts;
    if (content->train != NULL) row->ranks = content->ranks > 0 ? content->ranks : 1;
    row->faces = mesh->face_count;
    row->vertices = mesh->vertex_count;
    QL_TRY(count_topology(row, mesh));
    if (content->options != NULL) put_options(row, content->options);
    if (content->train != NULL) put_train(row, content->train);
    if (content->quads != NULL) put_quads(row, content->quads);
    return QL_OK;
}

/* ---- mesh and field ---- */

static ql_status put_single(hid_t file, const char *name, int64_t value, const char *long_name)
{
    ql_h5_array array = {.name = name,
                         .type = QL_H5_I64,
                         .rows = 1,
                         .data = &value,
                         .units = "1",
                         .long_name = long_name,
                         .storage = QL_H5_PACKED};
    return ql_h5_write_array(file, &array);
}

static ql_status link_as(hid_t file, const char *name, const char *second)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    herr_t made = -1;
    if (links >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        made = H5Lcreate_hard(file, name, file, second, links, H5P_DEFAULT);
    if (links >= 0) (void)H5Pclose(links);
    return made < 0 ? QL_H5_FAIL(INTERNAL, "naming %s also %s", name, second) : QL_OK;
}

/* VTK's lists of cells: corner indices, where each cell begins, kind of cell. */
static ql_status put_cells(hid_t file, const ql_mesh *mesh)
{
    int64_t faces = mesh->face_count, *numbers = NULL;
    unsigned char *types = NULL;
    ql_status status;
    QL_TRY_GOTO(status, QL_TAKE(numbers, 3 * faces + 1), done);
    QL_TRY_GOTO(status, QL_TAKE(types, faces), done);
    ql_h5_array array = {.units = "1", .storage = QL_H5_PACKED, .type = QL_H5_I64, .data = numbers};
    for (int64_t h = 0; h < 3 * faces; ++h) numbers[h] = mesh->faces[h];
    array.name = "VTKHDF/Connectivity";
    array.long_name = "corners of the triangles, vertex indices";
    array.rows = 3 * faces;
    QL_TRY_GOTO(status, ql_h5_write_array(file, &array), done);
    for (int64_t f = 0; f <= faces; ++f) numbers[f] = 3 * f;
    array.name = "VTKHDF/Offsets";
    array.long_name = "where each triangle begins in Connectivity";
    array.rows = faces + 1;
    QL_TRY_GOTO(status, ql_h5_write_array(file, &array), done);
    memset(types, VTK_TRIANGLE, (size_t)faces);
    array = (ql_h5_array){"VTKHDF/Types", QL_H5_U8, faces, 0, types, "1", "VTK cell type, 5 = triangle", QL_H5_PACKED};
    status = ql_h5_write_array(file, &array);
done:
    ql_free(numbers);
    ql_free(types);
    return status;
}

/* The reader of VTK 9.1 wants Type as ASCII of exact length. */
static ql_status put_vtk_head(hid_t file)
{
    static const char kind[] = "UnstructuredGrid";
    int64_t version[2] = {1, 0};
    hsize_t two = 2;
    hid_t group;
    QL_TRY(ql_h5_group(file, "VTKHDF", &group));
    hid_t type = H5Tcopy(H5T_C_S1), scalar = H5Screate(H5S_SCALAR), pair = H5Screate_simple(1, &two, NULL);
    herr_t done = H5Tset_size(type, sizeof kind - 1);
    if (done >= 0) done = H5Tset_strpad(type, H5T_STR_NULLPAD);
    hid_t a = H5Acreate2(group, "Type", type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    hid_t b = H5Acreate2(group, "Version", H5T_NATIVE_INT64, pair, H5P_DEFAULT, H5P_DEFAULT);
    if (a < 0 || b < 0 || done < 0 || H5Awrite(a, type, kind) < 0 || H5Awrite(b, H5T_NATIVE_INT64, version) < 0)
        done = -1;
    ql_status status = done < 0 ? QL_H5_FAIL(INTERNAL, "head of VTKHDF") : QL_OK;
    if (a >= 0) (void)H5Aclose(a);
    if (b >= 0) (void)H5Aclose(b);
    (void)H5Sclose(pair);
    (void)H5Sclose(scalar);
    (void)H5Tclose(type);
    (void)H5Gclose(group);
    return status;
}

static ql_status put_mesh(hid_t file, const ql_mesh *mesh)
{
    QL_TRY(put_vtk_head(file));
    QL_TRY(put_single(file, "VTKHDF/NumberOfPoints", mesh->vertex_count, "vertices"));
    QL_TRY(put_single(file, "VTKHDF/NumberOfCells", mesh->face_count, "triangles"));
    QL_TRY(
        put_single(file, "VTKHDF/NumberOfConnectivityIds", 3 * (int64_t)mesh->face_count, "corners of all triangles"));
    ql_h5_array vertices = {"mesh/vertices", QL_H5_F64,     mesh->vertex_count, 3,
                            mesh->vertices,  "input units", "vertex positions", QL_H5_PACKED};
    QL_TRY(ql_h5_write_array(file, &vertices));
    ql_h5_array faces = {"mesh/faces",
                         QL_H5_I32,
                         mesh->face_count,
                         3,
                         mesh->faces,
                         "1",
                         "corners of the triangles, counter-clockwise from outside",
                         QL_H5_PACKED};
    QL_TRY(ql_h5_write_array(file, &faces));
    QL_TRY(link_as(file, "mesh/vertices", "VTKHDF/Points"));
    return put_cells(file, mesh);
}

static ql_status put_field(hid_t file, const ql_train_result *train)
{
    int64_t faces = train->face_count, vertices = train->vertex_count;
    const ql_h5_array arrays[] = {
        {"theta", QL_H5_F32, faces, 0, train->theta, "radians", "cross angle in the local frame", QL_H5_PACKED},
        {"alpha", QL_H5_F32, faces, 3, train->alpha, "1", "first direction of the cross, unit, input coordinates",
         QL_H5_PACKED},
        {"beta", QL_H5_F32, faces, 3, train->beta, "1", "second direction of the cross, unit, input coordinates",
         QL_H5_PACKED},
        {"sdf", QL_H5_F32, faces, 0, train->sdf, "normalised units", "distance field at the centroid", QL_H5_PACKED},
        {"curvature_min", QL_H5_F32, faces, 3, train->curvature_min, "1",
         "direction of smallest curvature of the distance field, unit", QL_H5_PACKED},
        {"curvature_max", QL_H5_F32, faces, 3, train->curvature_max, "1",
         "direction of largest curvature of the distance field, unit", QL_H5_PACKED},
        {"singularity_index", QL_H5_I8, vertices, 0, train->singularity_index, "quarter turns",
         "index of the cross field at the vertex; the sum over a closed surface is 4 chi", QL_H5_PACKED},
    };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) {
        char name[64], second[64];
        ql_h5_array array = arrays[k];
        if (array.data == NULL) continue;
        (void)snprintf(name, sizeof name, "field/%s", array.name);
        (void)snprintf(second, sizeof second, "VTKHDF/%sData/%s", array.type == QL_H5_I8 ? "Point" : "Cell",
                       array.name);
        array.name = name;
        QL_TRY(ql_h5_write_array(file, &array));
        QL_TRY(link_as(file, name, second));
    }
    return QL_OK;
}

/* ---- networks, history, quads, provenance ---- */

static ql_status put_layout(hid_t file)
{
    const ql_layout *layout = ql_layout_get();
    int32_t *numbers;
    QL_TRY(QL_TAKE(numbers, 3 * QL_ENTRY_COUNT));
    int32_t *shapes = numbers + QL_ENTRY_COUNT;
    for (int i = 0; i < QL_ENTRY_COUNT; ++i) {
        numbers[i] = layout->entry[i].offset;
        shapes[2 * i] = layout->entry[i].rows;
        shapes[2 * i + 1] = layout->entry[i].columns;
    }
    ql_h5_array offsets = {
        "model/layout/offset", QL_H5_I32, QL_ENTRY_COUNT, 0, numbers, "1", "first element in /model/parameters",
        QL_H5_PACKED};
    ql_h5_array shape = {"model/layout/shape",
                         QL_H5_I32,
                         QL_ENTRY_COUNT,
                         2,
                         shapes,
                         "1",
                         "rows and columns, row-major; vectors have one column",
                         QL_H5_PACKED};
    ql_status status = ql_h5_write_array(file, &offsets);
    if (status == QL_OK) status = ql_h5_write_array(file, &shape);
    if (status == QL_OK)
        status = ql_h5_write_texts(file, "model/layout/name", layout->entry[0].name, sizeof layout->entry[0],
                                   QL_ENTRY_COUNT, "", "name of the parameter");
    ql_free(numbers);
    return status;
}

static ql_status put_training(hid_t file, const ql_train_result *train)
{
    QL_TRY(put_field(file, train));
    if (train->parameters != NULL) {
        ql_h5_array array = {"model/parameters",
                             QL_H5_F32,
                             QL_PARAMETER_COUNT,
                             0,
                             train->parameters,
                             "1",
                             "parameters of both networks, flat; see /model/layout",
                             QL_H5_SUMMED};
        QL_TRY(ql_h5_write_array(file, &array));
        QL_TRY(put_layout(file));
    }
    if (train->history.rows == 0) return QL_OK;
    return ql_h5_write_table(file, "train/history", train->history.values, train->history.rows, QL_HISTORY_COLUMNS,
                             ql_history_column_name, ql_history_column_unit,
                             "loss terms (unweighted), weighted total, gradient norm before clipping, at sampled steps",
                             QL_H5_PACKED);
}

static ql_status put_quality(hid_t group, const ql_quad_result *quads)
{
#define X(name, unit, text) QL_TRY(ql_h5_put_real(group, #name, quads->quality.name));
    QL_QUAD_QUALITY_LIST(X)
#undef X
    QL_TRY(ql_h5_put_int(group, "rung", quads->rung));
    QL_TRY(ql_h5_put_int(group, "valid", quads->valid));
    return ql_h5_put_text(group, "note", quads->note);
}

static ql_status put_quad_mesh(hid_t file, const ql_quad_result *quads)
{
    hid_t group;
    ql_h5_array vertices = {"quads/vertices", QL_H5_F64,     quads->vertex_count,         3,
                            quads->vertices,  "input units", "vertices of the quad mesh", QL_H5_PACKED};
    ql_h5_array faces = {"quads/faces", QL_H5_I32, quads->face_count,      4,
                         quads->faces,  "1",       "corners of the quads", QL_H5_PACKED};
    QL_TRY(ql_h5_write_array(file, &vertices));
    QL_TRY(ql_h5_write_array(file, &faces));
    QL_TRY(ql_h5_group(file, "quads/quality", &group));
    ql_status status = put_quality(group, quads);
    (void)H5Gclose(group);
    return status;
}

static ql_status put_provenance(hid_t file, const ql_result_content *content)
{
    static const char *const reserved[] = {"input", "mesh_hash", "options_hash", "date"};
    char text[QL_SUMMARY_TEXT], stamp[QL_STAMP_SIZE];
    unsigned version[3] = {0, 0, 0};
    ql_provenance own = {0};
    hid_t group = -1;
    ql_status status = QL_OK;
    for (size_t k = 0; content->provenance != NULL && k < sizeof reserved / sizeof *reserved; ++k)
        if (ql_provenance_find(content->provenance, reserved[k]) != NULL)
            return QL_FAIL(INTERNAL, "provenance: %s is filled by the store", reserved[k]);
    QL_TRY_GOTO(status, ql_provenance_text(&own, "input", content->mesh->path), done);
    put_hash(text, content->mesh->hash);
    QL_TRY_GOTO(status, ql_provenance_text(&own, "mesh_hash", text), done);
    put_hash(text, content->options_hash);
    QL_TRY_GOTO(status, ql_provenance_text(&own, "options_hash", text), done);
    QL_TRY_GOTO(status, ql_provenance_text(&own, "date", ql_clock_stamp(stamp)), done);
    (void)H5get_libversion(&version[0], &version[1], &version[2]);
    (void)snprintf(text, sizeof text, "%u.%u.%u", version[0], version[1], version[2]);
    if (content->provenance == NULL || ql_provenance_find(content->provenance, "hdf5") == NULL)
        QL_TRY_GOTO(status, ql_provenance_text(&own, "hdf5", text), done);
    QL_TRY_GOTO(status, ql_h5_group(file, "provenance", &group), done);
    QL_TRY_GOTO(status, ql_h5_put_facts(group, "", &own), done);
    QL_TRY_GOTO(status, ql_h5_put_facts(group, "", content->provenance), done);
    status = ql_part_put_options(file, "provenance", "options.", content->options);
done:
    if (group >= 0) (void)H5Gclose(group);
    ql_provenance_destroy(&own);
    return status;
}

/* ---- the file ---- */

static ql_status put_all(hid_t file, const ql_result_content *content, const ql_summary *row)
{
    QL_TRY(ql_h5_put_text(file, "format", "quadloom-result"));
    QL_TRY(ql_h5_put_int(file, "format_version", FORMAT_VERSION));
    QL_TRY(ql_part_put_summary(file, row));
    QL_TRY(put_mesh(file, content->mesh));
    if (content->train != NULL) QL_TRY(put_training(file, content->train));
    if (content->quads != NULL) QL_TRY(put_quad_mesh(file, content->quads));
    return put_provenance(file, content);
}

static size_t expected_size(const ql_result_content *content)
{
    size_t size = HEAD_BYTES, faces = (size_t)content->mesh->face_count, vertices = (size_t)content->mesh->vertex_count;
    if (content->train != NULL && content->train->parameters != NULL)
        size += QL_PARAMETER_COUNT * sizeof(float) + 16384;
    return size + faces * 64 + vertices * 24; /* packed, usually less */
}

ql_status ql_result_write(const char *path, const ql_result_content *content)
{
    ql_summary *row;
    ql_h5_image image = {.file = -1};
    QL_TRY(QL_TAKE(row, 1));
    ql_status status = ql_result_summary(row, content);
    ql_h5_lock();
    if (status == QL_OK) status = ql_h5_image_create(&image, expected_size(content));
    if (status == QL_OK) status = put_all(image.file, content, row);
    if (status == QL_OK) status = ql_h5_image_close(&image);
    ql_h5_unlock();
    if (status == QL_OK) status = ql_file_write_whole(path, image.bytes, image.size);
    ql_h5_lock();
    ql_h5_image_destroy(&image);
    ql_h5_unlock();
    ql_free(row);
    return QL_CHAIN(status, "result of %s", content->mesh->name);
}
