/* Engine ref: life, evaluation, optimiser (see ref.h). */
#include "engine/ref/ref.h"

#include "model/sample.h"

#include <omp.h>
#include <string.h>

static ql_status ref_available(void) { return QL_OK; }

/* ---- memory ---- */

static int take_all(ql_ref *ref, ql_arena *arena)
{
    size_t faces = (size_t)ref->setup.tables->face_count;
    int complete = 1;
    double **flat[] = {&ref->parameters, &ref->moment1, &ref->moment2, &ref->transposed};
    for (int k = 0; k < 4; ++k)
        complete &= (*flat[k] = ql_arena_take(arena, QL_PARAMETER_COUNT, sizeof(double))) != NULL;
    complete &= (ref->theta = ql_arena_take(arena, faces, sizeof(double))) != NULL;
    complete &= (ref->theta_adjoint = ql_arena_take(arena, faces, sizeof(double))) != NULL;
    complete &= (ref->gradient = ql_arena_take(arena, QL_PARAMETER_COUNT, sizeof(double))) != NULL;
    complete &= ql_reduce_take(&ref->reduce, arena);
    for (int s = 0; s < ref->reduce.count; ++s) {
        complete &= (ref->shard_gradient[s] = ql_arena_take(arena, QL_PARAMETER_COUNT, sizeof(double))) != NULL;
        complete &= ql_ref_sdf_take(&ref->sdf[s], arena) & ql_ref_angle_take(&ref->angle[s], ref->layout, arena);
    }
    return complete;
}

static void ref_destroy(ql_engine *engine)
{
    if (engine == NULL) return;
    ql_ref *ref = (ql_ref *)engine;
    ql_arena_destroy(&ref->arena);
    ql_reduce_destroy(&ref->reduce);
    ql_free(ref);
}

/* Everything but the memory, and how much of that. */
static ql_status plan(ql_ref **out, const ql_engine_setup *setup, int64_t *bytes)
{
    static const int64_t border[] = {0, QL_PARAMETER_COUNT};
    const ql_reduce_setup reduce = {.group = setup->group,
                                    .number = QL_NUMBER_FLOAT64,
                                    .fixed_shards = QL_REF_SHARDS,
                                    .border = border,
                                    .buckets = 1};
    ql_ref *ref;
    QL_TRY(QL_TAKE(ref, 1));
    ref->base.kind = &ql_engine_ref;
    ref->setup = *setup;
    ref->layout = ql_layout_get();
    ref->threads = setup->engine->threads > 0 ? (int)setup->engine->threads : omp_get_max_threads();
    ql_status status = ql_reduce_create(&ref->reduce, &reduce);
    if (status != QL_OK) {
        ref_destroy(&ref->base);
        return status;
    }
    ql_arena measuring = ql_arena_measuring();
    (void)take_all(ref, &measuring);
    *bytes = (int64_t)measuring.used;
    *out = ref;
    return QL_OK;
}

static ql_status ref_memory(const ql_engine_setup *setup, int64_t *bytes)
{
    ql_ref *ref;
    QL_TRY(plan(&ref, setup, bytes));
    ref_destroy(&ref->base);
    return QL_OK;
}

static ql_status ref_create(ql_engine **engine, const ql_engine_setup *setup)
{
    ql_ref *ref = NULL;
    int64_t bytes = 0;
    *engine = NULL;
    if (setup->engine->precision != QL_PRECISION_FP32 && setup->engine->precision != QL_PRECISION_FP64)
        return QL_FAIL(CONFIG, "engine ref computes in double; engine.precision must be fp32 or fp64");
    QL_TRY(plan(&ref, setup, &bytes));
    ql_status status = ql_arena_create(&ref->arena, (size_t)bytes);
    if (status == QL_OK && !take_all(ref, &ref->arena)) status = QL_FAIL(INTERNAL, "engine ref: arena too small");
    if (status != QL_OK) {
        ref_destroy(&ref->base);
        return status;
    }
    *engine = &ref->base;
    return QL_OK;
}

