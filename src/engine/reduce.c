/* Sums over shards and ranks (see reduce.h). */
#include "engine/reduce.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 256, DEPTH = 24 }; /* elements at a time, so that partial sums stay in cache; depth of a tree */

/* A tree is evaluated by a stack machine. */
struct ql_reduce_step {
    enum { PUSH, ADD, JOIN } what; /* source on top; source added to the top; the two topmost added */
    int32_t source;
};

/* ---- trees ---- */

static int32_t power_below(int32_t n)
{
    int32_t p = 1;
    while (2 * p < n) p *= 2;
    return p;
}

/* The rank that has all the leaves [begin, begin + count); -1: several. */
static int owner(const ql_reduce *reduce, int32_t begin, int32_t count)
{
    for (int rank = 0; rank < reduce->ranks; ++rank)
        if (begin >= reduce->leaf_first[rank] && begin + count <= reduce->leaf_first[rank + 1]) return rank;
    return -1;
}

typedef struct writer {
    ql_reduce *reduce; /* NULL: down to single leaves */
    ql_reduce_step *step;
    int steps;
    int32_t next; /* source */
} writer;

static void note_node(ql_reduce *reduce, int rank, int32_t begin, int32_t count)
{
    int at = reduce->node_first[rank + 1]++;
    if (rank != reduce->rank) return;
    reduce->node_begin[at] = reduce->fixed ? begin - reduce->first : 0;
    reduce->node_count[at] = reduce->fixed ? count : reduce->count;
}

/* Writes the steps of the tree over these leaves; returns whether it is a source. The depth is that of the recursion. */
static bool write_tree(writer *w, int32_t begin, int32_t count, bool right)
{
    int rank = w->reduce != NULL ? owner(w->reduce, begin, count) : 0;
    if (w->reduce != NULL ? rank >= 0 : count == 1) {
        if (w->reduce != NULL) note_node(w->reduce, rank, begin, count);
        w->step[w->steps++] = (ql_reduce_step){right ? ADD : PUSH, w->next++};
        return true;
    }
    int32_t left = power_below(count);
    (void)write_tree(w, begin, left, false);
    if (!write_tree(w, begin + left, count - left, true)) w->step[w->steps++] = (ql_reduce_step){JOIN, 0};
    return false;
}

#define DEFINE_EVALUATE(NAME, TYPE)                                                                                    \
    static void NAME(const ql_reduce_step *step, int steps, const void *const *source, int64_t at, int64_t count,      \
                     TYPE *to)                                                                                         \
    {                                                                                                                  \
        TYPE stack[DEPTH][BLOCK];                                                                                      \
        int top = -1;                                                                                                  \
        for (int s = 0; s < steps; ++s) {                                                                              \
            const TYPE *from = step[s].what == JOIN ? stack[top] : (const TYPE *)source[step[s].source] + at;          \
            if (step[s].what == PUSH) {                                                                                \
                memcpy(stack[++top], from, (size_t)count * sizeof *from);                                              \
                continue;                                                                                              \
            }                                                                                                          \
            if (step[s].what == JOIN) --top;                                                                           \
            for (int64_t i = 0; i < count; ++i) stack[top][i] += from[i];                                              \
        }                                                                                                              \
        memcpy(to, stack[0], (size_t)count * sizeof *to);                                                              \
    }
DEFINE_EVALUATE(evaluate_float, float)
DEFINE_EVALUATE(evaluate_double, double)

static size_t size_of(const ql_reduce *reduce) { return ql_number_size(reduce->number); }

/* Elements [at, at + count) of the tree over `source` to `to`. */
static void evaluate(const ql_reduce *reduce, const ql_reduce_step *step, int steps, const void *const *source,
                     int64_t at, int64_t count, void *to)
{
    for (int64_t done = 0; done < count; done += BLOCK) {
        const int64_t here = count - done < BLOCK ? count - done : BLOCK;
        if (reduce->number == QL_NUMBER_FLOAT32)
            evaluate_float(step, steps, source, at + done, here, (float *)to + done);
        else
            evaluate_double(step, steps, source, at + done, here, (double *)to + done);
    }
}

/* ---- life ---- */

static int nodes_of(const ql_reduce *reduce, int rank)
{
    return reduce->node_first[rank + 1] - reduce->node_first[rank];
}

