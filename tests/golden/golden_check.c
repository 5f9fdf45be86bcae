/* Golden checks (see golden_check.h; tolerances from the README of the golden folder). */
#include "golden/golden_check.h"

#include "base/memory.h"
#include "model/layout.h"

#include <math.h>
#include <string.h>

/* Tolerances of a double engine. */
static const double TOLERANCE_DOUBLE = 1e-9, TOLERANCE_ROTATION = 1e-7, TOLERANCE_GRADIENT = 3e-7,
                    TOLERANCE_TABLES = 2e-6;
/* Of a float32 engine: factor on float32_error, and loss terms; steps 1 and 2 of the trajectory for all engines. */
static const double FACTOR_FLOAT32 = 3.0, TOLERANCE_LOSS_FLOAT32 = 2e-6;
static const double TOLERANCE_STEP[QL_GOLDEN_ROWS] = {0, 1e-5, 1e-4};

static void add_line(ql_golden_report *report, const char *subject, const char *quantity, double error,
                     double tolerance)
{
    if (report->count == QL_GOLDEN_LINES) return;
    ql_golden_line *line = &report->line[report->count++];
    line->subject = subject;
    (void)snprintf(line->quantity, sizeof line->quantity, "%s", quantity);
    line->error = error;
    line->tolerance = tolerance;
    if (!(error <= tolerance)) report->failed++;
}

static double relative_l2(const double *ours, const double *truth, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; ++i) {
        difference += (ours[i] - truth[i]) * (ours[i] - truth[i]);
        size += truth[i] * truth[i];
    }
    return size > 0 ? sqrt(difference / size) : sqrt(difference);
}

static double relative(double ours, double truth) { return fabs(ours - truth) / fmax(fabs(truth), 1e-300); }

/* ---- tables ---- */

/* Position in face i's list of an entry for neighbour j with the nearest transport; -1: none. */
static int32_t find_entry(const ql_tables *tables, int32_t i, int32_t j, double transport)
{
    int32_t best = -1;
    double best_gap = INFINITY;
    for (int32_t k = tables->neighbour_ptr[i]; k < tables->neighbour_ptr[i + 1]; ++k) {
        double gap = fabs(remainder(tables->transport[k] - transport, 2 * M_PI));
        if (tables->neighbour[k] == j && (gap < best_gap || best < 0)) {
            best = k;
            best_gap = gap;
        }
    }
    return best;
}

static void compare_neighbours(ql_golden_report *report, const ql_golden *golden, const ql_tables *ours)
{
    const ql_tables *truth = &golden->tables;
    double difference = 0, size = 0;
    int32_t wrong = 0;
    for (int32_t i = 0; i < truth->face_count; ++i) {
        wrong += truth->neighbour_ptr[i + 1] - truth->neighbour_ptr[i] !=
                 ours->neighbour_ptr[i + 1] - ours->neighbour_ptr[i];
        for (int32_t k = truth->neighbour_ptr[i]; k < truth->neighbour_ptr[i + 1]; ++k) {
            int32_t at = find_entry(ours, i, truth->neighbour[k], truth->transport[k]);
            wrong += at < 0;
            if (at < 0) continue;
            double gap = remainder(ours->transport[at] - truth->transport[k], 2 * M_PI);
            difference += gap * gap;
            size += truth->transport[k] * truth->transport[k];
        }
    }
    add_line(report, "tables", "neighbours (wrong)", wrong, 0);
    add_line(report, "tables", "transport", sqrt(difference / fmax(size, 1e-300)), TOLERANCE_TABLES);
}

ql_status ql_golden_check_tables(ql_golden_report *report, const ql_golden *golden)
{
    ql_topology topology = {0};
    ql_tables ours = {0};
    const ql_tables *truth = &golden->tables;
    int64_t faces = golden->mesh.face_count;
    ql_status status = ql_topology_build(&topology, &golden->mesh);
    if (status == QL_OK) status = ql_tables_build(&ours, &golden->mesh, &topology, 1);
    if (status == QL_OK) {
        double gap = 0; /* against the size of the mesh: a centre may be the origin */
        for (int c = 0; c < 3; ++c) gap = fmax(gap, fabs(ours.center[c] - truth->center[c]));
        add_line(report, "tables", "center", gap / truth->scale, TOLERANCE_TABLES);
        add_line(report, "tables", "scale", relative(ours.scale, truth->scale), TOLERANCE_TABLES);
        add_line(report, "tables", "points", relative_l2(ours.points, truth->points, 3 * faces), TOLERANCE_TABLES);
        add_line(report, "tables", "normals", relative_l2(ours.normals, truth->normals, 3 * faces), TOLERANCE_TABLES);
        add_line(report, "tables", "u", relative_l2(ours.u, truth->u, 3 * faces), TOLERANCE_TABLES);
        add_line(report, "tables", "v", relative_l2(ours.v, truth->v, 3 * faces), TOLERANCE_TABLES);
        add_line(report, "tables", "sigma", relative_l2(ours.sigma, truth->sigma, faces), TOLERANCE_TABLES);
        compare_neighbours(report, golden, &ours);
    }
    ql_tables_destroy(&ours);
    ql_topology_destroy(&topology);
    return status;
}