/* ---- state ---- */

static void transpose_weights(ql_ref *ref)
{
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) {
        const ql_entry *entry = &ref->layout->entry[e];
        const double *from = ref->parameters + entry->offset;
        double *to = ref->transposed + entry->offset;
        for (int32_t r = 0; r < entry->rows; ++r)
            for (int32_t c = 0; c < entry->columns; ++c) to[c * entry->rows + r] = from[r * entry->columns + c];
    }
}

static ql_status ref_state(ql_engine *engine, ql_engine_state *state)
{
    ql_ref *ref = (ql_ref *)engine;
    *state = (ql_engine_state){QL_FLOAT64, ref->parameters, ref->moment1, ref->moment2};
    return QL_OK;
}

static ql_status ref_set_state(ql_engine *engine, const ql_engine_state *state)
{
    ql_ref *ref = (ql_ref *)engine;
    double *to[] = {ref->parameters, ref->moment1, ref->moment2};
    const void *from[] = {state->parameters, state->moment1, state->moment2};
    for (int k = 0; k < 3; ++k)
        for (int i = 0; i < QL_PARAMETER_COUNT; ++i)
            to[k][i] = state->type == QL_FLOAT64 ? ((const double *)from[k])[i] : (double)((const float *)from[k])[i];
    transpose_weights(ref);
    return QL_OK;
}

static ql_status ref_gradient(ql_engine *engine, double *gradient)
{
    memcpy(gradient, ((ql_ref *)engine)->gradient, QL_PARAMETER_COUNT * sizeof *gradient);
    return QL_OK;
}

/* ---- evaluation ---- */

typedef struct step_context {
    ql_ref *ref;
    uint32_t step;
    const ql_loss_weights *weights;
    const double *drop;
} step_context;

/* First element of our shard s out of n. */
static int64_t shard_begin(const ql_ref *ref, int64_t n, int s) { return n * (ref->reduce.first + s) / QL_REF_SHARDS; }

static int block_count(int64_t at, int64_t end) { return (int)(end - at < QL_REF_ROWS ? end - at : QL_REF_ROWS); }

static void angle_forward_shard(ql_ref *ref, int s, const double *drop)
{
    int64_t faces = ref->setup.tables->face_count, end = shard_begin(ref, faces, s + 1);
    for (int64_t at = shard_begin(ref, faces, s); at < end; at += QL_REF_ROWS)
        ql_ref_angle_forward(ref, &ref->angle[s], (int32_t)at, block_count(at, end), drop, ref->theta + at);
}

static void surface_shard(step_context *context, int s)
{
    ql_ref *ref = context->ref;
    const ql_tables *tables = ref->setup.tables;
    const double *weight = context->weights->weight;
    ql_ref_sdf *sdf = &ref->sdf[s];
    double *terms = ref->shard_terms[s], faces = tables->face_count,
           points = faces + (double)ref->setup.train->off_points;
    int64_t end = shard_begin(ref, tables->face_count, s + 1);
    for (int64_t at = shard_begin(ref, tables->face_count, s); at < end; at += QL_REF_ROWS) {
        int count = block_count(at, end);
        double value[QL_REF_ROWS], gradient[QL_REF_ROWS * 3], hessian[QL_REF_ROWS * 6];
        memcpy(sdf->point, tables->points + 3 * at, (size_t)count * 3 * sizeof(double));
        ql_ref_sdf_forward(ref, sdf, count, 1);
        for (int p = 0; p < count; ++p) {
            int64_t i = at + p;
            double share = ref->setup.shares->align[i];
            ql_point_scale scale = {weight[QL_LOSS_SDF] / faces, 0, weight[QL_LOSS_EIKONAL] / points,
                                    weight[QL_LOSS_NORMAL] / faces, weight[QL_LOSS_ALIGN] * share};
            ql_point_adjoint adjoint;
            ql_point_terms t = ql_point_surface(sdf->value[p], sdf->gradient + 3 * p, sdf->hessian + 6 * p,
                                                tables->normals + 3 * i, tables->u + 3 * i, tables->v + 3 * i,
                                                cos(ref->theta[i]), sin(ref->theta[i]), &scale, &adjoint);
            terms[QL_LOSS_SDF] += t.sdf / faces;
            terms[QL_LOSS_EIKONAL] += t.eikonal / points;
            terms[QL_LOSS_NORMAL] += t.normal / faces;
            terms[QL_LOSS_ALIGN] += t.align * share;
            value[p] = adjoint.value;
            memcpy(gradient + 3 * p, adjoint.gradient, sizeof adjoint.gradient);
            memcpy(hessian + 6 * p, adjoint.hessian, sizeof adjoint.hessian);
            ref->theta_adjoint[i] = adjoint.theta;
        }
        ql_ref_sdf_backward(ref, sdf, count, value, gradient, hessian, ref->shard_gradient[s]);
    }
}

