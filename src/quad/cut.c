#include "quad/cut.h"

#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_scale.h"
#include "field/cross_sector.h"

#include <math.h>
#include <string.h>

/* Cells may be larger than wished by 1 / LEAST and smaller by 1 / MOST: what is thin or ends in a tip must not be lost, and the
 * few cells that are left where many small ones are spent would be stretched along sharp edges. */
static const double SCALE_SHARE = 1, SCALE_LEAST = 0.8, SCALE_MOST = 1.6;

/* Breadth-first over faces from face 0; seam[h] = 0 across tree edges, 1 across all other inner edges. */
static ql_status comb(ql_cut *cut, const ql_surface *s, uint8_t *seam)
{
    int32_t *queue = NULL, head = 0, tail = 0;
    uint8_t *axis = NULL, *seen = NULL;
    ql_status status = QL_TAKE(queue, s->face_count);
    if (status == QL_OK) status = QL_TAKE(axis, s->face_count);
    if (status == QL_OK) status = QL_TAKE(seen, s->face_count);
    if (status != QL_OK) goto end;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) seam[h] = s->opposite[h] >= 0;
    queue[tail++] = 0;
    seen[0] = 1;
    while (head < tail) {
        int32_t f = queue[head++];
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            int32_t g = s->opposite[h];
            if (g < 0 || seen[g / 3]) continue;
            seen[g / 3] = 1;
            axis[g / 3] = (uint8_t)((axis[f] + cut->matching[h]) % 4);
            seam[h] = seam[g] = 0;
            queue[tail++] = g / 3;
        }
    }
    if (tail != s->face_count) status = QL_FAIL(INTERNAL, "cut: surface has more than one component");
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->opposite[h] >= 0)
            cut->matching[h] = (uint8_t)((cut->matching[h] + axis[h / 3] + 4 - axis[s->opposite[h] / 3]) % 4);
    for (int32_t f = 0; f < s->face_count; ++f) cut->phi[f] += M_PI_2 * axis[f];
end:
    ql_free(queue);
    ql_free(axis);
    ql_free(seen);
    return status;
}

/* The one seam half-edge from v, when there is exactly one; degree is the number of them. */
static int32_t seam_from(const ql_surface *s, const uint8_t *seam, int32_t v)
{
    int32_t h = s->outgoing[v], first = h;
    do {
        if (seam[h]) return h;
        h = ql_turn_left(s, h);
    } while (h >= 0 && h != first);
    return -1;
}

static ql_status prune(const ql_cut *cut, const ql_surface *s, uint8_t *seam, int32_t *degree)
{
    int32_t *stack = NULL, top = 0;
    QL_TRY(QL_TAKE(stack, s->vertex_count + 1));
    for (int32_t h = 0; h < 3 * s->face_count; ++h) degree[ql_from(s, h)] += seam[h];
    for (int32_t v = 0; v < s->vertex_count; ++v)
        if (degree[v] == 1 && cut->index[v] == 0 && !ql_on_boundary(s, v)) stack[top++] = v;
    while (top > 0) {
        int32_t v = stack[--top];
        int32_t h = degree[v] == 1 ? seam_from(s, seam, v) : -1;
        if (h < 0) continue;
        int32_t w = ql_to(s, h);
        seam[h] = seam[s->opposite[h]] = 0;
        --degree[v];
        if (--degree[w] == 1 && cut->index[w] == 0 && !ql_on_boundary(s, w)) stack[top++] = w;
    }
    ql_free(stack);
    return QL_OK;
}

/* Follows one segment from half-edge h at a node. */
static void walk_segment(ql_cut *cut, const ql_surface *s, const uint8_t *seam, const uint8_t *node, int32_t h)
{
    int32_t id = ++cut->segments;
    while (1) {
        cut->segment[h] = id;
        cut->segment[s->opposite[h]] = -id;
        int32_t v = ql_to(s, h);
        if (node[v]) return;
        int32_t g = ql_next(h); /* the other seam edge at v */
        while (!seam[g] || g == s->opposite[h]) g = ql_turn_right(s, g);
        h = g;
    }
}