/* node_first counts the nodes of each rank while the tree is written, and is summed up afterwards. */
static ql_status plant_trees(ql_reduce *reduce)
{
    QL_TRY(QL_TAKE(reduce->node_begin, reduce->leaves));
    QL_TRY(QL_TAKE(reduce->node_count, reduce->leaves));
    QL_TRY(QL_TAKE(reduce->tree, 2 * reduce->leaves));
    writer all = {.reduce = reduce, .step = reduce->tree};
    (void)write_tree(&all, 0, reduce->leaves, false);
    reduce->tree_steps = all.steps;
    for (int rank = 0; rank < reduce->ranks; ++rank) reduce->node_first[rank + 1] += reduce->node_first[rank];
    const int own = nodes_of(reduce, reduce->rank);
    QL_TRY(QL_TAKE(reduce->node_tree, own));
    QL_TRY(QL_TAKE(reduce->node_steps, own));
    for (int node = 0; node < own; ++node) {
        QL_TRY(QL_TAKE(reduce->node_tree[node], 2 * reduce->node_count[node]));
        writer one = {.step = reduce->node_tree[node], .next = reduce->node_begin[node]};
        (void)write_tree(&one, 0, reduce->node_count[node], false);
        reduce->node_steps[node] = one.steps;
    }
    return QL_OK;
}

/* Part of a rank in a bucket; borders at whole cache lines. */
static int64_t part_begin(const ql_reduce *reduce, const ql_reduce_bucket *bucket, int rank)
{
    const int64_t count = bucket->end - bucket->begin;
    return rank == reduce->ranks ? bucket->end : bucket->begin + count * rank / reduce->ranks / 16 * 16;
}

static ql_status lay_out_bucket(ql_reduce *reduce, ql_reduce_bucket *bucket, int *table)
{
    const int ranks = reduce->ranks, own = nodes_of(reduce, reduce->rank);
    int *to_count = table, *to_at = table + ranks, *from_count = table + 2 * ranks, *from_at = table + 3 * ranks;
    int *count = table + 4 * ranks, *at = table + 5 * ranks;
    const int length = (int)(part_begin(reduce, bucket, reduce->rank + 1) - part_begin(reduce, bucket, reduce->rank));
    for (int rank = 0; rank < ranks; ++rank) {
        const int64_t begin = part_begin(reduce, bucket, rank), end = part_begin(reduce, bucket, rank + 1);
        to_count[rank] = own * (int)(end - begin);
        to_at[rank] = own * (int)(begin - bucket->begin);
        from_count[rank] = nodes_of(reduce, rank) * length;
        from_at[rank] = reduce->node_first[rank] * length;
        count[rank] = (int)(end - begin);
        at[rank] = (int)begin;
    }
    bucket->to = (ql_parts){to_count, to_at};
    bucket->from = (ql_parts){from_count, from_at};
    bucket->parts = (ql_parts){count, at};
    return QL_TAKE(bucket->source, reduce->node_first[ranks]);
}

static ql_status lay_out_rows(ql_reduce *reduce)
{
    const int ranks = reduce->ranks;
    QL_TRY(QL_TAKE(reduce->rows, (size_t)(reduce->leaves + ranks) * QL_LOSS_COUNT));
    QL_TRY(QL_TAKE(reduce->row_table, 2 * ranks));
    for (int rank = 0; rank < ranks; ++rank) {
        reduce->row_table[rank] = (reduce->leaf_first[rank + 1] - reduce->leaf_first[rank] + 1) * QL_LOSS_COUNT;
        reduce->row_table[ranks + rank] = (reduce->leaf_first[rank] + rank) * QL_LOSS_COUNT;
    }
    reduce->row_parts = (ql_parts){reduce->row_table, reduce->row_table + ranks};
    return QL_OK;
}

static ql_status create(ql_reduce *reduce, const ql_reduce_setup *setup)
{
    const int ranks = reduce->ranks;
    QL_TRY(QL_TAKE(reduce->leaf_first, ranks + 1));
    QL_TRY(QL_TAKE(reduce->node_first, ranks + 1));
    for (int rank = 0; rank <= ranks; ++rank)
        reduce->leaf_first[rank] = reduce->fixed ? (int)((int64_t)reduce->shards * rank / ranks) : rank;
    reduce->first = reduce->fixed ? reduce->leaf_first[reduce->rank] : reduce->rank * setup->own_shards;
    reduce->count = reduce->fixed ? reduce->leaf_first[reduce->rank + 1] - reduce->first : setup->own_shards;
    QL_TRY(QL_TAKE(reduce->border, ranks + 1));
    QL_TRY(QL_TAKE(reduce->gather_table, 2 * ranks));
    QL_TRY(plant_trees(reduce));
    QL_TRY(lay_out_rows(reduce));
    QL_TRY(QL_TAKE(reduce->part_table, (size_t)reduce->buckets * 6 * (size_t)ranks));
    for (int b = 0; b < reduce->buckets; ++b) {
        reduce->bucket[b].begin = setup->border[b];
        reduce->bucket[b].end = setup->border[b + 1];
        QL_TRY(lay_out_bucket(reduce, &reduce->bucket[b], reduce->part_table + (ptrdiff_t)b * 6 * ranks));
    }
    return QL_OK;
}