static void draw_off_point(const ql_ref *ref, uint32_t step, int64_t index, double point[3])
{
    const ql_train_options *train = ref->setup.train;
    float draw[3];
    int near = train->sampling == QL_SAMPLING_NEAR;
    if (ref->setup.fixed_off_points != NULL) {
        for (int c = 0; c < 3; ++c) point[c] = ref->setup.fixed_off_points[3 * index + c];
    } else if (index < ql_sample_near_count(train->off_points, near, train->near_fraction)) {
        const ql_tables *tables = ref->setup.tables;
        int32_t face = ql_sample_near(ref->setup.key, step, (uint64_t)index, tables->face_count, draw);
        for (int c = 0; c < 3; ++c)
            point[c] = tables->points[3 * (size_t)face + (size_t)c] + tables->sigma[face] * draw[c];
    } else {
        ql_sample_uniform(ref->setup.key, step, (uint64_t)index, near ? QL_NEAR_RANGE : QL_FAR_RANGE, draw);
        for (int c = 0; c < 3; ++c) point[c] = draw[c];
    }
}

static void off_shard(step_context *context, int s)
{
    ql_ref *ref = context->ref;
    const double *weight = context->weights->weight;
    ql_ref_sdf *sdf = &ref->sdf[s];
    int64_t total = ref->setup.train->off_points, end = shard_begin(ref, total, s + 1);
    double *terms = ref->shard_terms[s], off = (double)total, points = off + ref->setup.tables->face_count;
    const ql_point_scale scale = {0, weight[QL_LOSS_OFF] / off, weight[QL_LOSS_EIKONAL] / points, 0, 0};
    for (int64_t at = shard_begin(ref, total, s); at < end; at += QL_REF_ROWS) {
        int count = block_count(at, end);
        double value[QL_REF_ROWS], gradient[QL_REF_ROWS * 3];
        for (int p = 0; p < count; ++p) draw_off_point(ref, context->step, at + p, sdf->point + 3 * p);
        ql_ref_sdf_forward(ref, sdf, count, 0);
        for (int p = 0; p < count; ++p) {
            ql_point_adjoint adjoint;
            double e = exp(-100 * fabs(sdf->value[p]));
            ql_point_terms t = ql_point_off(sdf->value[p], e, sdf->gradient + 3 * p, &scale, &adjoint);
            terms[QL_LOSS_OFF] += t.off / off;
            terms[QL_LOSS_EIKONAL] += t.eikonal / points;
            value[p] = adjoint.value;
            memcpy(gradient + 3 * p, adjoint.gradient, sizeof adjoint.gradient);
        }
        ql_ref_sdf_backward(ref, sdf, count, value, gradient, NULL, ref->shard_gradient[s]);
    }
}

