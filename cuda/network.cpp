/* Plans and layout of device memory (see network.h). */
#include "network.h"

#include <climits>
#include <cstdlib>
#include <initializer_list>

/* ---- plan ---- */

/* Points of a chunk of the SDF, where memory allows (80 KB each); with less of it 16,384, which no cache holds between launches
 * either. Large chunks launch less, quite small ones stay in the cache: QL_CUDA_SDF_ROWS is for measuring that. */
static const int SDF_ROWS = 65536, LESS_SDF_ROWS = QL_FEW_FACES;

static int wanted_sdf_rows()
{
    const char *text = getenv("QL_CUDA_SDF_ROWS");
    const long rows = text != nullptr ? strtol(text, nullptr, 10) : 0;
    return rows >= 64 && rows <= 65536 ? static_cast<int>(rows) : SDF_ROWS;
}

ql_fusion ql_wanted_fusion(ql_operand_kind kind)
{
    const char *text = getenv("QL_CUDA_FUSED");
    if (text != nullptr && text[0] >= '0' && text[0] <= '2' && text[1] == 0)
        return static_cast<ql_fusion>(text[0] - '0');
    return kind == QL_OPERAND_PLAIN ? QL_FUSED_MIDDLE : QL_FUSED_WIDE;
}

static int round_up(int64_t n, int unit) { return static_cast<int>((n + unit - 1) / unit * unit); }

static int rows_for(int n) { return round_up(n, n < 2048 ? 64 : n < 8192 ? 256 : 1024); }

static int pieces(int n, int size) { return (n + size - 1) / size; }

ql_status ql_plan_kinds(ql_precision precision, ql_operand_kind *sdf, ql_operand_kind *angle)
{
    *sdf = QL_OPERAND_SPLIT;
    switch (precision) {
    case QL_PRECISION_FP32: *sdf = *angle = QL_OPERAND_PLAIN; return QL_OK;
    case QL_PRECISION_TF32: *angle = QL_OPERAND_TF32; return QL_OK;
    case QL_PRECISION_BF16: *angle = QL_OPERAND_BF16; return QL_OK;
    case QL_PRECISION_3XTF32: *angle = QL_OPERAND_SPLIT; return QL_OK;
    case QL_PRECISION_FP64: break;
    }
    return QL_FAIL(CONFIG, "engine cuda has no fp64; engine.precision must be fp32, 3xtf32, tf32 or bf16");
}

/* most, most_off: faces and points of the rank that has most. */
static void cut(ql_plan *plan, int most, int most_off, int angle_chunks, int sdf_rows)
{
    plan->angle_chunks = angle_chunks;
    plan->angle_rows = rows_for(pieces(most, angle_chunks));
    plan->angle_chunks = pieces(most, plan->angle_rows); /* padding may have saved one */
    plan->sdf_rows = sdf_rows;
    plan->surface_chunks = pieces(most, sdf_rows);
    plan->surface_rows = round_up(pieces(most, plan->surface_chunks), 64);
    plan->off_chunks = pieces(most_off, sdf_rows);
    plan->off_rows = plan->off_chunks > 0 ? round_up(pieces(most_off, plan->off_chunks), 64) : 0;
    plan->slice_rows = 16;
    while (plan->slice_rows < 64 && plan->slice_rows * 2048 < plan->angle_rows)
        plan->slice_rows *= 2; /* see residual.h */
    plan->column_slices = pieces(plan->angle_rows, plan->slice_rows);
}

static void measure(ql_plan *plan)
{
    ql_network network;
    ql_arena arena = ql_arena_measuring();
    (void)ql_network_lay_out(&network, plan, &arena);
    plan->bytes = plan->table_bytes + static_cast<int64_t>(arena.used);
}

