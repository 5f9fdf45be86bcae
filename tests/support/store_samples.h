/* Small meshes, results and snapshots for tests of the store. */
#ifndef QL_TEST_STORE_SAMPLES_H
#define QL_TEST_STORE_SAMPLES_H

#include "base/file.h"
#include "base/options.h"
#include "field/tables.h"
#include "model/layout.h"
#include "store/store.h"
#include "support/test.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* A bipyramid: closed, 2 * rings faces, chi = 2; its path needs quoting. */
static inline void sample_mesh(ql_mesh *mesh, const char *name, int rings)
{
    ASSERT_OK(ql_mesh_create(mesh, name, "/models/a, \"b\".obj", rings + 2, 2 * rings));
    for (int k = 0; k < rings; ++k) {
        double angle = 6.283185307179586 * k / rings;
        mesh->vertices[3 * k] = cos(angle);
        mesh->vertices[3 * k + 1] = sin(angle);
        const int32_t next = (k + 1) % rings, up[3] = {k, next, rings}, down[3] = {next, k, rings + 1};
        memcpy(mesh->faces + 6 * k, up, sizeof up);
        memcpy(mesh->faces + 6 * k + 3, down, sizeof down);
    }
    mesh->vertices[3 * rings + 2] = 1;
    mesh->vertices[3 * rings + 5] = -1;
    ql_mesh_rehash(mesh);
}

/* A field that is consistent in itself: alpha, beta from theta, indices that sum to 4 chi = 8. */
static inline void sample_train(ql_train_result *train, const ql_mesh *mesh, bool with_parameters)
{
    ql_topology topology;
    ql_tables tables;
    ASSERT_OK(ql_topology_build(&topology, mesh));
    ASSERT_OK(ql_tables_build(&tables, mesh, &topology, 0));
    size_t faces = (size_t)mesh->face_count, vertices = (size_t)mesh->vertex_count;
    *train = (ql_train_result){.face_count = mesh->face_count, .vertex_count = mesh->vertex_count};
    ASSERT_OK(QL_TAKE(train->theta, faces));
    ASSERT_OK(QL_TAKE(train->alpha, 3 * faces));
    ASSERT_OK(QL_TAKE(train->beta, 3 * faces));
    ASSERT_OK(QL_TAKE(train->sdf, faces));
    ASSERT_OK(QL_TAKE(train->curvature_min, 3 * faces));
    ASSERT_OK(QL_TAKE(train->curvature_max, 3 * faces));
    ASSERT_OK(QL_TAKE(train->singularity_index, vertices));
    for (size_t f = 0; f < faces; ++f) {
        double theta = 0.37 * (double)f;
        train->theta[f] = (float)theta;
        train->sdf[f] = 1e-3F * (float)f;
        for (size_t c = 0; c < 3; ++c) {
            double u = tables.u[3 * f + c], v = tables.v[3 * f + c];
            train->alpha[3 * f + c] = (float)(u * cos(theta) + v * sin(theta));
            train->beta[3 * f + c] = (float)(v * cos(theta) - u * sin(theta));
            train->curvature_min[3 * f + c] = (float)u;
            train->curvature_max[3 * f + c] = (float)v;
        }
    }
    train->singularity_index[vertices - 1] = train->singularity_index[vertices - 2] = 4;
    train->singularity_sum = 8;
    train->singular_vertices = 2;
    train->mismatch_mean_deg = 2.5;
    train->steps = 40;
    train->train_seconds = 1.5;
    (void)snprintf(train->engine, sizeof train->engine, "ref");
    for (int k = 0; k < QL_LOSS_COUNT; ++k) train->final_terms[k] = 0.5 + k;
    if (with_parameters) {
        ASSERT_OK(QL_TAKE(train->parameters, QL_PARAMETER_COUNT));
        for (int i = 0; i < QL_PARAMETER_COUNT; ++i) train->parameters[i] = (float)sin(i);
    }
    for (int row = 0; row < 5; ++row) {
        double values[QL_HISTORY_COLUMNS];
        for (int c = 0; c < QL_HISTORY_COLUMNS; ++c) values[c] = 100 * row + c;
        ASSERT_OK(ql_history_append(&train->history, values));
    }
    ql_tables_destroy(&tables);
    ql_topology_destroy(&topology);
}

static inline void sample_snapshot(ql_snapshot *snapshot, ql_real_type type, int64_t step)
{
    ASSERT_OK(ql_snapshot_create(snapshot, type));
    void *arrays[] = {snapshot->state.parameters, snapshot->state.moment1, snapshot->state.moment2};
    for (size_t k = 0; k < 3; ++k)
        for (int i = 0; i < QL_PARAMETER_COUNT; ++i) {
            double value = (double)step + (double)k + 1e-3 * (i % 1000);
            if (type == QL_FLOAT64)
                ((double *)arrays[k])[i] = value;
            else
                ((float *)arrays[k])[i] = (float)value;
        }
    snapshot->step = step;
    snapshot->seconds = 0.25 * (double)step;
    snapshot->mesh_hash = UINT64_C(0xfedcba9876543210);
    snapshot->options_hash = UINT64_C(0x8000000000000001);
    double row[QL_HISTORY_COLUMNS] = {(double)step, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    ASSERT_OK(ql_history_append(&snapshot->history, row));
}

/* A fresh directory under $TMPDIR, and its removal with everything in it. */
static inline void sample_directory(char out[QL_PATH_SIZE])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(out, QL_PATH_SIZE, "%s/quadloom-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(out) == NULL) fail_msg("no temporary directory %s", out);
}

static inline void sample_directory_remove(const char *path)
{
    char command[QL_PATH_SIZE + 32];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) print_error("cannot remove %s\n", path);
}

#endif
