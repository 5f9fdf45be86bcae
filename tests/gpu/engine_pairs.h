/* Two engines side by side on small meshes: gradient, outputs and an Adam step. For tests of engine cuda with and without
 * a GPU.
 *
 * The loss has kinks: the absolute values of E_align and E_smooth, and every ReLU of the angle network. Where an argument is within
 * rounding of zero, two engines, or two orders of one engine's sums, may take different signs. What they compute is continuous there,
 * its derivative is not, and the gradient differs by a whole point's share (an absolute value) or a whole unit's (a ReLU). On a torus
 * cut no argument of an absolute value is that close to zero at the fixture's parameters for float32 (neighbours in one plane, as on a
 * bracket, have angles that differ by next to nothing); tf32 and bf16 move the angles by 1e-3 and 5e-3, which turns as many of the
 * signs: that, not the products' error, is the size of their angle gradients' tolerance. */
#ifndef QL_TEST_ENGINE_PAIRS_H
#define QL_TEST_ENGINE_PAIRS_H

#include "support/engine_fixture.h"

#include "comm/comm.h"

/* The run's seed: one whose fixtures keep clear of kinks at the tests' sizes (with others engine cpu turns a sign against
 * engine ref, too: 1e-4 of the angle gradient). */
enum { SEED = 2 };

/* At 1,000 faces an engine's two orders of sums part with seeds 2 and 3, by ReLUs as far as one can tell: recomputed against kept,
 * with and without fused blocks alike, angles agree to 3e-7, but the gradients of E_align alone and of E_smooth alone are off
 * together, by 1.6e-6 and 5e-6 with seed 2, 1.4e-5 and 6e-5 with seed 3, and no difference of angles is near enough to a kink of
 * E_smooth (abs sin, abs cos) to turn it. What both terms share is the angle network, whose only kinks are ReLUs. */
enum { SEED_OF_1000 = 4 };

typedef struct outcome {
    double terms[QL_LOSS_COUNT], norm, *gradient, *theta;
    double adam;                     /* error of the step taken, in units of what float32 may lose */
    double field[20], field_ref[20]; /* at two points after the step, and engine ref's at the same parameters */
} outcome;

/* Distance of the step that was taken from Adam's, written out in double, on the engine's own gradient: comparing the steps of
 * two engines would mostly compare signs of entries near zero, since Adam divides by sizes. A parameter holds half a unit
 * in its last place; the step itself is a dozen float32 operations. */
static double adam_error(const outcome *out, const fixture *f, const float *moved, double t)
{
    const double clip = fmin(1, f->options.train.clip_norm / (out->norm + 1e-6)), rate = f->options.train.learning_rate;
    double worst = 0;
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i) {
        double g = clip * out->gradient[i], m = 0.1 * g, v = 0.001 * g * g;
        double step = -rate * m / (1 - pow(0.9, t)) / (sqrt(v / (1 - pow(0.999, t))) + 1e-8);
        double expected = f->parameters[i] + step, unit = ldexp(fmax(fabs(expected), fabs(f->parameters[i])), -24);
        worst = fmax(worst, fabs(moved[i] - expected) / (unit + 1e-6 * fabs(step) + 1e-30));
    }
    return worst;
}

static void read_field(const fixture *f, ql_engine *engine, double field[20])
{
    ASSERT_OK(
        engine->kind->field(engine, f->tables.points, f->tables.face_count < 2 ? 1 : 2, field, field + 2, field + 8));
}

static void run(outcome *out, fixture *f, const ql_engine_class *kind)
{
    const int64_t step = 3;
    memset(out, 0, sizeof *out);
    ql_engine *engine = start(f, kind);
    const ql_precision precision = f->options.engine.precision;
    f->options.engine.precision = QL_PRECISION_FP32;
    ql_engine *ref = start(f, &ql_engine_ref);
    f->options.engine.precision = precision;
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
    ql_engine_state state;
    float *moved = NULL;
    ASSERT_OK(QL_TAKE(out->gradient, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(out->theta, f->tables.face_count));
    ASSERT_OK(QL_TAKE(moved, QL_PARAMETER_COUNT));
    ASSERT_OK(kind->theta(engine, out->theta)); /* first, so that a step must undo what an output leaves */
    ASSERT_OK(kind->evaluate(engine, step, &weights, out->terms));
    ASSERT_OK(kind->gradient(engine, out->gradient));
    ASSERT_OK(kind->apply(engine, step, &out->norm));
    read_field(f, engine, out->field);
    ASSERT_OK(kind->state(engine, &state));
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i)
        moved[i] = state.type == QL_FLOAT64 ? (float)((double *)state.parameters)[i] : ((float *)state.parameters)[i];
    out->adam = adam_error(out, f, moved, (double)(step + 1));
    ASSERT_OK(ql_engine_ref.set_state(ref, &state));
    read_field(f, ref, out->field_ref);
    kind->destroy(engine);
    ql_engine_ref.destroy(ref);
    ql_free(moved);
}