static ql_status set_out(ql_plan *plan, const ql_engine_setup *setup, ql_share share)
{
    memset(plan, 0, sizeof *plan);
    if (setup->train->off_points > INT_MAX / 2)
        return QL_FAIL(CONFIG, "train.off_points: at most %d with engine cuda", INT_MAX / 2);
    plan->faces = setup->tables->face_count;
    plan->off_points = static_cast<int>(setup->train->off_points);
    plan->first = static_cast<int>(static_cast<int64_t>(plan->faces) * share.rank / share.ranks);
    plan->own = static_cast<int>(static_cast<int64_t>(plan->faces) * (share.rank + 1) / share.ranks) - plan->first;
    plan->off_first = static_cast<int>(static_cast<int64_t>(plan->off_points) * share.rank / share.ranks);
    plan->off_own =
        static_cast<int>(static_cast<int64_t>(plan->off_points) * (share.rank + 1) / share.ranks) - plan->off_first;
    plan->table_bytes = 4 * ql_table_places_of(setup).words;
    return ql_plan_kinds(setup->engine->precision, &plan->sdf_kind, &plan->angle_kind);
}

/* From the fastest to the smallest; false: none fits. */
static bool find_cut(ql_plan *plan, const ql_engine_setup *setup, int ranks, int64_t budget)
{
    static const int angle_chunks[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256};
    const int sdf_rows[] = {wanted_sdf_rows(), LESS_SDF_ROWS, 4096, 1024};
    const ql_engine_memory mode = setup->engine->memory;
    const int most = pieces(plan->faces, ranks), most_off = pieces(plan->off_points, ranks);
    for (int rows : sdf_rows)
        for (int chunks : angle_chunks) {
            if (rows > sdf_rows[0]) break;
            if (chunks == 1 && mode == QL_MEMORY_RECOMPUTE && most > 64) continue;
            if (chunks > 1 && (mode == QL_MEMORY_KEEP || rows > LESS_SDF_ROWS)) break;
            if (chunks > 1 && most / chunks < 1024 && !(chunks == 2 && mode == QL_MEMORY_RECOMPUTE)) break;
            cut(plan, most, most_off, chunks, rows);
            measure(plan);
            if (plan->keep_bytes == 0) plan->keep_bytes = plan->bytes;
            if (plan->bytes <= budget) return true;
        }
    return false;
}

int ql_plan_ranks(const ql_engine_setup *setup, int64_t budget)
{
    ql_plan plan;
    for (int ranks = 1; ranks <= 1024 && ranks <= setup->tables->face_count; ++ranks) {
        if (set_out(&plan, setup, ql_share{0, ranks}) != QL_OK) return 0;
        if (find_cut(&plan, setup, ranks, budget)) return ranks;
    }
    return 0;
}

ql_status ql_plan_make(ql_plan *plan, const ql_engine_setup *setup, ql_share share, int64_t budget)
{
    QL_TRY(set_out(plan, setup, share));
    if (find_cut(plan, setup, share.ranks, budget)) return QL_OK;
    const bool keep = setup->engine->memory == QL_MEMORY_KEEP;
    const int ranks = ql_plan_ranks(setup, budget);
    char more[128] = "";
    if (ranks > share.ranks)
        (void)snprintf(more, sizeof more, "; %d ranks with such a device each would do (sweep.group=%d%s)", ranks,
                       ranks, setup->train->deterministic ? ", train.deterministic=false" : "");
    return QL_FAIL(NO_MEMORY,
                   "%d faces need %.1f GB of device memory%s, there are %.1f GB%s; or use a mesh with fewer "
                   "faces, another device%s or engine cpu",
                   plan->faces, static_cast<double>(plan->bytes) / 1e9, keep ? "" : " in the smallest chunks",
                   static_cast<double>(budget) / 1e9, more, keep ? ", engine.memory=auto" : "");
}

void ql_plan_describe(const ql_plan *plan, char *text, size_t size)
{
    const double gigabytes = static_cast<double>(plan->bytes) / 1e9;
    char chunks[64] = "";
    if (plan->sdf_rows < wanted_sdf_rows())
        (void)snprintf(chunks, sizeof chunks, ", at most %d points at a time", plan->sdf_rows);
    if (plan->angle_chunks == 1)
        (void)snprintf(text, size, "keeps activations%s, %.2f GB", chunks, gigabytes);
    else
        (void)snprintf(text, size, "recomputes activations in %d chunks of %d faces%s, %.2f GB", plan->angle_chunks,
                       plan->angle_rows, chunks, gigabytes);
}

