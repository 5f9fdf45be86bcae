/* Sizes and memory of engine cpu (see cpu.h). */
#include "engine/cpu/cpu.h"

#include "base/machine.h"

/* ---- how the work is split ---- */

static ql_cpu_split split_of(const ql_cpu *cpu, int64_t count, int32_t most_rows)
{
    const ql_reduce *reduce = &cpu->reduce;
    ql_cpu_split split = {.count = count, .shards = reduce->shards, .first = reduce->first};
    int64_t most = (count + split.shards - 1) / split.shards;
    split.chunks = (int32_t)((most + most_rows - 1) / most_rows);
    if (split.chunks < 1) split.chunks = 1;
    split.rows = (int32_t)((most + split.chunks - 1) / split.chunks + QL_CPU_ROWS_UNIT - 1) / QL_CPU_ROWS_UNIT *
                 QL_CPU_ROWS_UNIT;
    return split;
}

/* Shards of a mesh for the same bytes everywhere. */
static int32_t fixed_shards(int64_t faces)
{
    int32_t shards = 1;
    while (shards < QL_CPU_SHARDS_FEW && 2 * shards <= faces / QL_CPU_FACES_PER_SHARD_FEW) shards *= 2;
    while (shards < QL_CPU_SHARDS_MOST && 2 * shards <= faces / QL_CPU_FACES_PER_SHARD) shards *= 2;
    return shards;
}

int64_t ql_cpu_most_ranks(const ql_train_options *train, int64_t faces)
{
    return train->deterministic ? fixed_shards(faces) : faces;
}

static ql_status split_work(ql_cpu *cpu)
{
    /* the SDF network's gradient is complete last */
    static const int64_t border[] = {0, QL_SDF_PARAMETER_COUNT, QL_PARAMETER_COUNT};
    const ql_engine_setup *setup = &cpu->setup;
    const int32_t faces = setup->tables->face_count;
    const ql_reduce_setup reduce = {.group = setup->group,
                                    .number = QL_NUMBER_FLOAT32,
                                    .fixed_shards = setup->train->deterministic ? fixed_shards(faces) : 0,
                                    .own_shards = cpu->members,
                                    .border = border,
                                    .buckets = 2};
    QL_TRY(ql_reduce_create(&cpu->reduce, &reduce));
    cpu->angle_split = split_of(cpu, faces, QL_CPU_ANGLE_ROWS);
    cpu->surface_split = split_of(cpu, faces, QL_CPU_SURFACE_ROWS);
    cpu->off_split = split_of(cpu, setup->train->off_points, QL_CPU_OFF_ROWS);
    cpu->off_parts = QL_CPU_OFF_PARTS / cpu->reduce.shards > 1 ? QL_CPU_OFF_PARTS / cpu->reduce.shards : 1;
    return QL_OK;
}

/* ---- where a chunk's activations are kept ---- */

typedef struct cursor {
    int32_t matrices, stats; /* floats per row so far; the record begins with the statistics */
} cursor;

enum { STATS = 96 };

static ql_slot next_slot(cursor *at, int32_t width)
{
    ql_slot slot = {at->matrices, width + QL_PAD, 0};
    at->matrices += slot.ld;
    return slot;
}

static int32_t next_stat(cursor *at, int32_t count)
{
    int32_t offset = at->stats;
    at->stats += count;
    return offset;
}

static ql_slot columns_of(ql_slot wide, int32_t first)
{
    wide.column = first;
    return wide;
}

/* Blocks of a stage from x on; the last one writes to `last` where that is given. Returns where the stage's output is. */
static ql_slot stage_slots(ql_angle_slots *slots, cursor *at, ql_stage stage, ql_slot x, const ql_slot *last)
{
    const ql_layout *layout = ql_layout_get();
    for (int b = layout->stage_begin[stage]; b < layout->stage_begin[stage + 1]; ++b) {
        const ql_block *block = &layout->block[b];
        ql_block_slots *s = &slots->block[b];
        s->x = x;
        s->y = last != NULL && b + 1 == layout->stage_begin[stage + 1] ? *last : next_slot(at, block->width);
        s->hat1 = next_slot(at, block->inner);
        s->hat2 = next_slot(at, block->inner);
        s->rate1 = next_stat(at, 1);
        s->rate2 = next_stat(at, 1);
        x = s->y;
    }
    return x;
}

