/* Builds the layout (see layout.h) by walking the networks in the order of the flat array. */
#include "model/layout.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

static ql_layout the_layout;
static pthread_once_t once = PTHREAD_ONCE_INIT;

typedef struct cursor {
    ql_layout *layout;
    int32_t offset, entries;
} cursor;

static int32_t add_entry(cursor *at, const char *owner, const char *part, int32_t rows, int32_t columns,
                         ql_entry_kind kind, int32_t fan_in)
{
    assert(at->entries < QL_ENTRY_COUNT);
    ql_entry *entry = &at->layout->entry[at->entries++];
    int length = snprintf(entry->name, sizeof entry->name, "%s.%s", owner, part);
    assert(length > 0 && (size_t)length < sizeof entry->name);
    (void)length;
    entry->offset = at->offset;
    entry->rows = rows;
    entry->columns = columns;
    entry->kind = kind;
    entry->fan_in = fan_in;
    at->offset += rows * columns;
    return entry->offset;
}

static ql_dense add_dense(cursor *at, const char *name, int32_t in, int32_t out, ql_entry_kind weight_kind,
                          ql_entry_kind bias_kind)
{
    ql_dense dense = {.in = in, .out = out};
    dense.weight = add_entry(at, name, "weight", out, in, weight_kind, in);
    dense.bias = add_entry(at, name, "bias", out, 1, bias_kind, in);
    return dense;
}

static ql_dense add_linear(cursor *at, const char *owner, const char *part, int32_t in, int32_t out)
{
    char name[24];
    (void)snprintf(name, sizeof name, "%s.%s", owner, part);
    return add_dense(at, name, in, out, QL_ENTRY_WEIGHT, QL_ENTRY_ZERO);
}

static ql_norm add_norm(cursor *at, const char *owner, const char *part, int32_t width)
{
    char name[24];
    (void)snprintf(name, sizeof name, "%s.%s", owner, part);
    ql_norm norm = {.width = width};
    norm.weight = add_entry(at, name, "weight", width, 1, QL_ENTRY_ONE, 0);
    norm.bias = add_entry(at, name, "bias", width, 1, QL_ENTRY_ZERO, 0);
    return norm;
}

static void add_stage(cursor *at, ql_stage stage, const char *name, int32_t width, int32_t count)
{
    int32_t first = at->layout->stage_begin[stage];
    for (int32_t k = 0; k < count; ++k) {
        char owner[16];
        (void)snprintf(owner, sizeof owner, "angle.%s.%d", name, k);
        ql_block *block = &at->layout->block[first + k];
        block->width = width;
        block->inner = width / 4;
        block->down = add_linear(at, owner, "down", width, width / 4);
        block->norm1 = add_norm(at, owner, "norm1", width / 4);
        block->mid = add_linear(at, owner, "mid", width / 4, width / 4);
        block->norm2 = add_norm(at, owner, "norm2", width / 4);
        block->up = add_linear(at, owner, "up", width / 4, width);
        block->gamma = add_entry(at, owner, "gamma", width, 1, QL_ENTRY_GAMMA, 0);
        /* 16 blocks in the encoder and 16 in the decoder, each from 0 to 0.1 */
        block->drop_rate = 0.1 * ((first + k) % 16) / 15;
    }
    at->layout->stage_begin[stage + 1] = first + count;
}

static ql_tail add_tail(cursor *at, const char *owner, int32_t in, int32_t out)
{
    ql_tail tail;
    tail.norm = add_norm(at, owner, "tail.norm", in);
    tail.linear = add_linear(at, owner, "tail.linear", in, out);
    return tail;
}

static void add_sdf(cursor *at)
{
    for (int32_t l = 0; l < QL_SDF_LAYERS; ++l) {
        char name[16];
        (void)snprintf(name, sizeof name, "sdf.%d", l);
        at->layout->sdf[l] = add_dense(at, name, l == 0 ? 3 : QL_SDF_WIDTH, l == 5 ? 1 : QL_SDF_WIDTH,
                                       l == 0 ? QL_ENTRY_SDF_FIRST : QL_ENTRY_SDF_WEIGHT, QL_ENTRY_SDF_BIAS);
    }
    assert(at->offset == QL_SDF_PARAMETER_COUNT);
}

static void build(void)
{
    ql_layout *layout = &the_layout;
    cursor at = {layout, 0, 0};
    add_sdf(&at);
    layout->in = add_linear(&at, "angle.in", "linear", QL_ANGLE_INPUTS, 256);
    layout->in_norm = add_norm(&at, "angle.in", "norm", 256);
    add_stage(&at, QL_STAGE_E0, "e0", 256, 3);
    add_stage(&at, QL_STAGE_E1, "e1", 256, 4);
    add_stage(&at, QL_STAGE_E2, "e2", 256, 6);
    layout->widen = add_linear(&at, "angle.widen", "linear", 256, 512);
    layout->widen_norm = add_norm(&at, "angle.widen", "norm", 512);
    add_stage(&at, QL_STAGE_E3, "e3", 512, 3);
    layout->d_tail[0] = add_tail(&at, "angle.d0", 512, 256);
    add_stage(&at, QL_STAGE_D1, "d1", 512, 3);
    layout->d_tail[1] = add_tail(&at, "angle.d1", 512, 256);
    add_stage(&at, QL_STAGE_D2, "d2", 512, 4);
    layout->d_tail[2] = add_tail(&at, "angle.d2", 512, 256);
    add_stage(&at, QL_STAGE_D3, "d3", 512, 6);
    layout->d_tail[3] = add_tail(&at, "angle.d3", 512, 128);
    layout->s_tail[0] = add_tail(&at, "angle.s0", 256, 128);
    layout->s_tail[1] = add_tail(&at, "angle.s1", 256, 128);
    layout->s_tail[2] = add_tail(&at, "angle.s2", 256, 128);
    add_stage(&at, QL_STAGE_H, "h", 512, 3);
    layout->h_tail = add_tail(&at, "angle.h", 512, 128);
    layout->out_norm = add_norm(&at, "angle.out", "norm", 128);
    layout->out_hidden = add_linear(&at, "angle.out", "hidden", 128, 32);
    layout->out_linear = add_linear(&at, "angle.out", "linear", 32, 1);
    assert(at.offset == QL_PARAMETER_COUNT && at.entries == QL_ENTRY_COUNT);
}

const ql_layout *ql_layout_get(void)
{
    (void)pthread_once(&once, build);
    return &the_layout;
}