/* ---- arrays ---- */

struct taker {
    ql_arena *arena;
    bool complete;

    template <class T> void operator()(T *&array, int64_t count)
    {
        int64_t line = 256 / static_cast<int64_t>(sizeof(T)) > 0 ? 256 / static_cast<int64_t>(sizeof(T)) : 1;
        array =
            static_cast<T *>(ql_arena_take(arena, static_cast<size_t>((count + line - 1) / line * line), sizeof(T)));
        complete = complete && array != nullptr;
    }

    ql_operand operand(int64_t rows, int width, ql_operand_kind kind)
    {
        float *numbers = nullptr;
        (*this)(numbers, kind == QL_OPERAND_BF16 ? (rows * width + 1) / 2 : rows * width);
        return ql_operand_of(numbers, width, kind);
    }

    /* float32 and, where the products want another form, the operand beside it. */
    ql_activation activation(int64_t rows, int width, ql_operand_kind kind)
    {
        ql_activation a{nullptr, width, {}};
        (*this)(a.x, rows * width);
        a.op = kind == QL_OPERAND_BF16 ? operand(rows, width, kind) : ql_operand_of(a.x, width, kind);
        return a;
    }

    /* Only what the products want. */
    ql_activation operand_alone(int64_t rows, int width, ql_operand_kind kind)
    {
        return ql_activation{nullptr, width, operand(rows, width, kind)};
    }
};

static void lay_out_sdf_chunk(ql_sdf_chunk *chunk, taker &take, int rows, int tangents, ql_operand_kind kind)
{
    const ql_layout *layout = ql_layout_get();
    memset(chunk, 0, sizeof *chunk);
    chunk->rows = rows;
    chunk->tangents = tangents;
    chunk->block = static_cast<int64_t>(rows) * QL_WIDTH;
    for (int l = 0; l < QL_SDF_LAYERS; ++l) {
        chunk->weight[l] = ql_padded(layout->sdf[l].weight);
        chunk->bias[l] = ql_padded(layout->sdf[l].bias);
    }
    const int64_t stacked = static_cast<int64_t>(rows) * (2 + tangents);
    const ql_operand right = take.operand(stacked * QL_HIDDEN, QL_WIDTH, kind);
    const ql_operand left = take.operand(stacked * QL_HIDDEN, QL_WIDTH, kind);
    for (int l = 0; l < QL_HIDDEN; ++l) {
        ql_sdf_layer *layer = &chunk->layer[l];
        layer->right = right.from(l * stacked * QL_WIDTH); /* one behind the other, see weight_gradients */
        layer->left = left.from(l * stacked * QL_WIDTH);
        take(layer->cosine, chunk->block * (l > 0 ? 1 + tangents : 1));
        layer->tangent = layer->cosine + chunk->block;
        if (l == QL_HIDDEN - 1) continue;
        take(layer->z_part, chunk->block);
        take(layer->delta, chunk->block);
    }
    take(chunk->value, rows);
    take(chunk->gradient, 3 * rows);
    take(chunk->value_adjoint, rows);
    take(chunk->gradient_adjoint, 3 * rows);
    if (tangents == 0) return;
    take(chunk->hessian, 6 * rows);
    take(chunk->hessian_adjoint, 6 * rows);
}

/* Surface and off-surface chunks use the same memory one after the other. */
static void lay_out_sdf(ql_network *n, taker &take)
{
    const ql_plan *plan = &n->plan;
    int widest = plan->surface_rows > plan->off_rows ? plan->surface_rows : plan->off_rows;
    int64_t temporary =
        4 * plan->surface_rows > plan->off_rows ? 4 * static_cast<int64_t>(plan->surface_rows) : plan->off_rows;
    n->sdf_weights = ql_operand_of(n->parameters, QL_WIDTH, plan->sdf_kind);
    take(n->off_point, 3 * static_cast<int64_t>(widest));
    take(n->temporary, temporary * QL_WIDTH);
    take(n->sdf_columns, static_cast<int64_t>(widest / QL_SDF_SUM_ROWS) * QL_SDF_SUMS * QL_WIDTH);
    take(n->sdf_weight_partial, static_cast<int64_t>(4) * 5 * QL_SDF_SLICES * QL_WIDTH * QL_WIDTH);
    size_t begin = take.arena->used;
    lay_out_sdf_chunk(&n->surface, take, plan->surface_rows, 3, plan->sdf_kind);
    size_t end = take.arena->used;
    take.arena->used = begin;
    if (plan->off_rows > 0) lay_out_sdf_chunk(&n->off, take, plan->off_rows, 0, plan->sdf_kind);
    if (take.arena->used < end) take.arena->used = end;
    n->surface.parameters = n->off.parameters = n->parameters;
    n->off.point = n->off_point;
}

