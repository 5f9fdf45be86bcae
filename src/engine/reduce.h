/* One gradient out of many: the sum over the shards of a mesh, within a rank and over the ranks of a group.
 *
 * Faces and off-surface points are cut into shards, contiguous blocks; each rank of a group has a contiguous range of them,
 * and an array per shard. They are summed as the binary tree T over leaves
 *
 *     T(n) = T(p) + T(n - p),   p the largest power of two below n
 *
 * fixed shards (their number depends on the mesh alone): the leaves are the shards, so the sum has the same bytes for every
 * number of ranks and threads. Otherwise each rank is one leaf, the same bytes for the same ranks and threads.
 *
 * Over ranks: a rank sums the largest subtrees that are wholly its own ("nodes"), sends each rank the part of the array that
 * falls to it, combines what it received for its own part in the order of the tree, and all ranks gather the parts: with one
 * node per rank 2 (k - 1)/k arrays through each link, as the best all-reduce. The array is reduced in buckets, so that one
 * travels while the next is computed.
 *
 * All arrays are flat and of the same length; indices are those of the whole array.
 */
#ifndef QL_ENGINE_REDUCE_H
#define QL_ENGINE_REDUCE_H

#include "base/memory.h"
#include "comm/comm.h"
#include "model/loss.h"

enum { QL_REDUCE_BUCKETS = 2 };

typedef struct ql_reduce_step ql_reduce_step; /* of the evaluation of a tree; reduce.c */

typedef struct ql_reduce_bucket {
    int64_t begin, end;
    void *send, *receive; /* nodes of ours, part by part; nodes of all, our part */
    ql_parts to, from, parts;
    const void **source; /* where each node is in `receive` */
    ql_request request;
} ql_reduce_bucket;

typedef struct ql_reduce {
    ql_comm *group; /* NULL: alone */
    int ranks, rank;
    ql_number number;
    bool fixed;
    int32_t shards, first, count; /* in all; ours */
    int32_t leaves;
    int *leaf_first, *node_first;      /* of each rank, and the total behind the last */
    int32_t *node_begin, *node_count;  /* our nodes: local arrays first .. */
    ql_reduce_step *tree, **node_tree; /* over all nodes; over the arrays of each of ours */
    int tree_steps, *node_steps;
    int *part_table;
    int64_t *border;
    int *gather_table;
    double *rows; /* per rank one row for the vote, then one per leaf: QL_LOSS_COUNT each */
    int *row_table;
    ql_parts row_parts;
    ql_request row_request;
    ql_reduce_bucket bucket[QL_REDUCE_BUCKETS];
    int buckets;
} ql_reduce;

typedef struct ql_reduce_setup {
    ql_comm *group; /* NULL or of one rank: alone */
    ql_number number;
    int32_t fixed_shards; /* of the mesh; 0 = `own_shards` for each rank */
    int32_t own_shards;
    const int64_t *border; /* of the buckets: buckets + 1 indices */
    int buckets;
} ql_reduce_setup;

/* Not collective: every rank finds the same. */
ql_status ql_reduce_create(ql_reduce *reduce, const ql_reduce_setup *setup);
void ql_reduce_destroy(ql_reduce *reduce); /* also of zeros */

/* The buffers, from an arena (which may be a measuring one); false: too small. */
bool ql_reduce_take(ql_reduce *reduce, ql_arena *arena);

/* First of `count` elements that fall to rank r (ranks: the end) when they are cut at the borders of the shards. */
int64_t ql_reduce_begin_of(const ql_reduce *reduce, int rank, int64_t count);

/* Collective: rows of `width` numbers, of which rank r has those of [border[r], border[r + 1]), are gathered in place; the ranks + 1
 * borders are in reduce->border, for use between two calls. Alone it does nothing. */
ql_status ql_reduce_gather(ql_reduce *reduce, void *array, int width, ql_number number);

/* Sums our nodes for the elements [from, to) as far as they are in the bucket; alone that is the whole sum, in `sum`, which may
 * be one of the arrays. Any thread, disjoint ranges. */
void ql_reduce_fill(const ql_reduce *reduce, int bucket, const void *const *arrays, void *sum, int64_t from,
                    int64_t to);

/* One thread; alone they do nothing. begin and turn are collective and come in the same order on all ranks (with those of
 * other buckets and of the terms): begin sends our nodes, poke makes that progress, turn waits for those of the others,
 * combines our part and begins to gather, finish waits until `sum` is complete. `sum` may be one of the arrays. */
ql_status ql_reduce_begin(ql_reduce *reduce, int bucket);
ql_status ql_reduce_poke(ql_reduce *reduce, int bucket);
ql_status ql_reduce_turn(ql_reduce *reduce, int bucket, void *sum);
ql_status ql_reduce_finish(ql_reduce *reduce, int bucket);

/* Loss terms of each of our shards (count x QL_LOSS_COUNT, QL_LOSS_TOTAL unused) and our vote travel to all; then the sum over
 * all shards, in their order, and the largest vote. Collective. */
ql_status ql_reduce_terms_begin(ql_reduce *reduce, const double (*own)[QL_LOSS_COUNT], int vote);
ql_status ql_reduce_terms_finish(ql_reduce *reduce, double terms[QL_LOSS_COUNT], int *vote);

#endif