/* Concatenations cost nothing: what goes into [e_k, d] or [d3, s2, s1, s0] is written there at once. */
static void place_activations(ql_angle_slots *slots)
{
    cursor at = {.matrices = STATS};
    ql_slot join[4]; /* [e2, d0], [e1, d1], [e0, d2], [d3, s2, s1, s0] */
    for (int k = 0; k < 4; ++k) join[k] = next_slot(&at, 512);
    slots->in_hat = next_slot(&at, 256);
    slots->a0 = next_slot(&at, 256);
    ql_slot x = slots->a0;
    for (int k = 0; k < 3; ++k) x = stage_slots(slots, &at, (ql_stage)(QL_STAGE_E0 + k), x, &join[2 - k]);
    slots->widen_hat = next_slot(&at, 512);
    slots->a3 = next_slot(&at, 512);
    (void)stage_slots(slots, &at, QL_STAGE_E3, slots->a3, NULL);
    for (int k = 0; k < 3; ++k) {
        slots->d[k] = columns_of(join[k], 256);
        slots->s[k] = columns_of(join[3], 128 * (3 - k));
        (void)stage_slots(slots, &at, (ql_stage)(QL_STAGE_D1 + k), join[k], NULL);
    }
    slots->d[3] = join[3];
    (void)stage_slots(slots, &at, QL_STAGE_H, join[3], NULL);
    slots->h = next_slot(&at, 128);
    slots->hidden = next_slot(&at, 32);
    slots->in_rate = next_stat(&at, 1);
    slots->widen_rate = next_stat(&at, 1);
    for (int k = 0; k < 4; ++k) slots->d_stat[k] = next_stat(&at, 2);
    for (int k = 0; k < 3; ++k) slots->s_stat[k] = next_stat(&at, 2);
    slots->h_stat = next_stat(&at, 2);
    slots->out_stat = next_stat(&at, 2);
    slots->record_floats = at.matrices;
}

/* ---- memory ---- */

static float *take(ql_arena *arena, size_t rows, size_t columns, bool *complete)
{
    float *array = ql_arena_take(arena, rows * columns, sizeof(float));
    *complete &= array != NULL;
    return array;
}

static void take_packed(ql_packed *packed, const ql_dense *shape, bool bf16, ql_arena *arena, bool *complete)
{
    const size_t floats = (size_t)shape->in * (size_t)shape->out / (bf16 ? 2 : 1);
    packed->bf16 = bf16;
    packed->forward = take(arena, 1, floats, complete);
    packed->reverse = take(arena, 1, floats, complete);
}

static void take_models(ql_cpu *cpu, ql_arena *arena, bool *complete)
{
    const ql_layout *layout = cpu->layout;
    ql_angle_model *angle = &cpu->angle;
    const bool bf16 = cpu->setup.engine->precision == QL_PRECISION_BF16;
    for (int l = 0; l < QL_SDF_HIDDEN; ++l) {
        cpu->sdf.bias[l] = take(arena, 1, QL_SDF_WIDTH, complete);
        if (l == 0) continue;
        cpu->sdf.forward[l] = take(arena, QL_SDF_WIDTH, QL_SDF_WIDTH, complete);
        cpu->sdf.reverse[l] = take(arena, QL_SDF_WIDTH, QL_SDF_WIDTH, complete);
    }
    for (int d = 0; d < 3; ++d) cpu->sdf.first[d] = take(arena, 1, QL_SDF_WIDTH, complete);
    cpu->sdf.last = take(arena, 1, QL_SDF_WIDTH, complete);
    take_packed(&angle->in, &layout->in, false, arena, complete);
    take_packed(&angle->widen, &layout->widen, bf16, arena, complete);
    take_packed(&angle->hidden, &layout->out_hidden, bf16, arena, complete);
    take_packed(&angle->h_tail, &layout->h_tail.linear, bf16, arena, complete);
    for (int k = 0; k < 4; ++k) take_packed(&angle->d_tail[k], &layout->d_tail[k].linear, bf16, arena, complete);
    for (int k = 0; k < 3; ++k) take_packed(&angle->s_tail[k], &layout->s_tail[k].linear, bf16, arena, complete);
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) {
        take_packed(&angle->down[b], &layout->block[b].down, bf16, arena, complete);
        take_packed(&angle->mid[b], &layout->block[b].mid, bf16, arena, complete);
        take_packed(&angle->up[b], &layout->block[b].up, bf16, arena, complete);
        cpu->up_bias[b] = take(arena, 1, (size_t)layout->block[b].width, complete);
    }
}

