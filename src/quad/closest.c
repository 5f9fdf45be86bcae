#include "quad/closest.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <stdlib.h>
#include <string.h>

enum { LEAF = 4, STACK = 96 };

typedef struct node {
    double low[3], high[3];
    int32_t begin, end; /* triangles of a leaf */
    int32_t right;      /* second child; the first one follows its parent; 0 = leaf */
} node;

struct ql_closest {
    int32_t count, nodes;
    node *node;
    double *corner;  /* count x 9, in tree order */
    int32_t *number; /* tree order -> caller's number */
};

static void on_segment(const double p[3], const double a[3], const double b[3], double out[3])
{
    double d[3], e[3];
    ql_sub(b, a, d);
    ql_sub(p, a, e);
    double length2 = ql_dot(d, d), t = length2 > 0 ? ql_dot(e, d) / length2 : 0;
    ql_lerp(a, b, t < 0 ? 0 : t > 1 ? 1 : t, out);
}

double ql_closest_on_triangle(const double p[3], const double a[3], const double b[3], const double c[3], double out[3])
{
    double ab[3], ac[3], ap[3], n[3];
    ql_sub(b, a, ab);
    ql_sub(c, a, ac);
    ql_sub(p, a, ap);
    ql_cross(ab, ac, n);
    double area2 = ql_dot(n, n), scale = ql_dot(ab, ab) * ql_dot(ac, ac);
    if (area2 > 1e-24 * scale) {
        double t[3];
        ql_cross(ap, ac, t);
        double v = ql_dot(t, n) / area2;
        ql_cross(ab, ap, t);
        double w = ql_dot(t, n) / area2;
        if (v >= 0 && w >= 0 && v + w <= 1) {
            for (int k = 0; k < 3; ++k) out[k] = a[k] + v * ab[k] + w * ac[k];
            return ql_distance2(p, out);
        }
    }
    double best, q[3];
    on_segment(p, a, b, out);
    best = ql_distance2(p, out);
    const double *ends[2][2] = {{b, c}, {c, a}};
    for (int k = 0; k < 2; ++k) {
        on_segment(p, ends[k][0], ends[k][1], q);
        double d = ql_distance2(p, q);
        if (d < best) {
            best = d;
            memcpy(out, q, sizeof q);
        }
    }
    return best;
}

/* Puts the median along `axis` at `middle` (quickselect on triangle centres). */
static void select_median(const double *centre, int32_t *order, int32_t low, int32_t high, int32_t middle, int axis)
{
    while (high - low > 1) {
        double pivot = centre[3 * (int64_t)order[low + (high - low) / 2] + axis];
        int32_t i = low, j = high - 1;
        while (i <= j) {
            while (centre[3 * (int64_t)order[i] + axis] < pivot) ++i;
            while (centre[3 * (int64_t)order[j] + axis] > pivot) --j;
            if (i <= j) {
                int32_t t = order[i];
                order[i++] = order[j];
                order[j--] = t;
            }
        }
        if (middle <= j)
            high = j + 1;
        else if (middle >= i)
            low = i;
        else
            return;
    }
}

static int32_t build(ql_closest *tree, const double *corners, const double *centre, int32_t begin, int32_t end)
{
    int32_t me = tree->nodes++;
    node *n = &tree->node[me];
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (int k = 0; k < 3; ++k) {
        n->low[k] = INFINITY;
        n->high[k] = -INFINITY;
    }
    for (int32_t i = begin; i < end; ++i)
        for (int k = 0; k < 3; ++k) {
            double c = centre[3 * (int64_t)tree->number[i] + k];
            low[k] = fmin(low[k], c);
            high[k] = fmax(high[k], c);
            for (int j = 0; j < 3; ++j) {
                double x = corners[9 * (int64_t)tree->number[i] + 3 * j + k];
                n->low[k] = fmin(n->low[k], x);
                n->high[k] = fmax(n->high[k], x);
            }
        }
    n->begin = begin;
    n->end = end;
    n->right = 0;
    if (end - begin <= LEAF) return me;
    int axis = 0;
    for (int k = 1; k < 3; ++k)
        if (high[k] - low[k] > high[axis] - low[axis]) axis = k;
    int32_t middle = begin + (end - begin) / 2;
    select_median(centre, tree->number, begin, end, middle, axis);
    (void)build(tree, corners, centre, begin, middle);
    int32_t right = build(tree, corners, centre, middle, end);
    tree->node[me].right = right;
    return me;
}