/* ---- engines ---- */

/* An engine at the golden initial state, with all that it borrows. */
typedef struct session {
    ql_options options;
    ql_loss_shares shares;
    float *zeros;
    ql_engine *engine;
} session;

static ql_status session_open(session *s, const ql_golden *golden, const ql_engine_class *kind,
                              const ql_engine_options *engine, ql_comm *group, bool deterministic)
{
    *s = (session){0};
    ql_options_init(&s->options);
    QL_TRY(ql_options_resolve(&s->options, "reference", NULL, NULL, 0));
    s->options.engine = *engine;
    s->options.train.off_points = golden->off_count;
    s->options.train.stochastic_depth = false;
    QL_TRY(ql_loss_shares_build(&s->shares, &golden->tables, QL_AVERAGING_GROUPS, 0, NULL));
    QL_TRY(QL_TAKE(s->zeros, QL_PARAMETER_COUNT));
    s->options.train.deterministic = deterministic;
    const ql_engine_setup setup = {.tables = &golden->tables,
                                   .shares = &s->shares,
                                   .train = &s->options.train,
                                   .engine = &s->options.engine,
                                   .fixed_off_points = golden->off_points,
                                   .group = group};
    QL_TRY(ql_engine_create(&s->engine, kind, &setup));
    ql_engine_state state = {QL_FLOAT32, golden->parameters, s->zeros, s->zeros};
    return kind->set_state(s->engine, &state);
}

static void session_close(session *s)
{
    if (s->engine != NULL) s->engine->kind->destroy(s->engine);
    ql_loss_shares_destroy(&s->shares);
    ql_free(s->zeros);
}

typedef struct outputs {
    double *value, *gradient, *hessian, *off_value, *off_gradient, *off_points, *theta, *parameter_gradient;
} outputs;

static ql_status outputs_take(outputs *out, const ql_golden *golden)
{
    size_t faces = (size_t)golden->mesh.face_count, m = (size_t)golden->off_count;
    QL_TRY(QL_TAKE(out->value, faces));
    QL_TRY(QL_TAKE(out->gradient, 3 * faces));
    QL_TRY(QL_TAKE(out->hessian, 9 * faces));
    QL_TRY(QL_TAKE(out->off_value, m));
    QL_TRY(QL_TAKE(out->off_gradient, 3 * m));
    QL_TRY(QL_TAKE(out->off_points, 3 * m));
    QL_TRY(QL_TAKE(out->theta, faces));
    return QL_TAKE(out->parameter_gradient, QL_PARAMETER_COUNT);
}

static void outputs_free(outputs *out)
{
    void *arrays[] = {out->value,        out->gradient,   out->hessian, out->off_value,
                      out->off_gradient, out->off_points, out->theta,   out->parameter_gradient};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) ql_free(arrays[k]);
}