static void discard(outcome *out)
{
    ql_free(out->gradient);
    ql_free(out->theta);
}

/* What a precision may lose; times `room` (1 between engines on the host). Measured on the fixtures at 1 to 1,000 faces,
 * engine cpu and engine cuda's bodies against engine ref, and doubled. */
typedef struct tolerance {
    ql_precision precision;
    double sdf, angle, theta, sdf_terms, angle_terms;
} tolerance;

static const tolerance PRECISIONS[] = {
    {QL_PRECISION_FP32, 6e-6, 5e-6, 1e-6, 4e-6, 2e-6},
    {QL_PRECISION_3XTF32, 6e-6, 5e-6, 1e-6, 4e-6, 2e-6},
    {QL_PRECISION_TF32, 3e-5, 6e-2, 1e-3, 4e-6, 1e-3},
    {QL_PRECISION_BF16, 1e-4, 2e-1, 4e-3, 4e-6, 4e-3},
};
enum { QUANTITIES = 6 };
static const char *const QUANTITY[QUANTITIES] = {"sdf gradient", "angle gradient", "theta",
                                                 "norm",         "Adam step",      "field"};

static void gaps_of(double gaps[QUANTITIES], const outcome *ours, const outcome *truth, const fixture *f)
{
    const int sdf = QL_SDF_PARAMETER_COUNT, faces = f->tables.face_count;
    double theta = 0;
    for (int i = 0; i < faces; ++i) theta = fmax(theta, fabs(ours->theta[i] - truth->theta[i]));
    gaps[0] = distance(ours->gradient, truth->gradient, sdf);
    gaps[1] = distance(ours->gradient + sdf, truth->gradient + sdf, QL_PARAMETER_COUNT - sdf);
    gaps[2] = theta;
    gaps[3] = fabs(ours->norm / truth->norm - 1);
    gaps[4] = ours->adam;
    gaps[5] = distance(ours->field, ours->field_ref, 20);
}

static void compare(const outcome *ours, const outcome *truth, const fixture *f, const tolerance *t, double room)
{
    double gaps[QUANTITIES], most[QUANTITIES] = {t->sdf, t->angle, t->theta, t->sdf, 1.2, PRECISIONS[0].sdf};
    gaps_of(gaps, ours, truth, f);
    for (int k = 0; k < QUANTITIES; ++k)
        if (!(gaps[k] <= (k == 4 ? 1 : room) * most[k]))
            fail_msg("%d faces, precision %d: %s off by %g, allowed %g", f->tables.face_count, (int)t->precision,
                     QUANTITY[k], gaps[k], most[k]);
    for (int term = 1; term < QL_LOSS_COUNT; ++term) {
        double relative = term >= QL_LOSS_ALIGN ? t->angle_terms : t->sdf_terms;
        double allowed = room * (relative * fabs(truth->terms[term]) + 0.5 * t->theta);
        if (term < QL_LOSS_ALIGN) allowed = room * relative * fabs(truth->terms[term]);
        if (!(fabs(ours->terms[term] - truth->terms[term]) <= allowed))
            fail_msg("%d faces, precision %d: term %s is %.9g, not %.9g (allowed %g)", f->tables.face_count,
                     (int)t->precision, ql_loss_name((ql_loss_term)term), ours->terms[term], truth->terms[term],
                     allowed);
    }
}

/* The gradient of step 3, asked for three times (launch by launch, while it is recorded, as recorded); all must be alike. */
static void three_times(fixture *f, const ql_engine_class *kind, double *gradient)
{
    double *again = NULL, terms[QL_LOSS_COUNT];
    ql_engine *engine = NULL;
    ql_engine_state initial = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, 3);
    ASSERT_OK(QL_TAKE(again, QL_PARAMETER_COUNT));
    ASSERT_OK(kind->create(&engine, &f->setup));
    ASSERT_OK(kind->set_state(engine, &initial));
    for (int k = 0; k < 3; ++k) {
        ASSERT_OK(kind->evaluate(engine, 3, &weights, terms));
        ASSERT_OK(kind->gradient(engine, k == 0 ? gradient : again));
        if (k > 0) assert_memory_equal(gradient, again, QL_PARAMETER_COUNT * sizeof *again);
    }
    kind->destroy(engine);
    ql_free(again);
}