ql_status ql_reduce_create(ql_reduce *reduce, const ql_reduce_setup *setup)
{
    const bool alone = setup->group == NULL || setup->group->size == 1;
    assert(setup->buckets <= QL_REDUCE_BUCKETS);
    *reduce = (ql_reduce){.group = alone ? NULL : setup->group,
                          .ranks = alone ? 1 : setup->group->size,
                          .rank = alone ? 0 : setup->group->rank,
                          .number = setup->number,
                          .fixed = setup->fixed_shards > 0,
                          .buckets = setup->buckets};
    reduce->shards = reduce->fixed ? setup->fixed_shards : reduce->ranks * setup->own_shards;
    reduce->leaves = reduce->fixed ? reduce->shards : reduce->ranks;
    ql_status status = create(reduce, setup);
    if (status != QL_OK) ql_reduce_destroy(reduce);
    return status;
}

void ql_reduce_destroy(ql_reduce *reduce)
{
    for (int node = 0; reduce->node_tree != NULL && node < nodes_of(reduce, reduce->rank); ++node)
        ql_free(reduce->node_tree[node]);
    for (int b = 0; b < QL_REDUCE_BUCKETS; ++b) ql_free(reduce->bucket[b].source);
    void *arrays[] = {reduce->leaf_first, reduce->node_first, reduce->node_begin, reduce->node_count,
                      reduce->tree,       reduce->node_tree,  reduce->node_steps, reduce->part_table,
                      reduce->rows,       reduce->row_table,  reduce->border,     reduce->gather_table};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) ql_free(arrays[k]);
    *reduce = (ql_reduce){0};
}

bool ql_reduce_take(ql_reduce *reduce, ql_arena *arena)
{
    bool complete = true;
    for (int b = 0; reduce->group != NULL && b < reduce->buckets; ++b) {
        ql_reduce_bucket *bucket = &reduce->bucket[b];
        const size_t own = (size_t)nodes_of(reduce, reduce->rank), all = (size_t)reduce->node_first[reduce->ranks];
        const size_t length = (size_t)bucket->parts.count[reduce->rank];
        /* never empty, or it lies where `receive` does, which Open MPI 4 takes for MPI_IN_PLACE on this rank alone */
        const size_t sent = own * (size_t)(bucket->end - bucket->begin);
        bucket->send = ql_arena_take(arena, sent > 0 ? sent : 1, size_of(reduce));
        bucket->receive = ql_arena_take(arena, all * length, size_of(reduce));
        complete &= bucket->send != NULL && bucket->receive != NULL;
        for (size_t node = 0; node < all; ++node)
            bucket->source[node] = (char *)bucket->receive + node * length * size_of(reduce);
    }
    return complete;
}

int64_t ql_reduce_begin_of(const ql_reduce *reduce, int rank, int64_t count)
{
    return reduce->fixed ? count * reduce->leaf_first[rank] / reduce->shards : count * rank / reduce->ranks;
}

/* ---- arrays ---- */

ql_status ql_reduce_gather(ql_reduce *reduce, void *array, int width, ql_number number)
{
    int *count = reduce->gather_table, *at = count + reduce->ranks;
    if (reduce->group == NULL || array == NULL) return QL_OK;
    for (int rank = 0; rank < reduce->ranks; ++rank) {
        at[rank] = (int)reduce->border[rank] * width;
        count[rank] = (int)(reduce->border[rank + 1] - reduce->border[rank]) * width;
    }
    const ql_parts parts = {count, at};
    return ql_comm_gather(reduce->group, array, &parts, number);
}