/* Rows behind the own ones are padding, or belong to the next rank, whose angles arrive later. */
static void lay_out_angles(ql_network *n, taker &take)
{
    const ql_plan *plan = &n->plan;
    const int64_t padded = static_cast<int64_t>(plan->angle_chunks) * plan->angle_rows;
    const int64_t most = plan->first + padded > plan->faces ? plan->first + padded : plan->faces;
    take(n->inputs, QL_ANGLE_INPUTS * padded);
    take(n->theta, most);
    take(n->theta_adjoint, plan->faces);
}

/* ---- angle network ---- */

/* A stage and what lies with it: the matrix that its first block reads, where that is as wide as the stage and of the same
 * array; and its last output where that belongs to a wide matrix, which d1, d2, d3 read. */
static void lay_out_stage(ql_angle_net *a, taker &take, ql_stage stage, ql_activation *input, const ql_activation *end)
{
    const ql_layout *layout = ql_layout_get();
    const int begin = layout->stage_begin[stage], count = layout->stage_begin[stage + 1] - begin;
    const int width = layout->block[begin].width, inner = layout->block[begin].inner;
    const int first = input != nullptr ? 0 : 1; /* block whose input is the first of the array */
    const int64_t rows = a->rows;
    ql_angle_stage *s = &a->stage[stage];
    s->first = first;
    s->inputs = take.activation(rows * (count + 1 - first - (end != nullptr)), width, a->kind);
    s->relu1 = take.operand(rows * count, inner, a->kind);
    s->relu2 = take.operand(rows * count, inner, a->kind);
    if (input != nullptr) *input = s->inputs;
    for (int i = 0; i < count; ++i) {
        ql_angle_block *tape = &a->block[begin + i];
        take(tape->down, rows * inner);
        take(tape->mid, rows * inner);
        tape->relu1 = s->relu1.from(i * rows * inner);
        tape->relu2 = s->relu2.from(i * rows * inner);
        tape->out = i == count - 1 && end != nullptr ? *end : s->inputs.rows((i + 1 - first) * rows);
    }
}

static void lay_out_blocks(ql_angle_net *a, taker &take)
{
    lay_out_stage(a, take, QL_STAGE_E3, &a->a3, nullptr);
    lay_out_stage(a, take, QL_STAGE_D1, &a->wide[0], nullptr);
    lay_out_stage(a, take, QL_STAGE_D2, &a->wide[1], nullptr);
    lay_out_stage(a, take, QL_STAGE_D3, &a->wide[2], nullptr);
    lay_out_stage(a, take, QL_STAGE_H, &a->wide[3], nullptr);
    const ql_activation e2 = a->wide[0].columns(0), e1 = a->wide[1].columns(0), e0 = a->wide[2].columns(0);
    lay_out_stage(a, take, QL_STAGE_E0, &a->a0, &e0);
    lay_out_stage(a, take, QL_STAGE_E1, nullptr, &e1);
    lay_out_stage(a, take, QL_STAGE_E2, nullptr, &e2);
}