/* Steps 0 to 5, one by one, or sent ahead so many at a time; leaves terms, norms and the parameters of the end. */
static void six_steps(fixture *f, const ql_engine_class *kind, bool ahead, double rows[6][QL_LOSS_COUNT + 1],
                      float *parameters)
{
    static const int blocks[] = {1, 1, 3, 1}; /* launch by launch, while it is recorded, as recorded */
    ql_engine *engine = start(f, kind);
    ql_engine_state state;
    ql_loss_weights weights[6];
    double terms[6][QL_LOSS_COUNT], norms[6];
    for (int k = 0; k < 6; ++k) weights[k] = ql_loss_weights_at(&f->options.train, k);
    for (int k = 0, block = 0; k < 6; k += ahead ? blocks[block++] : 1)
        if (ahead) {
            ASSERT_OK(ql_engine_steps(engine, k, blocks[block], &weights[k], &terms[k], &norms[k]));
        } else {
            ASSERT_OK(kind->evaluate(engine, k, &weights[k], terms[k]));
            ASSERT_OK(kind->apply(engine, k, &norms[k]));
        }
    for (int k = 0; k < 6; ++k) {
        memcpy(rows[k], terms[k], sizeof terms[k]);
        rows[k][QL_LOSS_COUNT] = norms[k];
    }
    ASSERT_OK(kind->state(engine, &state));
    memcpy(parameters, state.parameters, QL_PARAMETER_COUNT * sizeof *parameters);
    kind->destroy(engine);
}

/* Steps that the device takes without the host have the bytes of those that it takes one by one: the norm, the clip and Adam's
 * coefficients are the same on both sides. */
static void ahead_as_one_by_one(const ql_engine_class *kind)
{
    fixture f;
    double single[6][QL_LOSS_COUNT + 1], several[6][QL_LOSS_COUNT + 1];
    float *parameters[2] = {NULL, NULL};
    open_fixture(&f, "torus", 33, SEED);
    assert_true(f.options.train.stochastic_depth);
    for (int k = 0; k < 2; ++k) ASSERT_OK(QL_TAKE(parameters[k], QL_PARAMETER_COUNT));
    assert_non_null(kind->advance);
    six_steps(&f, kind, false, single, parameters[0]);
    six_steps(&f, kind, true, several, parameters[1]);
    assert_memory_equal(single, several, sizeof single);
    assert_memory_equal(parameters[0], parameters[1], QL_PARAMETER_COUNT * sizeof **parameters);
    assert_true(memcmp(parameters[0], f.parameters, QL_PARAMETER_COUNT * sizeof **parameters) != 0);
    for (int k = 0; k < 2; ++k) ql_free(parameters[k]);
    close_fixture(&f);
}

/* A group of one rank has the same bytes as none, with its sums and angles sent round (and, on a GPU, in the graph), asked for one
 * by one and sent ahead. */
static void group_of_one(const ql_engine_class *kind)
{
    fixture f;
    ql_comm *self;
    double *gradient[2] = {NULL, NULL}, rows[2][6][QL_LOSS_COUNT + 1];
    float *parameters[2] = {NULL, NULL};
    open_fixture(&f, "torus", 33, SEED);
    ASSERT_OK(ql_comm_self(&self));
    for (int k = 0; k < 2; ++k) {
        ASSERT_OK(QL_TAKE(gradient[k], QL_PARAMETER_COUNT));
        ASSERT_OK(QL_TAKE(parameters[k], QL_PARAMETER_COUNT));
        f.setup.group = k > 0 ? self : NULL;
        if (k > 0) (void)setenv("QL_CUDA_NCCL_ALONE", "1", 1);
        three_times(&f, kind, gradient[k]);
        six_steps(&f, kind, k > 0, rows[k], parameters[k]);
    }
    (void)unsetenv("QL_CUDA_NCCL_ALONE");
    assert_memory_equal(gradient[0], gradient[1], QL_PARAMETER_COUNT * sizeof *gradient[0]);
    assert_memory_equal(parameters[0], parameters[1], QL_PARAMETER_COUNT * sizeof *parameters[0]);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    for (int k = 0; k < 2; ++k) {
        ql_free(gradient[k]);
        ql_free(parameters[k]);
    }
    ql_comm_destroy(self);
    close_fixture(&f);
}

#endif
