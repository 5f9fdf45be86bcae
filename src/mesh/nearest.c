/* k-d tree over points copied in tree order: a node is a range of them, split at its median along the longest
 * side of its box, so the tree is balanced and needs no pointers: node i has children 2i + 1 and 2i + 2.
 *
 * A query goes down to the nearer child first and keeps the squared distance to the box of every pending node
 * (per axis; Arya and Mount 1993), so that a branch is entered only when its box is near enough. Among equal
 * distances the lower index wins: results do not depend on the shape of the tree.
 */
#include "mesh/nearest.h"

#include "base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { LEAF = 8, MAX_K = 64, MAX_DEPTH = 40 };

struct ql_kdtree {
    int32_t count, levels; /* leaves are on level `levels` */
    double *points;        /* count x 3, in tree order */
    int32_t *index;        /* their place in the input */
    double *split;         /* per inner node: coordinate ... */
    uint8_t *axis;         /* ... and axis */
};

static double coordinate(const ql_kdtree *tree, const double *points, int32_t i, int axis)
{
    return points[3 * (size_t)tree->index[i] + (size_t)axis];
}

static void swap_index(int32_t *index, int32_t a, int32_t b)
{
    int32_t t = index[a];
    index[a] = index[b];
    index[b] = t;
}

/* Hoare's selection: afterwards index[begin..middle) <= index[middle..end) along the axis. */
static void select_median(ql_kdtree *tree, const double *points, int32_t begin, int32_t middle, int32_t end, int axis)
{
    int32_t low = begin, high = end - 1;
    while (low < high) {
        double a = coordinate(tree, points, low, axis), b = coordinate(tree, points, low + (high - low) / 2, axis),
               c = coordinate(tree, points, high, axis);
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
        int32_t i = low, j = high;
        while (i <= j) {
            while (coordinate(tree, points, i, axis) < pivot) ++i;
            while (coordinate(tree, points, j, axis) > pivot) --j;
            if (i <= j) swap_index(tree->index, i++, j--);
        }
        if (middle <= j)
            high = j;
        else if (middle >= i)
            low = i;
        else
            break;
    }
}

static int longest_axis(const ql_kdtree *tree, const double *points, int32_t begin, int32_t end)
{
    double low[3], high[3];
    for (int k = 0; k < 3; ++k) low[k] = high[k] = coordinate(tree, points, begin, k);
    for (int32_t i = begin + 1; i < end; ++i) {
        for (int k = 0; k < 3; ++k) {
            double x = coordinate(tree, points, i, k);
            low[k] = fmin(low[k], x);
            high[k] = fmax(high[k], x);
        }
    }
    int axis = 0;
    for (int k = 1; k < 3; ++k)
        if (high[k] - low[k] > high[axis] - low[axis]) axis = k;
    return axis;
}

/* Range of a node's left child: the first half, rounded up. */
static int32_t middle_of(int32_t begin, int32_t end) { return begin + (end - begin + 1) / 2; }

static void build_node(ql_kdtree *tree, const double *points, int32_t node, int level, int32_t begin, int32_t end)
{
    if (level == tree->levels) return;
    int32_t middle = middle_of(begin, end);
    int axis = longest_axis(tree, points, begin, end);
    select_median(tree, points, begin, middle, end, axis);
    tree->axis[node] = (uint8_t)axis;
    tree->split[node] = coordinate(tree, points, middle, axis);
    build_node(tree, points, 2 * node + 1, level + 1, begin, middle);
    build_node(tree, points, 2 * node + 2, level + 1, middle, end);
}

static ql_status build(ql_kdtree *tree, const double *points)
{
    for (int64_t leaf = LEAF; leaf < tree->count; leaf *= 2) tree->levels++;
    size_t inner = ((size_t)1 << tree->levels) - 1;
    QL_TRY(QL_TAKE(tree->points, 3 * (size_t)tree->count));
    QL_TRY(QL_TAKE(tree->index, tree->count));
    QL_TRY(QL_TAKE(tree->split, inner));
    QL_TRY(QL_TAKE(tree->axis, inner));
    for (int32_t i = 0; i < tree->count; ++i) tree->index[i] = i;
    build_node(tree, points, 0, 0, 0, tree->count);
    for (int32_t i = 0; i < tree->count; ++i)
        memcpy(tree->points + 3 * (size_t)i, points + 3 * (size_t)tree->index[i], 3 * sizeof *points);
    return QL_OK;
}