static void lay_out_angle(ql_network *n, taker &take)
{
    ql_angle_net *a = &n->angle;
    const ql_plan *plan = &n->plan;
    int64_t rows = plan->angle_rows;
    const bool plain = plan->angle_kind != QL_OPERAND_BF16;
    a->kind = plan->angle_kind;
    a->rows = plan->angle_rows;
    take(a->in_linear, rows * 256);
    take(a->widen_linear, rows * 512);
    take(a->h_linear, rows * 128);
    take(a->hidden, rows * QL_HEAD);
    lay_out_blocks(a, take);
    a->masked = take.operand(rows * QL_STAGE_BLOCKS, 512, a->kind);
    a->mid_adjoint = take.operand(rows * QL_STAGE_BLOCKS, 128, a->kind);
    a->down_adjoint = take.operand(rows * QL_STAGE_BLOCKS, 128, a->kind);
    for (ql_operand &tail : a->d_tail) tail = take.operand(rows, 512, a->kind);
    for (ql_operand &tail : a->s_tail) tail = take.operand(rows, 256, a->kind);
    a->h_tail = take.operand(rows, 512, a->kind);
    a->out_norm = take.operand(rows, 128, a->kind);
    a->p = take.activation(rows, 512, a->kind);
    a->q = take.activation(rows, 512, QL_OPERAND_PLAIN);
    for (ql_activation &e : a->e) e = take.activation(rows, 256, QL_OPERAND_PLAIN);
    a->d[0] = take.activation(rows, 256, a->kind);
    for (int k = 1; k < 3; ++k) { /* as operands at different times */
        take(a->d[k].x, rows * 256);
        a->d[k].ld = 256;
        a->d[k].op = plain ? ql_operand_of(a->d[k].x, 256, a->kind) : a->d[0].op;
    }
    take(a->inner, rows * 512);
    a->inner_adjoint = take.operand_alone(rows, 512, a->kind);
    a->hidden_adjoint = take.operand_alone(rows, QL_HEAD, a->kind);
    a->in_adjoint = take.operand_alone(rows, 256, plain ? a->kind : QL_OPERAND_PLAIN);
    ql_fold_table table;
    ql_fold_table_build(&table);
    a->weights = plain ? ql_operand_of(n->parameters, 1, a->kind) : take.operand(QL_PADDED_COUNT, 1, a->kind);
    a->folded = take.operand(table.element[QL_BLOCK_COUNT], 1, a->kind);
    take(a->folded_bias, table.row[QL_BLOCK_COUNT]);
    take(a->fold, 1);
    ql_angle_columns_build(&a->columns, nullptr);
    int groups = pieces(plan->column_slices, QL_COLUMN_GROUP);
    take(a->column_partial, static_cast<int64_t>(plan->column_slices) * a->columns.total);
    take(a->column_groups, static_cast<int64_t>(groups) * a->columns.total);
    take(a->column_place, a->columns.total);
    const ql_layout *layout = ql_layout_get();
    int64_t most = 0; /* weights of a stage's residual blocks together, and of a tail or two besides */
    for (int stage = 0; stage < QL_STAGE_COUNT; ++stage) {
        const int begin = layout->stage_begin[stage], count = layout->stage_begin[stage + 1] - begin;
        int64_t sum = 2 * 512 * 256 * static_cast<int64_t>(ql_weight_slices(a->rows, 512, 256, 1));
        for (const ql_dense *dense : {&layout->block[begin].down, &layout->block[begin].mid, &layout->block[begin].up})
            for (int together : {1, count - 1, count})
                sum += static_cast<int64_t>(dense->in) * dense->out * together *
                       ql_weight_slices(a->rows, dense->out, dense->in, together);
        most = sum > most ? sum : most;
    }
    a->weight_room = 2 * most;
    take(a->weight_partial, a->weight_room);
}

int ql_weight_slices(int rows, int out, int in, int count)
{
    const int tile = 128, tiles_wanted = 132, least_rows = 256;
    int tiles = count * pieces(out, tile) * pieces(in, tile), slices = 1;
    while (2 * slices * tiles <= tiles_wanted && rows / (2 * slices) >= least_rows && slices < 64) slices *= 2;
    return slices;
}

void ql_fold_table_build(ql_fold_table *table)
{
    memset(table, 0, sizeof *table);
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) {
        const ql_block *block = &ql_layout_get()->block[b];
        table->row[b + 1] = table->row[b] + block->width;
        table->element[b + 1] = table->element[b] + block->width * block->inner;
        table->weight[b] = ql_padded(block->up.weight);
        table->bias[b] = ql_padded(block->up.bias);
        table->gamma[b] = ql_padded(block->gamma);
        table->inner[b] = block->inner;
    }
}

