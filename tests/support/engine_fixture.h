/* A mesh of any size with all that an engine needs to train it, for tests that put engines side by side. */
#ifndef QL_TEST_ENGINE_FIXTURE_H
#define QL_TEST_ENGINE_FIXTURE_H

#include "support/test.h"

#include "engine/engine.h"
#include "mesh/generate.h"
#include "model/initial.h"
#include "model/layout.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    ql_mesh mesh;
    ql_topology topology;
    ql_tables tables;
    ql_loss_shares shares;
    ql_options options;
    ql_engine_setup setup;
    float *parameters, *zeros;
} fixture;

/* The first `faces` faces of a generated mesh: an open mesh of any size, with faces of 0 to 3 neighbours. */
static inline void cut_mesh(ql_mesh *mesh, const char *generator, int faces)
{
    ql_mesh whole;
    ASSERT_OK(ql_generate_by_name(&whole, generator, faces > 1200 ? faces : 1200));
    assert_true(whole.face_count >= faces);
    ASSERT_OK(ql_mesh_create(mesh, "cut", "", whole.vertex_count, faces));
    memcpy(mesh->vertices, whole.vertices, (size_t)whole.vertex_count * 3 * sizeof *mesh->vertices);
    memcpy(mesh->faces, whole.faces, (size_t)faces * 3 * sizeof *mesh->faces);
    ql_mesh_rehash(mesh);
    ql_mesh_destroy(&whole);
}

/* The rest of a fixture that has its mesh and options: tables, setup and initial parameters. */
static inline void prepare_fixture(fixture *f, ql_averaging averaging, uint64_t seed)
{
    ASSERT_OK(ql_topology_build(&f->topology, &f->mesh));
    ASSERT_OK(ql_tables_build(&f->tables, &f->mesh, &f->topology, 1));
    ASSERT_OK(ql_loss_shares_build(&f->shares, &f->tables, averaging, 0, NULL));
    f->setup = (ql_engine_setup){.tables = &f->tables,
                                 .shares = &f->shares,
                                 .train = &f->options.train,
                                 .engine = &f->options.engine,
                                 .key = ql_key_make(seed, f->mesh.hash)};
    ASSERT_OK(QL_TAKE(f->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(f->zeros, QL_PARAMETER_COUNT));
    ql_initial_parameters(f->setup.key, f->parameters);
}

/* Options, parameters and points as f->options and the run's seed have them; change options before an engine is made. */
static inline void open_fixture(fixture *f, const char *generator, int faces, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    ql_options_init(&f->options);
    f->options.train.off_points = 129;
    cut_mesh(&f->mesh, generator, faces);
    prepare_fixture(f, QL_AVERAGING_GROUPS, seed);
    const ql_layout *layout = ql_layout_get();
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) /* large gammas and biases, so that the branches matter */
        for (int k = 0; k < layout->block[b].width; ++k) {
            f->parameters[layout->block[b].gamma + k] = 0.3f + 0.001f * (float)k;
            f->parameters[layout->block[b].up.bias + k] = 0.01f * (float)(k % 5);
        }
}

static inline void close_fixture(fixture *f)
{
    ql_loss_shares_destroy(&f->shares);
    ql_tables_destroy(&f->tables);
    ql_topology_destroy(&f->topology);
    ql_mesh_destroy(&f->mesh);
    ql_free(f->parameters);
    ql_free(f->zeros);
}

/* An engine of this kind that begins at the fixture's parameters; collective when the setup has a group. */
static inline ql_engine *start(fixture *f, const ql_engine_class *kind)
{
    ql_engine *engine = NULL;
    ASSERT_OK(ql_engine_create(&engine, kind, &f->setup));
    ql_engine_state state = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    ASSERT_OK(kind->set_state(engine, &state));
    return engine;
}

/* |a - b| / |b| */
static inline double distance(const double *a, const double *b, int64_t count)
{
    double gap = 0, size = 0;
    for (int64_t i = 0; i < count; ++i) {
        gap += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(gap / (size > 0 ? size : 1));
}

#endif