ql_status ql_kdtree_create(ql_kdtree **out, const double *points, int32_t count)
{
    ql_kdtree *tree = NULL;
    *out = NULL;
    QL_TRY(QL_TAKE(tree, 1));
    tree->count = count;
    ql_status status = build(tree, points);
    if (status != QL_OK)
        ql_kdtree_destroy(tree);
    else
        *out = tree;
    return status;
}

void ql_kdtree_destroy(ql_kdtree *tree)
{
    if (tree == NULL) return;
    ql_free(tree->points);
    ql_free(tree->index);
    ql_free(tree->split);
    ql_free(tree->axis);
    ql_free(tree);
}

/* ---- query ---- */

/* The one formula for distances to points and boxes: rounding is monotone, so a box is never farther than its
 * points. */
static double square(double x, double y, double z) { return x * x + y * y + z * z; }

typedef struct pending_node {
    double distance2, offset[3]; /* of the query to the node's box: squared, and per axis */
    int32_t node, begin, end;
    int level;
} pending_node;

typedef struct found_points {
    int32_t *index;
    double *distance2;
    int count, wanted;
} found_points;

static bool is_before(double distance2, int32_t index, double other_distance2, int32_t other)
{
    return distance2 < other_distance2 || (distance2 == other_distance2 && index < other);
}

static void keep_point(found_points *found, double distance2, int32_t index)
{
    int last = found->count < found->wanted ? found->count++ : found->wanted - 1;
    for (; last > 0 && is_before(distance2, index, found->distance2[last - 1], found->index[last - 1]); --last) {
        found->distance2[last] = found->distance2[last - 1];
        found->index[last] = found->index[last - 1];
    }
    found->distance2[last] = distance2;
    found->index[last] = index;
}

static bool is_wanted(const found_points *found, double distance2, int32_t index)
{
    int last = found->count - 1;
    return found->count < found->wanted || is_before(distance2, index, found->distance2[last], found->index[last]);
}

static void search_leaf(const ql_kdtree *tree, const double query[3], const pending_node *leaf, found_points *found)
{
    for (int32_t i = leaf->begin; i < leaf->end; ++i) {
        const double *p = tree->points + 3 * (size_t)i;
        double distance2 = square(p[0] - query[0], p[1] - query[1], p[2] - query[2]);
        if (is_wanted(found, distance2, tree->index[i])) keep_point(found, distance2, tree->index[i]);
    }
}

int ql_kdtree_nearest(const ql_kdtree *tree, const double query[3], int k, int32_t *index, double *distance2)
{
    assert(k >= 0 && k <= MAX_K);
    found_points found = {index, distance2, 0, k < tree->count ? k : (int)tree->count};
    pending_node stack[MAX_DEPTH];
    int depth = 0;
    if (found.wanted == 0) return 0;
    stack[depth++] = (pending_node){.end = tree->count};
    while (depth > 0) {
        pending_node here = stack[--depth];
        if (found.count == found.wanted && here.distance2 > distance2[found.count - 1]) continue;
        while (here.level < tree->levels) {
            int axis = tree->axis[here.node];
            double offset = query[axis] - tree->split[here.node];
            int32_t middle = middle_of(here.begin, here.end);
            pending_node far = here;
            far.offset[axis] = offset;
            far.distance2 = square(far.offset[0], far.offset[1], far.offset[2]);
            far.level = ++here.level;
            far.node = 2 * here.node + (offset < 0.0 ? 2 : 1);
            here.node = 2 * here.node + (offset < 0.0 ? 1 : 2);
            *(offset < 0.0 ? &far.begin : &far.end) = middle;
            *(offset < 0.0 ? &here.end : &here.begin) = middle;
            stack[depth++] = far;
        }
        search_leaf(tree, query, &here, &found);
    }
    return found.count;
}