/* Our nodes for elements that all are in the part of one rank. */
static void fill_part(const ql_reduce *reduce, const ql_reduce_bucket *bucket, int rank, const void *const *arrays,
                      int64_t from, int64_t to)
{
    const int64_t begin = part_begin(reduce, bucket, rank), length = bucket->parts.count[rank];
    for (int node = 0; node < nodes_of(reduce, reduce->rank); ++node) {
        const int64_t at = bucket->to.at[rank] + node * length + from - begin;
        evaluate(reduce, reduce->node_tree[node], reduce->node_steps[node], arrays, from, to - from,
                 (char *)bucket->send + (size_t)at * size_of(reduce));
    }
}

void ql_reduce_fill(const ql_reduce *reduce, int bucket, const void *const *arrays, void *sum, int64_t from, int64_t to)
{
    const ql_reduce_bucket *b = &reduce->bucket[bucket];
    if (from < b->begin) from = b->begin;
    if (to > b->end) to = b->end;
    if (from >= to) return;
    if (reduce->group == NULL) {
        evaluate(reduce, reduce->node_tree[0], reduce->node_steps[0], arrays, from, to - from,
                 (char *)sum + (size_t)from * size_of(reduce));
        return;
    }
    for (int rank = 0; rank < reduce->ranks; ++rank) {
        const int64_t begin = part_begin(reduce, b, rank), end = part_begin(reduce, b, rank + 1);
        const int64_t first = from > begin ? from : begin, last = to < end ? to : end;
        if (first < last) fill_part(reduce, b, rank, arrays, first, last);
    }
}

ql_status ql_reduce_begin(ql_reduce *reduce, int bucket)
{
    ql_reduce_bucket *b = &reduce->bucket[bucket];
    if (reduce->group == NULL) return QL_OK;
    return reduce->group->kind->exchange_begin(reduce->group, b->send, &b->to, b->receive, &b->from, reduce->number,
                                               &b->request);
}

ql_status ql_reduce_poke(ql_reduce *reduce, int bucket)
{
    bool over;
    if (reduce->group == NULL) return QL_OK;
    return reduce->group->kind->test(reduce->group, &reduce->bucket[bucket].request, &over);
}

ql_status ql_reduce_turn(ql_reduce *reduce, int bucket, void *sum)
{
    ql_reduce_bucket *b = &reduce->bucket[bucket];
    if (reduce->group == NULL) return QL_OK;
    QL_TRY(reduce->group->kind->wait(reduce->group, &b->request));
    evaluate(reduce, reduce->tree, reduce->tree_steps, b->source, 0, b->parts.count[reduce->rank],
             (char *)sum + (size_t)b->parts.at[reduce->rank] * size_of(reduce));
    return reduce->group->kind->gather_begin(reduce->group, sum, &b->parts, reduce->number, &b->request);
}

ql_status ql_reduce_finish(ql_reduce *reduce, int bucket)
{
    if (reduce->group == NULL) return QL_OK;
    return reduce->group->kind->wait(reduce->group, &reduce->bucket[bucket].request);
}

/* ---- loss terms ---- */

ql_status ql_reduce_terms_begin(ql_reduce *reduce, const double (*own)[QL_LOSS_COUNT], int vote)
{
    double(*row)[QL_LOSS_COUNT] = (void *)(reduce->rows + reduce->row_parts.at[reduce->rank]);
    memset(row, 0, (size_t)reduce->row_parts.count[reduce->rank] * sizeof **row);
    row[0][0] = vote;
    for (int32_t s = 0; s < reduce->count; ++s)
        for (int term = 0; term < QL_LOSS_COUNT; ++term) row[1 + (reduce->fixed ? s : 0)][term] += own[s][term];
    if (reduce->group == NULL) return QL_OK;
    return reduce->group->kind->gather_begin(reduce->group, reduce->rows, &reduce->row_parts, QL_NUMBER_FLOAT64,
                                             &reduce->row_request);
}

ql_status ql_reduce_terms_finish(ql_reduce *reduce, double terms[QL_LOSS_COUNT], int *vote)
{
    if (reduce->group != NULL) QL_TRY(reduce->group->kind->wait(reduce->group, &reduce->row_request));
    memset(terms, 0, QL_LOSS_COUNT * sizeof *terms);
    *vote = 0;
    for (int rank = 0; rank < reduce->ranks; ++rank) {
        const double *row = reduce->rows + reduce->row_parts.at[rank];
        const double *end = row + reduce->row_parts.count[rank];
        if ((int)row[0] > *vote) *vote = (int)row[0];
        for (row += QL_LOSS_COUNT; row < end; row += QL_LOSS_COUNT)
            for (int term = 0; term < QL_LOSS_COUNT; ++term) terms[term] += row[term];
    }
    return QL_OK;
}
