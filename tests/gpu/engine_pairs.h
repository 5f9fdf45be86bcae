/* Two engines side by side on small meshes: gradient, outputs and an Adam step. For tests of engine cuda with and without
 * a GPU. */
#ifndef QL_TEST_ENGINE_PAIRS_H
#define QL_TEST_ENGINE_PAIRS_H

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

/* The first `count` faces of a mesh with all neighbours among them. */
static void keep_faces(ql_tables *tables, int32_t count)
{
    int32_t kept = 0, begin = 0;
    for (int32_t i = 0; i < count; ++i) {
        int32_t end = tables->neighbour_ptr[i + 1];
        for (int32_t k = begin; k < end; ++k)
            if (tables->neighbour[k] < count) {
                tables->neighbour[kept] = tables->neighbour[k];
                tables->transport[kept++] = tables->transport[k];
            }
        begin = end;
        tables->neighbour_ptr[i + 1] = kept;
    }
    tables->face_count = count;
}

static void open_fixture(fixture *f, int faces)
{
    memset(f, 0, sizeof *f);
    ql_options_init(&f->options);
    f->options.train.off_points = 37;
    f->options.engine.threads = 2;
    ASSERT_OK(ql_generate_by_name(&f->mesh, "torus", faces > 64 ? faces : 64));
    ASSERT_OK(ql_topology_build(&f->topology, &f->mesh));
    ASSERT_OK(ql_tables_build(&f->tables, &f->mesh, &f->topology, 1));
    if (faces < f->tables.face_count) keep_faces(&f->tables, faces);
    ASSERT_OK(ql_loss_shares_build(&f->shares, &f->tables, QL_AVERAGING_GROUPS, 0, NULL));
    f->setup = (ql_engine_setup){.tables = &f->tables,
                                 .shares = &f->shares,
                                 .train = &f->options.train,
                                 .engine = &f->options.engine,
                                 .key = ql_key_make(1, f->mesh.hash)};
    ASSERT_OK(QL_TAKE(f->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(f->zeros, QL_PARAMETER_COUNT));
    ql_initial_parameters(f->setup.key, f->parameters);
    const ql_layout *layout = ql_layout_get();
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) /* large gammas, so that the branches matter */
        for (int k = 0; k < layout->block[b].width; ++k)
            f->parameters[layout->block[b].gamma + k] = (float)(0.3 + 0.001 * k);
}

static void close_fixture(fixture *f)
{
    ql_loss_shares_destroy(&f->shares);
    ql_tables_destroy(&f->tables);
    ql_topology_destroy(&f->topology);
    ql_mesh_destroy(&f->mesh);
    ql_free(f->parameters);
    ql_free(f->zeros);
}

typedef struct outcome {
    double terms[QL_LOSS_COUNT], norm, *gradient, *theta, *moved, field[2 * 10];
} outcome;