static ql_status number_segments(ql_cut *cut, const ql_surface *s, const uint8_t *seam, const int32_t *degree)
{
    uint8_t *node = NULL;
    QL_TRY(QL_TAKE(node, s->vertex_count + 1));
    for (int32_t v = 0; v < s->vertex_count; ++v)
        node[v] = degree[v] > 0 && (degree[v] != 2 || cut->index[v] != 0 || ql_on_boundary(s, v));
    for (int pass = 0; pass < 2; ++pass)
        for (int32_t h = 0; h < 3 * s->face_count; ++h) {
            if (!seam[h] || cut->segment[h] != 0) continue;
            if (pass == 1) node[ql_from(s, h)] = 1; /* a closed seam without a node */
            if (node[ql_from(s, h)]) walk_segment(cut, s, seam, node, h);
        }
    ql_free(node);
    return QL_OK;
}

/* Vertices of the cut surface - edges + faces must be 1. */
static ql_status check_disk(const ql_surface *s, const uint8_t *seam, const int32_t *degree)
{
    int32_t vertices = 0, edges2 = 0;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        if (s->outgoing[v] < 0) continue;
        vertices += ql_on_boundary(s, v) ? degree[v] + 1 : degree[v] > 1 ? degree[v] : 1;
    }
    for (int32_t h = 0; h < 3 * s->face_count; ++h) edges2 += s->opposite[h] < 0 || seam[h] ? 2 : 1;
    int32_t euler = vertices - edges2 / 2 + s->face_count;
    return euler == 1 ? QL_OK : QL_FAIL(INTERNAL, "cut: Euler characteristic %d, not that of a disk", euler);
}

static ql_status find_scale(const ql_cut *cut, const ql_surface *s)
{
    double *delta = NULL;
    QL_TRY(QL_TAKE(delta, 3 * (int64_t)s->face_count));
    ql_cross_turns(s, cut->psi, cut->phi, cut->matching, delta);
    ql_status status = ql_cross_scale(s, delta, SCALE_SHARE, SCALE_LEAST, SCALE_MOST, cut->scale);
    ql_free(delta);
    return status;
}

ql_status ql_cut_create(ql_cut *cut, const ql_surface *s, const double *phi, const uint8_t *matching)
{
    uint8_t *seam = NULL;
    int32_t *degree = NULL;
    int64_t halves = 3 * (int64_t)s->face_count;
    memset(cut, 0, sizeof *cut);
    ql_status status = QL_TAKE(cut->psi, halves);
    if (status == QL_OK) status = QL_TAKE(cut->phi, s->face_count);
    if (status == QL_OK) status = QL_TAKE(cut->scale, s->face_count);
    if (status == QL_OK) status = QL_TAKE(cut->matching, halves);
    if (status == QL_OK) status = QL_TAKE(cut->index, s->vertex_count);
    if (status == QL_OK) status = QL_TAKE(cut->segment, halves);
    if (status == QL_OK) status = QL_TAKE(seam, halves);
    if (status == QL_OK) status = QL_TAKE(degree, s->vertex_count + 1);
    if (status == QL_OK) {
        memcpy(cut->phi, phi, (size_t)s->face_count * sizeof *phi);
        ql_cross_edge_angles(s, cut->psi);
        if (matching != NULL)
            memcpy(cut->matching, matching, (size_t)halves);
        else
            ql_cross_matching(s, cut->psi, cut->phi, cut->matching);
        ql_cross_indices(s, cut->psi, cut->phi, cut->matching, cut->index);
        for (int32_t v = 0; v < s->vertex_count; ++v) cut->singular += cut->index[v] != 0 && !ql_on_boundary(s, v);
        status = find_scale(cut, s);
    }
    if (status == QL_OK) {
        status = comb(cut, s, seam);
    }
    if (status == QL_OK) status = prune(cut, s, seam, degree);
    if (status == QL_OK) status = number_segments(cut, s, seam, degree);
    if (status == QL_OK) status = check_disk(s, seam, degree);
    ql_free(seam);
    ql_free(degree);
    if (status != QL_OK) ql_cut_destroy(cut);
    return status;
}

void ql_cut_destroy(ql_cut *cut)
{
    if (cut == NULL) return;
    ql_free(cut->psi);
    ql_free(cut->phi);
    ql_free(cut->scale);
    ql_free(cut->matching);
    ql_free(cut->index);
    ql_free(cut->segment);
    memset(cut, 0, sizeof *cut);
}