/* Smoothness: a face gathers all that depends on its own angle (see ql_point_smooth). */
static void smooth_shard(step_context *context, int s)
{
    ql_ref *ref = context->ref;
    const ql_tables *tables = ref->setup.tables;
    const double *share = ref->setup.shares->smooth, weight = context->weights->weight[QL_LOSS_SMOOTH];
    for (int64_t i = shard_begin(ref, tables->face_count, s); i < shard_begin(ref, tables->face_count, s + 1); ++i) {
        double sum = 0, slope_sum = 0;
        for (int32_t k = tables->neighbour_ptr[i]; k < tables->neighbour_ptr[i + 1]; ++k) {
            int32_t j = tables->neighbour[k];
            double delta = ref->theta[j] + tables->transport[k] - ref->theta[i], slope;
            if (isnan(tables->transport[k])) {
                sum -= 2;
                continue;
            }
            sum += ql_point_smooth(cos(delta), sin(delta), &slope);
            slope_sum += (share[i] + share[j]) * slope;
        }
        ref->shard_terms[s][QL_LOSS_SMOOTH] += share[i] * sum;
        ref->theta_adjoint[i] -= weight * slope_sum;
    }
}

static void angle_backward_shard(step_context *context, int s)
{
    ql_ref *ref = context->ref;
    int64_t faces = ref->setup.tables->face_count, end = shard_begin(ref, faces, s + 1);
    for (int64_t at = shard_begin(ref, faces, s); at < end; at += QL_REF_ROWS) {
        int count = block_count(at, end);
        double theta[QL_REF_ROWS];
        ql_ref_angle_forward(ref, &ref->angle[s], (int32_t)at, count, context->drop, theta);
        ql_ref_angle_backward(ref, &ref->angle[s], count, context->drop, ref->theta_adjoint + at,
                              ref->shard_gradient[s]);
    }
}

static void draw_dropped_blocks(ql_ref *ref, uint32_t step)
{
    for (int b = 0; b < QL_BLOCK_COUNT; ++b)
        ref->drop[b] = ref->setup.train->stochastic_depth
                           ? ql_sample_drop(ref->setup.key, step, (uint32_t)b, ref->layout->block[b].drop_rate)
                           : 1.0;
}

/* Rows that each rank has for its own shards of `count`; afterwards all have all. */
static ql_status gather(ql_ref *ref, double *array, int64_t count, int width)
{
    for (int rank = 0; rank <= ref->reduce.ranks; ++rank)
        ref->reduce.border[rank] = ql_reduce_begin_of(&ref->reduce, rank, count);
    return ql_reduce_gather(&ref->reduce, array, width, QL_NUMBER_FLOAT64);
}

static ql_status sum_shards(ql_ref *ref, const ql_loss_weights *weights, double terms[QL_LOSS_COUNT])
{
    ql_reduce *reduce = &ref->reduce;
    QL_TRY(ql_reduce_terms_begin(reduce, (const double(*)[QL_LOSS_COUNT])ref->shard_terms, ref->base.vote));
    ql_reduce_fill(reduce, 0, (const void *const *)ref->shard_gradient, ref->gradient, 0, QL_PARAMETER_COUNT);
    QL_TRY(ql_reduce_begin(reduce, 0));
    QL_TRY(ql_reduce_turn(reduce, 0, ref->gradient));
    QL_TRY(ql_reduce_finish(reduce, 0));
    QL_TRY(ql_reduce_terms_finish(reduce, terms, &ref->base.vote));
    terms[QL_LOSS_TOTAL] = ql_loss_total(weights, terms);
    return QL_OK;
}

static ql_status ref_evaluate(ql_engine *engine, int64_t step, const ql_loss_weights *weights,
                              double terms[QL_LOSS_COUNT])
{
    ql_ref *ref = (ql_ref *)engine;
    step_context context = {.ref = ref, .step = (uint32_t)step, .weights = weights, .drop = ref->drop};
    draw_dropped_blocks(ref, (uint32_t)step);
    memset(ref->shard_terms, 0, sizeof ref->shard_terms);
#pragma omp parallel for schedule(static) num_threads(ref->threads)
    for (int s = 0; s < ref->reduce.count; ++s) angle_forward_shard(ref, s, ref->drop);
    QL_TRY(gather(ref, ref->theta, ref->setup.tables->face_count, 1));
#pragma omp parallel for schedule(static) num_threads(ref->threads)
    for (int s = 0; s < ref->reduce.count; ++s) {
        memset(ref->shard_gradient[s], 0, QL_PARAMETER_COUNT * sizeof(double));
        surface_shard(&context, s);
        off_shard(&context, s);
        smooth_shard(&context, s);
        angle_backward_shard(&context, s);
    }
    return sum_shards(ref, weights, terms);
}