static void take_sdf_work(ql_sdf_work *work, int32_t rows, bool second, ql_arena *arena, bool *complete)
{
    const size_t n = (size_t)rows, blocks = second ? 4 : 1;
    work->second = second;
    work->capacity = rows;
    for (int l = 0; l < QL_SDF_HIDDEN; ++l) {
        bool top = l + 1 == QL_SDF_HIDDEN;
        work->cosine[l] = take(arena, n * blocks, QL_SDF_LD, complete);
        work->sine[l] = take(arena, top ? n : n * (blocks + 1), QL_SDF_LD, complete);
        if (!top) work->delta[l] = take(arena, n, QL_SDF_LD, complete);
        work->z_adjoint[l] = take(arena, n, QL_SDF_LD, complete);
    }
    work->left = take(arena, n * (blocks + 1), QL_SDF_LD, complete);
    work->product = take(arena, n * blocks, QL_SDF_LD, complete);
    work->column = take(arena, 4 + QL_SDF_HIDDEN, QL_SDF_WIDTH, complete);
    work->point = take(arena, n, 3, complete);
    work->value = take(arena, n, 1, complete);
    work->gradient = take(arena, n, 3, complete);
    work->hessian = take(arena, n, 6, complete);
    work->value_adjoint = take(arena, n, 1, complete);
    work->gradient_adjoint = take(arena, n, 3, complete);
    work->hessian_adjoint = take(arena, n, 6, complete);
}

static void take_angle_work(ql_angle_work *work, int32_t rows, bool bf16, ql_arena *arena, bool *complete)
{
    work->capacity = rows;
    for (int k = 0; k < 3; ++k) {
        work->wide[k] = take(arena, (size_t)rows, 512 + QL_PAD, complete);
        work->narrow[k] = take(arena, (size_t)rows, 128 + QL_PAD, complete);
        work->e_adjoint[k] = take(arena, (size_t)rows, 256 + QL_PAD, complete);
        work->d_adjoint[k] = take(arena, (size_t)rows, 256 + QL_PAD, complete);
    }
    work->first = take(arena, 256, QL_INPUT_LD, complete);
    if (bf16) work->scratch = take(arena, 1, QL_BF16_SCRATCH(rows), complete);
}

static size_t record_size(const ql_cpu *cpu)
{
    return (size_t)cpu->slots.record_floats * (size_t)cpu->angle_split.rows;
}

static void take_members(ql_cpu *cpu, ql_arena *arena, bool *complete)
{
    for (int m = 0; m < cpu->members; ++m) {
        ql_cpu_member *member = &cpu->member[m];
        take_sdf_work(&member->surface, QL_CPU_SURFACE_ROWS, true, arena, complete);
        take_sdf_work(&member->off, QL_CPU_OFF_ROWS, false, arena, complete);
        take_angle_work(&member->angle, cpu->angle_split.rows, cpu->angle.widen.bf16, arena, complete);
        if (!cpu->keep) member->record = take(arena, 1, record_size(cpu), complete);
    }
}

bool ql_cpu_take(ql_cpu *cpu, ql_arena *arena)
{
    bool complete = true;
    const size_t faces = (size_t)cpu->setup.tables->face_count, shards = (size_t)cpu->reduce.count;
    cpu->parameters = take(arena, 1, QL_PARAMETER_COUNT, &complete);
    cpu->moment1 = take(arena, 1, QL_PARAMETER_COUNT, &complete);
    cpu->moment2 = take(arena, 1, QL_PARAMETER_COUNT, &complete);
    for (size_t s = 0; s == 0 || s < shards; ++s)
        cpu->shard_gradient[s] = take(arena, 1, QL_PARAMETER_COUNT, &complete);
    for (size_t p = 0; p < shards * (size_t)cpu->off_parts; ++p)
        cpu->off_gradient[p] = take(arena, 1, QL_SDF_PARAMETER_COUNT, &complete);
    if (!cpu->zeroed) ql_arena_clear_rest(arena); /* what was taken so far is written before it is read */
    complete &= ql_reduce_take(&cpu->reduce, arena);
    float **vectors[] = {&cpu->points, &cpu->normals, &cpu->u, &cpu->v};
    for (int k = 0; k < 4; ++k) *vectors[k] = take(arena, faces, 3, &complete);
    cpu->input = take(arena, faces, QL_INPUT_LD, &complete);
    cpu->theta = take(arena, faces, 1, &complete);
    cpu->theta_adjoint = take(arena, faces, 1, &complete);
    if (cpu->keep) cpu->records = take(arena, shards * (size_t)cpu->angle_split.chunks, record_size(cpu), &complete);
    take_models(cpu, cpu->common.base != NULL ? &cpu->common : arena, &complete);
    take_members(cpu, arena, &complete);
    return complete;
}