/* xx xy xz yy yz zz, packed, becomes 3 x 3, in place from the back. */
static void unpack_hessian(double *h, int64_t faces)
{
    static const int place[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
    for (int64_t i = faces - 1; i >= 0; --i) {
        double packed[6];
        memcpy(packed, h + 6 * i, sizeof packed);
        for (int k = 0; k < 9; ++k) h[9 * i + k] = packed[place[k]];
    }
}

static ql_status check_outputs(ql_golden_report *report, const ql_golden *golden, ql_engine *engine, outputs *out,
                               bool single)
{
    const ql_engine_class *kind = engine->kind;
    int64_t faces = golden->mesh.face_count, m = golden->off_count;
    for (int64_t i = 0; i < 3 * m; ++i) out->off_points[i] = golden->off_points[i];
    QL_TRY(kind->field(engine, golden->tables.points, faces, out->value, out->gradient, out->hessian));
    unpack_hessian(out->hessian, faces);
    QL_TRY(kind->field(engine, out->off_points, m, out->off_value, out->off_gradient, NULL));
    QL_TRY(kind->theta(engine, out->theta));
    struct {
        const char *name;
        const double *ours, *truth;
        int64_t count;
        double error;
    } rows[] = {{"sdf", out->value, golden->sdf, faces, golden->error_sdf},
                {"gradient", out->gradient, golden->gradient, 3 * faces, golden->error_gradient},
                {"hessian", out->hessian, golden->hessian, 9 * faces, golden->error_hessian},
                {"off_sdf", out->off_value, golden->off_sdf, m, golden->error_off_sdf},
                {"off_gradient", out->off_gradient, golden->off_gradient, 3 * m, golden->error_off_gradient},
                {"theta", out->theta, golden->theta, faces, golden->error_theta}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; ++k)
        add_line(report, kind->name, rows[k].name, relative_l2(rows[k].ours, rows[k].truth, rows[k].count),
                 single ? FACTOR_FLOAT32 * rows[k].error : TOLERANCE_DOUBLE);
    return QL_OK;
}

static double loss_tolerance(int term, bool single)
{
    if (single) return TOLERANCE_LOSS_FLOAT32;
    return term == QL_LOSS_TOTAL || term == QL_LOSS_SMOOTH ? TOLERANCE_ROTATION : TOLERANCE_DOUBLE;
}

static ql_status check_steps(ql_golden_report *report, const ql_golden *golden, session *s, outputs *out, bool single)
{
    const ql_engine_class *kind = s->engine->kind;
    char name[40];
    double terms[QL_LOSS_COUNT], norm = 0;
    for (int step = 0; step < QL_GOLDEN_ROWS; ++step) {
        ql_loss_weights weights = ql_loss_weights_at(&s->options.train, step);
        QL_TRY(kind->evaluate(s->engine, step, &weights, terms));
        for (int term = 0; term < QL_LOSS_COUNT; ++term) {
            double truth = step == 0 ? golden->terms[term] : golden->trajectory[step][term];
            (void)snprintf(name, sizeof name, "step %d loss_%s", step, ql_loss_name((ql_loss_term)term));
            add_line(report, kind->name, name, relative(terms[term], truth),
                     step == 0 ? loss_tolerance(term, single) : TOLERANCE_STEP[step]);
        }
        if (step == 0) {
            double tolerance = single ? FACTOR_FLOAT32 * golden->error_parameter_gradient : TOLERANCE_GRADIENT;
            QL_TRY(kind->gradient(s->engine, out->parameter_gradient));
            add_line(report, kind->name, "parameter_gradient",
                     relative_l2(out->parameter_gradient, golden->parameter_gradient, QL_PARAMETER_COUNT), tolerance);
        }
        QL_TRY(kind->apply(s->engine, step, &norm));
        if (step == 0)
            add_line(report, kind->name, "gradient_norm", relative(norm, golden->gradient_norm),
                     single ? FACTOR_FLOAT32 * golden->error_parameter_gradient : TOLERANCE_ROTATION);
    }
    return QL_OK;
}

ql_status ql_golden_check_engine(ql_golden_report *report, const ql_golden *golden, const ql_engine_class *engine,
                                 const ql_engine_options *options, ql_comm *group, bool deterministic)
{
    session s;
    outputs out = {0};
    ql_engine_state state;
    ql_status status = session_open(&s, golden, engine, options, group, deterministic);
    if (status == QL_OK) status = outputs_take(&out, golden);
    if (status == QL_OK) {
        status = engine->state(s.engine, &state);
        bool single = state.type == QL_FLOAT32;
        if (status == QL_OK) status = check_outputs(report, golden, s.engine, &out, single);
        if (status == QL_OK) status = check_steps(report, golden, &s, &out, single);
    }
    outputs_free(&out);
    session_close(&s);
    return status;
}

/* ---- central differences ---- */

/* Worst relative L2 error over the axes of (field(p + h e) - field(p - h e)) / 2h against the analytic derivative. */
static ql_status field_differences(ql_golden_report *report, const ql_golden *golden, ql_engine *engine, outputs *out)
{
    const double h = 1e-6;
    int64_t faces = golden->mesh.face_count;
    double *plus = NULL, *minus = NULL, *moved = NULL;
    double value_error = 0, value_size = 0, slope_error = 0, slope_size = 0;
    ql_status status = QL_TAKE(plus, 4 * faces);
    if (status == QL_OK) status = QL_TAKE(minus, 4 * faces);
    if (status == QL_OK) status = QL_TAKE(moved, 3 * faces);
    for (int axis = 0; status == QL_OK && axis < 3; ++axis) {
        for (int side = 0; status == QL_OK && side < 2; ++side) {
            double *into = side == 0 ? plus : minus;
            memcpy(moved, golden->tables.points, (size_t)(3 * faces) * sizeof *moved);
            for (int64_t i = 0; i < faces; ++i) moved[3 * i + axis] += side == 0 ? h : -h;
            status = engine->kind->field(engine, moved, faces, into, into + faces, NULL);
        }
        for (int64_t i = 0; status == QL_OK && i < faces; ++i) {
            double slope = (plus[i] - minus[i]) / (2 * h), exact = out->gradient[3 * i + axis];
            value_error += (slope - exact) * (slope - exact);
            value_size += exact * exact;
            for (int c = 0; c < 3; ++c) {
                slope = (plus[faces + 3 * i + c] - minus[faces + 3 * i + c]) / (2 * h);
                exact = out->hessian[9 * i + 3 * c + axis];
                slope_error += (slope - exact) * (slope - exact);
                slope_size += exact * exact;
            }
        }
    }
    if (status == QL_OK) {
        add_line(report, "differences", "gradient of sdf", sqrt(value_error / value_size), 1e-7);
        add_line(report, "differences", "hessian of sdf", sqrt(slope_error / slope_size), 1e-7);
    }
    ql_free(plus);
    ql_free(minus);
    ql_free(moved);
    return status;
}

/* Total loss with the parameters moved by `distance` along random direction number `which`; returns the slope that the
 * gradient predicts in *predicted. Directions scale with each parameter array's part of the gradient's size. */
static ql_status moved_loss(const ql_golden *golden, session *s, const double *gradient, uint64_t which,
                            double distance, double *moved, double *predicted, double *total)
{
    const ql_engine_class *kind = s->engine->kind;
    ql_key key = ql_key_make(which, 7);
    double terms[QL_LOSS_COUNT];
    int64_t first = which == 2 ? QL_SDF_PARAMETER_COUNT : 0,
            end = which == 1 ? QL_SDF_PARAMETER_COUNT : QL_PARAMETER_COUNT;
    *predicted = 0;
    for (int64_t i = 0; i < QL_PARAMETER_COUNT; ++i) {
        double direction = 2 * (double)ql_uniform(ql_random_at(key, QL_STREAM_TEST, 0, (uint64_t)i).r[0]) - 1;
        if (i < first || i >= end) direction = 0;
        moved[i] = (double)golden->parameters[i] + distance * direction;
        *predicted += gradient[i] * direction;
    }
    double *zeros = NULL;
    QL_TRY(QL_TAKE(zeros, QL_PARAMETER_COUNT));
    ql_engine_state state = {QL_FLOAT64, moved, zeros, zeros};
    ql_loss_weights weights = ql_loss_weights_at(&s->options.train, 0);
    ql_status status = kind->set_state(s->engine, &state);
    if (status == QL_OK) status = kind->evaluate(s->engine, 0, &weights, terms);
    *total = terms[QL_LOSS_TOTAL];
    ql_free(zeros);
    return status;
}

/* Direction 1 moves the SDF network alone, 2 the angle network alone, 3 both. The loss has kinks (absolute values): the
 * distance is so small that hardly any is crossed. */
static ql_status parameter_differences(ql_golden_report *report, const ql_golden *golden, session *s, outputs *out)
{
    static const char *const names[] = {"", "slope of loss, sdf parameters", "slope of loss, angle parameters",
                                        "slope of loss, all parameters"};
    const double distance = 1e-9;
    double *moved = NULL, predicted, terms[QL_LOSS_COUNT];
    ql_loss_weights weights = ql_loss_weights_at(&s->options.train, 0);
    QL_TRY(s->engine->kind->evaluate(s->engine, 0, &weights, terms));
    QL_TRY(s->engine->kind->gradient(s->engine, out->parameter_gradient));
    QL_TRY(QL_TAKE(moved, QL_PARAMETER_COUNT));
    ql_status status = QL_OK;
    for (uint64_t which = 1; which <= 3 && status == QL_OK; ++which) {
        double plus = 0, minus = 0, step = which == 2 ? 1e-8 : distance;
        status = moved_loss(golden, s, out->parameter_gradient, which, step, moved, &predicted, &plus);
        if (status == QL_OK)
            status = moved_loss(golden, s, out->parameter_gradient, which, -step, moved, &predicted, &minus);
        if (status == QL_OK)
            add_line(report, "differences", names[which], relative((plus - minus) / (2 * step), predicted), 2e-4);
    }
    ql_free(moved);
    return status;
}

ql_status ql_golden_check_differences(ql_golden_report *report, const ql_golden *golden)
{
    session s;
    outputs out = {0};
    ql_engine_options options = {.name = "ref"};
    ql_status status = session_open(&s, golden, &ql_engine_ref, &options, NULL, true);
    if (status == QL_OK) status = outputs_take(&out, golden);
    if (status == QL_OK) {
        int64_t faces = golden->mesh.face_count;
        status = s.engine->kind->field(s.engine, golden->tables.points, faces, out.value, out.gradient, out.hessian);
        unpack_hessian(out.hessian, faces);
        if (status == QL_OK) status = field_differences(report, golden, s.engine, &out);
        if (status == QL_OK) status = parameter_differences(report, golden, &s, &out);
    }
    outputs_free(&out);
    session_close(&s);
    return status;
}