ql_status ql_closest_create(ql_closest **out, const double *corners, int32_t count)
{
    double *centre = NULL;
    QL_TRY(QL_TAKE(*out, 1));
    ql_closest *tree = *out;
    tree->count = count;
    ql_status status = QL_TAKE(tree->node, 2 * (int64_t)count + 1);
    if (status == QL_OK) status = QL_TAKE(tree->corner, 9 * (int64_t)count + 1);
    if (status == QL_OK) status = QL_TAKE(tree->number, count + 1);
    if (status == QL_OK) status = QL_TAKE(centre, 3 * (int64_t)count + 1);
    if (status == QL_OK && count > 0) {
        for (int32_t i = 0; i < count; ++i) {
            const double *t = corners + 9 * (int64_t)i;
            for (int k = 0; k < 3; ++k) centre[3 * (int64_t)i + k] = (t[k] + t[3 + k] + t[6 + k]) / 3;
            tree->number[i] = i;
        }
        (void)build(tree, corners, centre, 0, count);
        for (int32_t i = 0; i < count; ++i)
            memcpy(tree->corner + 9 * (int64_t)i, corners + 9 * (int64_t)tree->number[i], 9 * sizeof *corners);
    }
    ql_free(centre);
    if (status != QL_OK) {
        ql_closest_destroy(tree);
        *out = NULL;
    }
    return status;
}

ql_status ql_closest_of_faces(ql_closest **tree, const double *vertices, const int32_t *faces, int32_t count)
{
    double *corners = NULL;
    QL_TRY(QL_TAKE(corners, 9 * (int64_t)count + 1));
    for (int64_t i = 0; i < 3 * (int64_t)count; ++i)
        memcpy(corners + 3 * i, vertices + 3 * (int64_t)faces[i], 3 * sizeof *corners);
    ql_status status = ql_closest_create(tree, corners, count);
    ql_free(corners);
    return status;
}

void ql_closest_destroy(ql_closest *tree)
{
    if (tree == NULL) return;
    ql_free(tree->node);
    ql_free(tree->corner);
    ql_free(tree->number);
    ql_free(tree);
}

static double box_distance2(const node *n, const double p[3])
{
    double sum = 0;
    for (int k = 0; k < 3; ++k) {
        double d = p[k] < n->low[k] ? n->low[k] - p[k] : p[k] > n->high[k] ? p[k] - n->high[k] : 0;
        sum += d * d;
    }
    return sum;
}

int32_t ql_closest_find(const ql_closest *tree, const double point[3], double limit2, double closest[3],
                        double *distance2)
{
    int32_t best = -1, stack[STACK], top = 0;
    double nearest = limit2;
    if (tree->count > 0) stack[top++] = 0;
    while (top > 0) {
        int32_t me = stack[--top];
        const node *n = &tree->node[me];
        if (box_distance2(n, point) >= nearest) continue;
        if (n->right == 0) {
            for (int32_t i = n->begin; i < n->end; ++i) {
                const double *t = tree->corner + 9 * (int64_t)i;
                double q[3], d = ql_closest_on_triangle(point, t, t + 3, t + 6, q);
                if (d >= nearest) continue;
                nearest = d;
                best = tree->number[i];
                memcpy(closest, q, sizeof q);
            }
            continue;
        }
        double left = box_distance2(&tree->node[me + 1], point), right = box_distance2(&tree->node[n->right], point);
        int32_t near_one = left <= right ? me + 1 : n->right, far_one = left <= right ? n->right : me + 1;
        stack[top++] = far_one;
        stack[top++] = near_one;
    }
    *distance2 = nearest;
    return best;
}