/* One evaluate and one Adam step at a step in which some blocks are dropped; then outputs. */
static void run(outcome *out, const fixture *f, const ql_engine_class *kind)
{
    const int64_t step = 3;
    memset(out, 0, sizeof *out);
    ql_engine *engine = NULL;
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
    ql_engine_state state = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    ASSERT_OK(kind->create(&engine, &f->setup));
    ASSERT_OK(kind->set_state(engine, &state));
    ASSERT_OK(QL_TAKE(out->gradient, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(out->moved, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(out->theta, f->tables.face_count));
    ASSERT_OK(kind->theta(engine, out->theta)); /* first, so that a step must undo what an output leaves */
    ASSERT_OK(kind->evaluate(engine, step, &weights, out->terms));
    ASSERT_OK(kind->gradient(engine, out->gradient));
    ASSERT_OK(kind->apply(engine, step, &out->norm));
    ASSERT_OK(kind->field(engine, f->tables.points, f->tables.face_count < 2 ? 1 : 2, out->field, out->field + 2,
                          out->field + 8));
    ASSERT_OK(kind->state(engine, &state));
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i)
        out->moved[i] = (state.type == QL_FLOAT64 ? ((double *)state.parameters)[i] : ((float *)state.parameters)[i]) -
                        f->parameters[i];
    kind->destroy(engine);
}

static void discard(outcome *out)
{
    ql_free(out->gradient);
    ql_free(out->moved);
    ql_free(out->theta);
}

static double gap(const double *ours, const double *truth, int64_t count)
{
    double difference = 0, size = 1e-300;
    for (int64_t i = 0; i < count; ++i) {
        difference += (ours[i] - truth[i]) * (ours[i] - truth[i]);
        size += truth[i] * truth[i];
    }
    return sqrt(difference / size);
}

/* Distance of the step that was taken from Adam's, written out in double, on the engine's own gradient: comparing the steps of
 * two engines would mostly compare signs of entries near zero, since Adam divides by sizes. */
static double adam_gap(const outcome *out, const fixture *f, double t)
{
    const double clip = fmin(1, f->options.train.clip_norm / (out->norm + 1e-6)), rate = f->options.train.learning_rate;
    double difference = 0, size = 1e-300;
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i) {
        double g = clip * out->gradient[i], m = 0.1 * g, v = 0.001 * g * g;
        double step = -rate * m / (1 - pow(0.9, t)) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
        difference += (out->moved[i] - step) * (out->moved[i] - step);
        size += step * step;
    }
    return sqrt(difference / size);
}

/* sdf, angle: tolerances of what depends on one network alone. */
static void compare(const outcome *ours, const outcome *truth, const fixture *f, double sdf, double angle)
{
    const int rest = QL_PARAMETER_COUNT - QL_SDF_PARAMETER_COUNT;
    double gaps[] = {gap(ours->gradient, truth->gradient, QL_SDF_PARAMETER_COUNT),
                     gap(ours->gradient + QL_SDF_PARAMETER_COUNT, truth->gradient + QL_SDF_PARAMETER_COUNT, rest),
                     gap(ours->theta, truth->theta, f->tables.face_count),
                     fabs(ours->norm / truth->norm - 1),
                     adam_gap(ours, f, 4),
                     gap(ours->field, truth->field, 20)};
    /* A sign in the loss that turns with the last bit moves the angle gradient by 1e-4 on so few faces; the
     * field is taken behind Adam's step. Moved float32 parameters are known to 6e-8 of their size, steps are 5e-5. */
    const double most[] = {sdf * 3, 1e-3 + angle * 10, angle, sdf * 3, 1e-3, 1e-3};
    static const char *const names[] = {"sdf gradient", "angle gradient", "theta", "norm", "Adam step", "field"};
    for (int k = 0; k < 6; ++k)
        if (!(gaps[k] <= most[k]))
            fail_msg("%d faces, precision %d: %s off by %g, allowed %g", f->tables.face_count,
                     (int)f->options.engine.precision, names[k], gaps[k], most[k]);
    for (int term = 1; term < QL_LOSS_COUNT; ++term) {
        double scale = fabs(truth->terms[term]) + 1e-3, allowed = term >= QL_LOSS_ALIGN ? angle * 3 : sdf * 3;
        if (!(fabs(ours->terms[term] - truth->terms[term]) <= allowed * scale))
            fail_msg("%d faces, precision %d: term %s is %.9g, not %.9g", f->tables.face_count,
                     (int)f->options.engine.precision, ql_loss_name((ql_loss_term)term), ours->terms[term],
                     truth->terms[term]);
    }
}

static const struct {
    ql_precision precision;
    double sdf, angle;
} PRECISIONS[] = {{QL_PRECISION_FP32, 1e-5, 1e-5},
                  {QL_PRECISION_3XTF32, 2e-5, 1e-5},
                  {QL_PRECISION_TF32, 2e-5, 1e-2},
                  {QL_PRECISION_BF16, 2e-5, 6e-2}};

#endif
