#include "quad/feature.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/patch.h"

static double edge_length(const ql_surface *s, int32_t h)
{
    return sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
}

int32_t ql_feature_at(const ql_surface *s, int32_t v, int32_t half[2])
{
    int32_t count = 0, h = s->outgoing[v];
    if (h < 0) return 0;
    int32_t first = h;
    while (1) {
        if (s->feature[h] && count++ < 2) half[count - 1] = h;
        int32_t next = ql_turn_left(s, h);
        if (next < 0) { /* last edge of a boundary fan: it comes in */
            if (count++ < 2) half[count - 1] = ql_previous(h);
            break;
        }
        if (next == first) break;
        h = next;
    }
    return count;
}

/* The far end of a feature half-edge at v. */
static int32_t far_end(const ql_surface *s, int32_t h, int32_t v)
{
    return ql_from(s, h) == v ? ql_to(s, h) : ql_from(s, h);
}

static void unmark(ql_surface *s, int32_t h)
{
    if (s->opposite[h] < 0) return;
    s->feature[h] = 0;
    s->feature[s->opposite[h]] = 0;
}

/* Walks from a dead end to the next branch or dead end; returns the length, and unmarks when told to. */
static double walk_tail(ql_surface *s, int32_t v, int remove, double stop)
{
    int32_t half[2], previous = -1, start = v;
    double length = 0;
    while (1) {
        int32_t n = ql_feature_at(s, v, half);
        if (n == 0 || (v != start && n != 2)) break;
        if (v == start && n != 1 && previous >= 0) break;
        int32_t pick = -1;
        for (int32_t i = 0; i < n && i < 2; ++i)
            if (far_end(s, half[i], v) != previous) pick = half[i];
        if (pick < 0) break;
        length += edge_length(s, pick);
        if (length > stop) break;
        int32_t w = far_end(s, pick, v);
        if (remove) {
            unmark(s, pick);
            previous = -1;
        } else {
            previous = v;
        }
        v = w;
        if (w == start) break;
    }
    return length;
}

/* Removes a dead end of a chain up to the next branch. */
static void remove_tail(ql_surface *s, int32_t v)
{
    int32_t half[2];
    while (ql_feature_at(s, v, half) == 1 && s->opposite[half[0]] >= 0) {
        int32_t w = far_end(s, half[0], v);
        unmark(s, half[0]);
        v = w;
    }
}

static int prune_tails(ql_surface *s, double shortest)
{
    int changed = 0;
    int32_t half[2];
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        if (s->outgoing[v] < 0 || ql_feature_at(s, v, half) != 1) continue;
        if (walk_tail(s, v, 0, shortest) <= shortest) {
            remove_tail(s, v);
            changed = 1;
        }
    }
    return changed;
}

