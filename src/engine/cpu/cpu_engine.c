/* Engine cpu behind the seam: life, state, statistics (see cpu.h). */
#include "engine/cpu/cpu.h"

#include "base/log.h"

#include <string.h>

static ql_status cpu_available(void) { return QL_OK; }

static ql_status check_precision(const ql_engine_setup *setup)
{
    switch (setup->engine->precision) {
    case QL_PRECISION_FP32: return QL_OK;
    case QL_PRECISION_BF16:
        if (ql_cpu_isa_find()->multiply_bf16 != NULL) return QL_OK;
        return QL_FAIL(ENVIRONMENT,
                       "engine.precision bf16: engine cpu has no products of bf16 with its %s kernels; they need a "
                       "processor with AVX512_BF16; use fp32",
                       ql_cpu_isa_find()->name);
    default: return QL_FAIL(CONFIG, "engine cpu computes in fp32 or bf16; engine.precision asks for something else");
    }
}

static ql_status cpu_memory(const ql_engine_setup *setup, int64_t *bytes)
{
    ql_cpu *cpu;
    size_t size = 0;
    QL_TRY(QL_TAKE(cpu, 1));
    ql_status status = ql_cpu_plan(cpu, setup, &size);
    *bytes = (int64_t)size;
    ql_cpu_release(cpu);
    return status;
}

static void cpu_destroy(ql_engine *engine) { ql_cpu_release((ql_cpu *)engine); }

/* Tables as float32, and the angle network's inputs side by side. */
static void copy_tables(ql_cpu *cpu)
{
    const ql_tables *tables = cpu->setup.tables;
    const double *from[4] = {tables->points, tables->normals, tables->u, tables->v};
    float *to[4] = {cpu->points, cpu->normals, cpu->u, cpu->v};
    for (int k = 0; k < 4; ++k)
        for (int64_t i = 0; i < tables->face_count; ++i)
            for (int c = 0; c < 3; ++c) {
                to[k][3 * i + c] = (float)from[k][3 * i + c];
                cpu->input[i * QL_INPUT_LD + 3 * k + c] = to[k][3 * i + c];
            }
}

static void name_stages(ql_cpu *cpu)
{
    static const char *const names[QL_CPU_STAGES] = {
        "pack",  "angle forward", "surface points", "off-surface points", "smooth", "angle backward", "sum", "apply",
        "group", "wait"};
    memcpy(cpu->stage_names, names, sizeof names);
}

static ql_status start(ql_cpu *cpu, const ql_engine_setup *setup)
{
    size_t bytes = 0;
    ql_status status = ql_cpu_plan(cpu, setup, &bytes);
    if (status == QL_OK) status = QL_CHAIN(ql_arena_create_uncleared(&cpu->arena, bytes, &cpu->zeroed), "engine cpu");
    if (setup->group != NULL && setup->group->size > 1) status = ql_comm_agree(setup->group, status);
    if (status == QL_OK) status = ql_cpu_share_models(cpu);
    QL_TRY(status);
    if (!ql_cpu_take(cpu, &cpu->arena)) return QL_FAIL(INTERNAL, "engine cpu: arena too small");
    QL_TRY(ql_team_create(&cpu->team, cpu->members));
    ql_cpu_touch(cpu);
    copy_tables(cpu);
    ql_cpu_bind_biases(cpu);
    name_stages(cpu);
    QL_DEBUG("engine cpu: %s, %d threads, %d of %d shards, %zu MB, activations %s", cpu->isa->name, cpu->members,
             cpu->reduce.count, cpu->reduce.shards, bytes >> 20, cpu->keep ? "kept" : "computed twice");
    if (!cpu->keep && setup->engine->memory == QL_MEMORY_AUTO)
        QL_INFO("engine cpu: %d faces in %zu MB: there is no room to keep activations, they are computed twice",
                setup->tables->face_count, bytes >> 20);
    return QL_OK;
}