/* ---- columns ---- */

struct column_writer {
    int32_t *place;
    int total;

    int vector(int32_t offset, int width) /* offset < 0: sums that nobody wants */
    {
        for (int k = 0; place != nullptr && k < width; ++k) place[total + k] = offset < 0 ? -1 : ql_padded(offset + k);
        total += width;
        return total - width;
    }
    int norm(const ql_norm &norm, int32_t linear_bias)
    {
        int first = vector(norm.weight, norm.width);
        (void)vector(norm.bias, norm.width);
        (void)vector(linear_bias, norm.width);
        return first;
    }
    int tail(const ql_tail *tail, ql_stage below, ql_angle_columns *c)
    {
        const ql_layout *layout = ql_layout_get();
        const int last = layout->stage_begin[below + 1] - 1;
        const int first = norm(tail->norm, layout->block[last].up.bias);
        c->up[last] = first + 2 * tail->norm.width;
        return first;
    }
};

void ql_angle_columns_build(ql_angle_columns *c, int32_t *place)
{
    const ql_layout *layout = ql_layout_get();
    column_writer write{place, 0};
    memset(c, 0, sizeof *c);
    c->in = write.norm(layout->in_norm, layout->in.bias);
    c->widen = write.norm(layout->widen_norm, layout->widen.bias);
    c->out_norm = write.norm(layout->out_norm, layout->h_tail.linear.bias);
    c->head = write.vector(layout->out_linear.weight, QL_HEAD);
    (void)write.vector(layout->out_hidden.bias, QL_HEAD);
    (void)write.vector(layout->out_linear.bias, 1);
    /* The last ReLU of a stage with a tail is done with the tail's norm, whose third sums are those of its adjoint. */
    static const ql_stage below[] = {QL_STAGE_E3, QL_STAGE_D1, QL_STAGE_D2, QL_STAGE_D3};
    for (int k = 0; k < 4; ++k) c->d_norm[k] = write.tail(&layout->d_tail[k], below[k], c);
    c->h_norm = write.tail(&layout->h_tail, QL_STAGE_H, c);
    for (int k = 0; k < 3; ++k) c->s_norm[k] = write.norm(layout->s_tail[k].norm, -1);
    for (int k = 0; k < 3; ++k) c->d_bias[k] = write.vector(layout->d_tail[k].linear.bias, 256);
    c->parts = write.vector(layout->d_tail[3].linear.bias, 128);
    for (int k = 2; k >= 0; --k) (void)write.vector(layout->s_tail[k].linear.bias, 128);
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) {
        c->norm1[b] = write.norm(layout->block[b].norm1, layout->block[b].down.bias);
        c->norm2[b] = write.norm(layout->block[b].norm2, layout->block[b].mid.bias);
        if (c->up[b] == 0) c->up[b] = write.vector(layout->block[b].up.bias, layout->block[b].width);
    }
    c->total = write.total;
}

/* ---- the whole ---- */

bool ql_network_lay_out(ql_network *n, const ql_plan *plan, ql_arena *arena)
{
    taker take{arena, true};
    memset(static_cast<void *>(n), 0, sizeof *n);
    n->plan = *plan;
    float **flat[] = {&n->parameters, &n->moment1, &n->moment2, &n->gradient};
    for (float **array : flat) take(*array, QL_PADDED_COUNT);
    take(n->step, 1);
    take(n->report, 1);
    take(n->ahead, 1);
    take(n->ones, QL_BLOCK_COUNT);
    int slices =
        (plan->surface_chunks * plan->surface_rows + plan->off_chunks * plan->off_rows + plan->own) / QL_TERM_ROWS;
    take(n->term_partial, static_cast<int64_t>(slices + 2) * QL_LOSS_COUNT);
    take(n->norm_partial, QL_NORM_SLICES);
    lay_out_angles(n, take);
    lay_out_sdf(n, take);
    lay_out_angle(n, take);
    return take.complete;
}