/* Ranks of a group have the same weights, and two copies of 35 MB fit in few caches. */
ql_status ql_cpu_share_models(ql_cpu *cpu)
{
    bool complete = true;
    void *memory;
    ql_comm *group = cpu->reduce.group;
    if (group == NULL) return QL_OK;
    ql_arena measuring = ql_arena_measuring();
    take_models(cpu, &measuring, &complete);
    QL_TRY(group->kind->node_memory(group, measuring.used, &memory));
    if (memory != NULL) cpu->common = (ql_arena){.base = memory, .size = measuring.used};
    return QL_OK;
}

static size_t measure(ql_cpu *cpu)
{
    ql_arena arena = ql_arena_measuring();
    (void)ql_cpu_take(cpu, &arena);
    return arena.used;
}

/* Half of what is free now for each of the processes that share it. */
static size_t free_budget(void)
{
    ql_machine machine;
    ql_machine_look(&machine);
    return (size_t)ql_machine_memory_share(&machine) / 2;
}

/* What is more than the whole machine has left would be killed later, with all that this process does. */
static ql_status refuse_too_much(const ql_cpu *cpu, size_t bytes)
{
    ql_machine machine;
    ql_machine_look(&machine);
    const int64_t left = ql_machine_memory_left(&machine);
    if (left <= 0 || bytes <= (size_t)left) return QL_OK;
    return QL_FAIL(NO_MEMORY, "engine cpu needs %zu MB for %d faces with %d threads, this machine has %lld MB left; %s",
                   (bytes >> 20) + 1, cpu->setup.tables->face_count, cpu->members, (long long)(left >> 20),
                   "run on a larger one, share the mesh among ranks on several (sweep.group), or lower engine.threads");
}

/* Keeps activations where they fit into engine.memory_mb, or into our part of what is free now. */
static ql_status choose_memory(ql_cpu *cpu, size_t *bytes)
{
    const ql_engine_options *options = cpu->setup.engine;
    const size_t limit = (size_t)options->memory_mb << 20, budget = limit > 0 ? limit : free_budget();
    cpu->keep = options->memory != QL_MEMORY_RECOMPUTE;
    *bytes = measure(cpu);
    if (cpu->keep && options->memory == QL_MEMORY_AUTO && budget > 0 && *bytes > budget) {
        cpu->keep = false;
        *bytes = measure(cpu);
    }
    if (limit > 0 && *bytes > limit)
        return QL_FAIL(
            NO_MEMORY,
            "engine cpu needs %zu MB for %d faces with %d threads, engine.memory_mb allows %lld; raise it or "
            "lower engine.threads",
            (*bytes >> 20) + 1, cpu->setup.tables->face_count, cpu->members, (long long)options->memory_mb);
    if (limit > 0) return QL_OK;
    if (refuse_too_much(cpu, *bytes) == QL_OK) return QL_OK;
    ql_error_clear();
    ql_memory_drop_kept();
    return refuse_too_much(cpu, *bytes);
}

ql_status ql_cpu_plan(ql_cpu *cpu, const ql_engine_setup *setup, size_t *bytes)
{
    cpu->setup = *setup;
    cpu->layout = ql_layout_get();
    cpu->isa = ql_cpu_isa_find();
    cpu->members = setup->engine->threads > 0 ? (int)setup->engine->threads : ql_team_cores();
    QL_TRY(split_work(cpu));
    place_activations(&cpu->slots);
    QL_TRY(QL_TAKE(cpu->member, cpu->members));
    QL_TRY(QL_TAKE(cpu->shard_gradient, cpu->reduce.count + 1));
    QL_TRY(QL_TAKE(cpu->shard_terms, cpu->reduce.count));
    QL_TRY(QL_TAKE(cpu->off_gradient, cpu->reduce.count * cpu->off_parts));
    QL_TRY(QL_TAKE(cpu->off_terms, cpu->reduce.count * cpu->off_parts));
    return choose_memory(cpu, bytes);
}

void ql_cpu_release(ql_cpu *cpu)
{
    if (cpu == NULL) return;
    ql_team_destroy(cpu->team);
    ql_arena_keep(&cpu->arena);
    ql_reduce_destroy(&cpu->reduce);
    ql_free(cpu->member);
    ql_free(cpu->shard_gradient);
    ql_free(cpu->shard_terms);
    ql_free(cpu->off_gradient);
    ql_free(cpu->off_terms);
    ql_free(cpu);
}