/* Drops connected sets of feature edges whose total length is below `shortest` and that touch no boundary. */
static ql_status drop_small_sets(ql_surface *s, double shortest)
{
    int32_t *stack = NULL, *group = NULL;
    double *length = NULL;
    ql_status status = QL_TAKE(stack, s->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(group, s->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(length, s->vertex_count + 2);
    if (status != QL_OK) goto end;
    int32_t groups = 0;
    for (int32_t seed = 0; seed < s->vertex_count; ++seed) {
        int32_t top = 0;
        if (group[seed] || s->outgoing[seed] < 0) continue;
        group[seed] = ++groups;
        stack[top++] = seed;
        while (top > 0) {
            int32_t v = stack[--top], h = s->outgoing[v], first = h;
            do {
                if (s->feature[h]) {
                    length[groups] += s->opposite[h] < 0 ? INFINITY : edge_length(s, h);
                    if (!group[ql_to(s, h)]) {
                        group[ql_to(s, h)] = groups;
                        stack[top++] = ql_to(s, h);
                    }
                }
                int32_t next = ql_turn_left(s, h);
                if (next < 0) {
                    int32_t w = ql_from(s, ql_previous(h));
                    if (!group[w]) {
                        group[w] = groups;
                        stack[top++] = w;
                    }
                }
                h = next;
            } while (h >= 0 && h != first);
        }
    }
    for (int32_t h = 0; h < 3 * s->face_count; ++h) /* every inner edge was counted from both ends */
        if (s->feature[h] && s->opposite[h] >= 0 && length[group[ql_from(s, h)]] < 2 * shortest) s->feature[h] = 2;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->feature[h] == 2) s->feature[h] = 0;
end:
    ql_free(stack);
    ql_free(group);
    ql_free(length);
    return status;
}

/* Distance from x to the chain that leaves v along feature half-edge h, no further than `reach` along it. */
static double distance_to_chain(const ql_surface *s, const double x[3], int32_t v, int32_t h, double reach)
{
    double least = INFINITY;
    int32_t half[2], start = v;
    for (double length = 0; length < reach; length += edge_length(s, h)) {
        int32_t w = far_end(s, h, v);
        double e[3], d[3], foot[3];
        ql_sub(ql_at(s, w), ql_at(s, v), e);
        ql_sub(x, ql_at(s, v), d);
        double t = ql_dot(d, e) / fmax(ql_dot(e, e), 1e-300);
        ql_lerp(ql_at(s, v), ql_at(s, w), fmin(fmax(t, 0), 1), foot);
        least = fmin(least, ql_distance2(x, foot));
        if (w == start || ql_feature_at(s, w, half) != 2) break;
        h = far_end(s, half[0], w) == v ? half[1] : half[0];
        v = w;
    }
    return sqrt(least);
}

/* Unmarks the chain that leaves v along h while it is nearer than `gap` to the one along `other`. */
static void retreat(ql_surface *s, int32_t v, int32_t h, int32_t other, double gap)
{
    int32_t half[2], corner = v;
    for (double length = 0; s->opposite[h] >= 0;) {
        int32_t w = far_end(s, h, v), n = ql_feature_at(s, w, half);
        int32_t next = n != 2 ? -1 : far_end(s, half[0], w) == v ? half[1] : half[0];
        length += edge_length(s, h);
        unmark(s, h);
        if (next < 0 || w == corner) return;
        if (distance_to_chain(s, ql_at(s, w), corner, other, 2 * length + edge_length(s, other)) >= gap) return;
        v = w;
        h = next;
    }
}

/* Where two features leave a vertex at an acute angle, one of them begins only where a quad fits between them: the corner of a
 * quad cannot be that sharp, and no integer line fits into the wedge. The boundary is kept, else the sharper edge. */
static void open_wedges(ql_surface *s, const double *normal, double gap)
{
    const double acute = cos(20 * M_PI / 180);
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        if (!s->feature[h]) continue;
        int32_t v = ql_from(s, h), g = h;
        double a[3], b[3], angle = 0;
        do { /* to the next feature edge counter-clockwise */
            int32_t last = ql_previous(g);
            ql_sub(ql_at(s, ql_to(s, g)), ql_at(s, v), a);
            ql_sub(ql_at(s, ql_from(s, last)), ql_at(s, v), b);
            (void)ql_normalise(a);
            (void)ql_normalise(b);
            angle += acos(fmin(fmax(ql_dot(a, b), -1), 1));
            g = s->opposite[last] < 0 ? last : s->opposite[last];
        } while (!s->feature[g] && cos(fmin(angle, M_PI)) > acute);
        if (!s->feature[g] || cos(fmin(angle, M_PI)) <= acute) continue;
        double bend[2];
        int32_t side[2] = {h, g};
        for (int i = 0; i < 2; ++i)
            bend[i] = s->opposite[side[i]] < 0 ? -2
                                               : ql_dot(normal + 3 * (int64_t)(side[i] / 3),
                                                        normal + 3 * (int64_t)(s->opposite[side[i]] / 3));
        if (bend[0] <= -2 && bend[1] <= -2) continue;
        int drop = bend[0] > bend[1] ? 0 : 1;
        retreat(s, v, side[drop], side[1 - drop], gap);
    }
}

ql_status ql_feature_mark(ql_surface *s, double angle_deg, double edge, double patch)
{
    double *normal = NULL, limit = cos(angle_deg * M_PI / 180);
    QL_TRY(QL_TAKE(normal, 3 * (int64_t)s->face_count));
    for (int32_t f = 0; f < s->face_count; ++f) (void)ql_surface_normal(s, f, normal + 3 * (int64_t)f);
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t g = s->opposite[h];
        if (g < 0) {
            s->feature[h] = 1;
            continue;
        }
        const double *a = normal + 3 * (int64_t)(h / 3), *b = normal + 3 * (int64_t)(g / 3);
        s->feature[h] = ql_dot(a, b) < limit && ql_dot(a, a) > 0 && ql_dot(b, b) > 0;
    }
    ql_free(normal);
    int32_t merged = 0;
    QL_TRY(ql_patch_merge(s, patch * edge * edge, &merged));
    for (int round = 0; round < 8 && prune_tails(s, 2 * edge); ++round) {}
    return drop_small_sets(s, 6 * edge);
}

ql_status ql_feature_open_wedges(ql_surface *s, double gap, double edge)
{
    double *normal = NULL;
    QL_TRY(QL_TAKE(normal, 3 * (int64_t)s->face_count));
    for (int32_t f = 0; f < s->face_count; ++f) (void)ql_surface_normal(s, f, normal + 3 * (int64_t)f);
    open_wedges(s, normal, gap);
    ql_free(normal);
    for (int round = 0; round < 8 && prune_tails(s, 2 * edge); ++round) {}
    return QL_OK;
}

ql_status ql_feature_corners(const ql_surface *s, uint8_t *corner)
{
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t half[2], n = s->outgoing[v] < 0 ? 0 : ql_feature_at(s, v, half);
        corner[v] = n != 0 && n != 2;
        if (n != 2) continue;
        double a[3], b[3];
        ql_sub(ql_at(s, v), ql_at(s, far_end(s, half[0], v)), a);
        ql_sub(ql_at(s, far_end(s, half[1], v)), ql_at(s, v), b);
        (void)ql_normalise(a);
        (void)ql_normalise(b);
        corner[v] = ql_dot(a, b) < 0.7071;
    }
    return QL_OK;
}