static ql_status ref_apply(ql_engine *engine, int64_t step, double *norm)
{
    ql_ref *ref = (ql_ref *)engine;
    const ql_train_options *train = ref->setup.train;
    const double *gradient = ref->gradient;
    double squares = 0;
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i) squares += gradient[i] * gradient[i];
    *norm = sqrt(squares);
    const ql_adam adam = ql_adam_at((double)(step + 1), *norm, train->clip_norm, train->learning_rate);
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i)
        ql_adam_update(&adam, gradient[i], &ref->parameters[i], &ref->moment1[i], &ref->moment2[i]);
    transpose_weights(ref);
    return QL_OK;
}

/* ---- outputs ---- */

static ql_status ref_theta(ql_engine *engine, double *theta)
{
    ql_ref *ref = (ql_ref *)engine;
#pragma omp parallel for schedule(static) num_threads(ref->threads)
    for (int s = 0; s < ref->reduce.count; ++s) angle_forward_shard(ref, s, NULL);
    QL_TRY(gather(ref, ref->theta, ref->setup.tables->face_count, 1));
    memcpy(theta, ref->theta, (size_t)ref->setup.tables->face_count * sizeof *theta);
    return QL_OK;
}

static void field_shard(ql_ref *ref, int s, const double *points, int64_t total, double *value, double *gradient,
                        double *hessian)
{
    ql_ref_sdf *sdf = &ref->sdf[s];
    int64_t end = shard_begin(ref, total, s + 1);
    for (int64_t at = shard_begin(ref, total, s); at < end; at += QL_REF_ROWS) {
        int count = block_count(at, end);
        memcpy(sdf->point, points + 3 * at, (size_t)count * 3 * sizeof(double));
        ql_ref_sdf_forward(ref, sdf, count, hessian != NULL);
        if (value != NULL) memcpy(value + at, sdf->value, (size_t)count * sizeof(double));
        if (gradient != NULL) memcpy(gradient + 3 * at, sdf->gradient, (size_t)count * 3 * sizeof(double));
        if (hessian != NULL) memcpy(hessian + 6 * at, sdf->hessian, (size_t)count * 6 * sizeof(double));
    }
}

static ql_status ref_field(ql_engine *engine, const double *points, int64_t count, double *value, double *gradient,
                           double *hessian)
{
    ql_ref *ref = (ql_ref *)engine;
#pragma omp parallel for schedule(static) num_threads(ref->threads)
    for (int s = 0; s < ref->reduce.count; ++s) field_shard(ref, s, points, count, value, gradient, hessian);
    QL_TRY(gather(ref, value, count, 1));
    QL_TRY(gather(ref, gradient, count, 3));
    return gather(ref, hessian, count, 6);
}

static double ref_flop(const ql_engine *engine)
{
    const ql_ref *ref = (const ql_ref *)engine;
    return ql_engine_flop_formula(ref->setup.tables->face_count, ref->setup.train->off_points);
}

const ql_engine_class ql_engine_ref = {
    .name = "ref",
    .summary = "plain loops in double precision: the definition of correct, slow",
    .available = ref_available,
    .memory = ref_memory,
    .create = ref_create,
    .destroy = ref_destroy,
    .evaluate = ref_evaluate,
    .apply = ref_apply,
    .gradient = ref_gradient,
    .theta = ref_theta,
    .field = ref_field,
    .state = ref_state,
    .set_state = ref_set_state,
    .flop = ref_flop,
    .groups = true,
    .groups_exact = true,
};