static ql_status cpu_create(ql_engine **engine, const ql_engine_setup *setup)
{
    *engine = NULL;
    QL_TRY(check_precision(setup));
    ql_cpu *cpu;
    QL_TRY(QL_TAKE(cpu, 1));
    cpu->base.kind = &ql_engine_cpu;
    ql_status status = start(cpu, setup);
    if (status != QL_OK) {
        ql_cpu_release(cpu);
        return status;
    }
    *engine = &cpu->base;
    return QL_OK;
}

static ql_status cpu_evaluate(ql_engine *engine, int64_t step, const ql_loss_weights *weights,
                              double terms[QL_LOSS_COUNT])
{
    return ql_cpu_evaluate((ql_cpu *)engine, step, weights, terms);
}

static ql_status cpu_apply(ql_engine *engine, int64_t step, double *norm)
{
    *norm = ql_cpu_apply((ql_cpu *)engine, step);
    return QL_OK;
}

static ql_status cpu_gradient(ql_engine *engine, double *gradient)
{
    const float *from = ((ql_cpu *)engine)->shard_gradient[0];
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i) gradient[i] = (double)from[i];
    return QL_OK;
}

static ql_status cpu_theta(ql_engine *engine, double *theta) { return ql_cpu_theta((ql_cpu *)engine, theta); }

static ql_status cpu_field(ql_engine *engine, const double *points, int64_t count, double *value, double *gradient,
                           double *hessian)
{
    return ql_cpu_field((ql_cpu *)engine, points, count, value, gradient, hessian);
}

static ql_status cpu_state(ql_engine *engine, ql_engine_state *state)
{
    ql_cpu *cpu = (ql_cpu *)engine;
    *state = (ql_engine_state){QL_FLOAT32, cpu->parameters, cpu->moment1, cpu->moment2};
    return QL_OK;
}

static ql_status cpu_set_state(ql_engine *engine, const ql_engine_state *state)
{
    ql_cpu *cpu = (ql_cpu *)engine;
    float *to[] = {cpu->parameters, cpu->moment1, cpu->moment2};
    const void *from[] = {state->parameters, state->moment1, state->moment2};
    for (int k = 0; k < 3; ++k) {
        const double *precise = from[k];
        if (state->type == QL_FLOAT32) memcpy(to[k], from[k], QL_PARAMETER_COUNT * sizeof(float));
        for (int i = 0; state->type == QL_FLOAT64 && i < QL_PARAMETER_COUNT; ++i) to[k][i] = (float)precise[i];
    }
    return QL_OK;
}

static double cpu_flop(const ql_engine *engine) { return ((const ql_cpu *)engine)->flop; }

/* Mean over the threads, so that the stages add up to the time of the steps. */
static int cpu_stages(const ql_engine *engine, const char *const **names, const double **seconds)
{
    ql_cpu *cpu = (ql_cpu *)(uintptr_t)engine;
    for (int s = 0; s < QL_CPU_STAGES; ++s) {
        cpu->stage_seconds[s] = 0;
        for (int m = 0; m < cpu->members; ++m) cpu->stage_seconds[s] += cpu->member[m].seconds[s] / cpu->members;
    }
    *names = cpu->stage_names;
    *seconds = cpu->stage_seconds;
    return QL_CPU_STAGES;
}

const ql_engine_class ql_engine_cpu = {
    .name = "cpu",
    .summary = "float32 on the cores of this machine",
    .available = cpu_available,
    .memory = cpu_memory,
    .create = cpu_create,
    .destroy = cpu_destroy,
    .evaluate = cpu_evaluate,
    .apply = cpu_apply,
    .gradient = cpu_gradient,
    .theta = cpu_theta,
    .field = cpu_field,
    .state = cpu_state,
    .set_state = cpu_set_state,
    .flop = cpu_flop,
    .stages = cpu_stages,
    .groups = true,
    .groups_exact = true,
    .most_ranks = ql_cpu_most_ranks,
};
