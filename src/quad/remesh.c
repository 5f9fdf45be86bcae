/* Local operations on a triangle surface and the loop that applies them. Deleted faces and vertices are marked
 * (faces[3 f] = -1, outgoing = -1) until ql_remesh compacts. While at work, outgoing is any half-edge of the vertex. */
#include "quad/remesh.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/feature.h"

#include <stdlib.h>
#include <string.h>

enum { RING = 64 };
/* A flip moves the surface by no more than this share of the edge: what is further off cannot be smoothed back. */
static const double FLIP_OFF = 0.25;

typedef struct work {
    ql_surface *s;
    int32_t vertex_room, face_room;
    uint8_t *kind; /* 0 free, 1 on a chain, 2 corner */
    double edge;
    const ql_closest *original, *lines;
} work;

/* Square of the longest edge that is not split: (4/3)^2. */
static double longest2(const work *w) { return 1.78 * w->edge * w->edge; }

static ql_status grow_faces(work *w)
{
    ql_surface *s = w->s;
    if (s->face_count + 2 <= w->face_room) return QL_OK;
    int32_t room = w->face_room + w->face_room / 2 + 16;
    void *p;
    if ((p = ql_memory_resize(s->faces, 3 * (size_t)room, sizeof *s->faces)) == NULL) goto fail;
    s->faces = p;
    if ((p = ql_memory_resize(s->opposite, 3 * (size_t)room, sizeof *s->opposite)) == NULL) goto fail;
    s->opposite = p;
    if ((p = ql_memory_resize(s->feature, 3 * (size_t)room, sizeof *s->feature)) == NULL) goto fail;
    s->feature = p;
    w->face_room = room;
    return QL_OK;
fail:
    return QL_FAIL(NO_MEMORY, "no memory for %d triangles", room);
}

static ql_status grow_vertices(work *w)
{
    ql_surface *s = w->s;
    if (s->vertex_count + 1 <= w->vertex_room) return QL_OK;
    int32_t room = w->vertex_room + w->vertex_room / 2 + 16;
    void *p;
    if ((p = ql_memory_resize(s->vertices, 3 * (size_t)room, sizeof *s->vertices)) == NULL) goto fail;
    s->vertices = p;
    if ((p = ql_memory_resize(s->outgoing, (size_t)room, sizeof *s->outgoing)) == NULL) goto fail;
    s->outgoing = p;
    if ((p = ql_memory_resize(w->kind, (size_t)room, sizeof *w->kind)) == NULL) goto fail;
    w->kind = p;
    w->vertex_room = room;
    return QL_OK;
fail:
    return QL_FAIL(NO_MEMORY, "no memory for %d vertices", room);
}

static void pair(ql_surface *s, int32_t h, int32_t g)
{
    if (h >= 0) s->opposite[h] = g;
    if (g >= 0) s->opposite[g] = h;
}

static double length2(const ql_surface *s, int32_t h)
{
    return ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h)));
}

/* Clockwise-most half-edge of a vertex (any one inside). */
static int32_t first_out(const ql_surface *s, int32_t v)
{
    int32_t start = s->outgoing[v], h = start;
    while (1) {
        int32_t next = ql_turn_right(s, h);
        if (next < 0) return h;
        if (next == start) return start;
        h = next;
    }
}

/* Half of a split: face of h = (a b c) becomes (a m c), a new face (m b c) is appended. */
static void split_face(ql_surface *s, int32_t h, int32_t m)
{
    int32_t hn = ql_next(h), hp = ql_previous(h), base = 3 * s->face_count++;
    s->faces[base] = m;
    s->faces[base + 1] = s->faces[hn];
    s->faces[base + 2] = s->faces[hp];
    pair(s, base + 1, s->opposite[hn]);
    s->feature[base] = s->feature[h];
    s->feature[base + 1] = s->feature[hn];
    s->feature[base + 2] = s->feature[hn] = 0;
    s->outgoing[s->faces[hn]] = base + 1;
    s->outgoing[m] = base;
    s->faces[hn] = m;
    pair(s, hn, base + 2);
}

static ql_status split_edge(work *w, int32_t h)
{
    ql_surface *s = w->s;
    QL_TRY(grow_faces(w));
    QL_TRY(grow_vertices(w));
    int32_t o = s->opposite[h], m = s->vertex_count++;
    ql_lerp(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h)), 0.5, s->vertices + 3 * (int64_t)m);
    w->kind[m] = s->feature[h] != 0;
    int32_t near_new = 3 * s->face_count;
    split_face(s, h, m); /* h: a->m, near_new: m->b */
    if (o < 0) {
        s->opposite[near_new] = -1;
        return QL_OK;
    }
    int32_t far_new = 3 * s->face_count;
    split_face(s, o, m); /* o: b->m, far_new: m->a */
    pair(s, h, far_new);
    pair(s, near_new, o);
    return QL_OK;
}

/* Neighbours of v counter-clockwise; returns their number, or -1 when there are too many. */
static int32_t ring_of(const ql_surface *s, int32_t v, int32_t ring[RING])
{
    int32_t h = first_out(s, v), start = h, n = 0;
    while (1) {
        if (n >= RING - 1) return -1;
        ring[n++] = ql_to(s, h);
        int32_t next = ql_turn_left(s, h);
        if (next < 0) {
            ring[n++] = ql_from(s, ql_previous(h));
            return n;
        }
        if (next == start) return n;
        h = next;
    }
}

static int on_rim(const ql_surface *s, int32_t v) { return s->opposite[first_out(s, v)] < 0; }

/* Link condition: the ends share exactly the apexes of the edge's faces; a bridge between two rims stays. */
static int link_allows(const ql_surface *s, int32_t h)
{
    int32_t a = ql_from(s, h), b = ql_to(s, h), o = s->opposite[h], ra[RING], rb[RING];
    int32_t na = ring_of(s, a, ra), nb = ring_of(s, b, rb), common = 0;
    if (na < 0 || nb < 0) return 0;
    for (int32_t i = 0; i < na; ++i)
        for (int32_t j = 0; j < nb; ++j) common += ra[i] == rb[j];
    if (common != (o < 0 ? 1 : 2)) return 0;
    if (o >= 0 && on_rim(s, a) && on_rim(s, b)) return 0;
    int32_t sides[2] = {h, o};
    for (int i = 0; i < 2; ++i) { /* neither face may hang on nothing else */
        int32_t g = sides[i];
        if (g >= 0 && s->opposite[ql_next(g)] < 0 && s->opposite[ql_previous(g)] < 0) return 0;
    }
    if (o < 0 && (na <= 2 || nb <= 2)) return 0;
    return na + nb > 7 || o < 0; /* a tetrahedron has 3 + 3 */
}

/* Area-weighted normal of the faces round v. */
static void ring_normal(const ql_surface *s, int32_t v, double normal[3])
{
    int32_t h = first_out(s, v), start = h;
    normal[0] = normal[1] = normal[2] = 0;
    do {
        double face_normal[3], area = ql_surface_normal(s, h / 3, face_normal);
        ql_axpy(area, face_normal, normal);
        h = ql_turn_left(s, h);
    } while (h >= 0 && h != start);
    (void)ql_normalise(normal);
}

/* An edge of squared length `after` is too long; one that was so already may become as long as the hypotenuse over itself and twice
 * the way that its end moves. A vertex that is pushed along a row of needles thus stops when it is askew by a needle's width. */
static int too_long(double before, double after, double max_edge2, double way2)
{
    return after > max_edge2 && (before <= max_edge2 || after > before + 4 * way2);
}

/* Would moving v to x turn or flatten a face around it (other than faces skip0 and skip1), or make an edge too long? */
static int move_flips(const work *w, int32_t v, const double x[3], int32_t skip0, int32_t skip1, double max_edge2)
{
    double way2 = ql_distance2(ql_at(w->s, v), x);
    const ql_surface *s = w->s;
    int32_t h = first_out(s, v), start = h;
    double reference[3];
    ring_normal(s, v, reference);
    do {
        int32_t f = h / 3;
        if (f != skip0 && f != skip1) {
            const double *p = ql_at(s, ql_to(s, h)), *q = ql_at(s, ql_from(s, ql_previous(h)));
            double before[3], after[3], area0 = ql_triangle_normal(ql_at(s, v), p, q, before);
            double area1 = ql_triangle_normal(x, p, q, after), d1 = ql_distance2(x, p), d2 = ql_distance2(x, q),
                   d3 = ql_distance2(p, q);
            double widest2 = fmax(d1, fmax(d2, d3));
            if (area1 <= 0.05 * widest2 && area1 < area0) return 1;
            if (area0 > 0.01 * widest2 ? ql_dot(before, after) < 0.7 : ql_dot(reference, after) < 0.2) return 1;
            if (too_long(ql_distance2(ql_at(s, v), p), d1, max_edge2, way2)) return 1;
            if (too_long(ql_distance2(ql_at(s, v), q), d2, max_edge2, way2)) return 1;
        }
        h = ql_turn_left(s, h);
    } while (h >= 0 && h != start);
    return 0;
}

static void drop_face(ql_surface *s, int32_t f)
{
    for (int32_t k = 0; k < 3; ++k) s->faces[3 * f + k] = -1;
}

/* Glues the two outer edges of the face of h, whose edge h is being collapsed. */
static void close_face(ql_surface *s, int32_t h, int32_t kept)
{
    int32_t hn = ql_next(h), hp = ql_previous(h), x = s->opposite[hn], y = s->opposite[hp], apex = ql_from(s, hp);
    uint8_t feature = s->feature[hn] | s->feature[hp];
    pair(s, x, y);
    if (x < 0 && y >= 0) s->opposite[y] = -1;
    if (y < 0 && x >= 0) s->opposite[x] = -1;
    if (x >= 0) {
        s->feature[x] = feature; /* x: c -> b */
        s->outgoing[apex] = x;
    }
    if (y >= 0) {
        s->feature[y] = feature; /* y: a -> c, from the kept vertex now */
        s->outgoing[kept] = y;
        if (x < 0) s->outgoing[apex] = ql_next(y);
    } else {
        s->outgoing[kept] = ql_next(x);
    }
    drop_face(s, h / 3);
}

/* Merges the start of h into its end, if that is allowed. */
static int collapse_edge(work *w, int32_t h)
{
    ql_surface *s = w->s;
    int32_t a = ql_from(s, h), b = ql_to(s, h), o = s->opposite[h];
    if (w->kind[a] == 2 || (w->kind[a] == 1 && !s->feature[h])) return 0;
    if (!link_allows(s, h)) return 0;
    /* a face with two features, or features that would be glued together, stays */
    int32_t sides[2] = {h, o};
    for (int i = 0; i < 2; ++i)
        if (sides[i] >= 0 && s->feature[ql_next(sides[i])] && s->feature[ql_previous(sides[i])]) return 0;
    if (move_flips(w, a, ql_at(s, b), h / 3, o < 0 ? -1 : o / 3, longest2(w))) return 0;
    int32_t g = first_out(s, a), start = g;
    do { /* hand a's corners to b */
        int32_t next = ql_turn_left(s, g);
        s->faces[g] = b;
        g = next;
    } while (g >= 0 && g != start);
    close_face(s, h, b);
    if (o >= 0) {
        close_face(s, o, b);
    }
    s->outgoing[a] = -1;
    return 1;
}

/* (a b c) (b a d) -> (a d c) (d b c). */
static void flip_edge(ql_surface *s, int32_t h)
{
    int32_t o = s->opposite[h], hn = ql_next(h), hp = ql_previous(h), on = ql_next(o), op = ql_previous(o);
    int32_t a = ql_from(s, h), b = ql_from(s, o), c = ql_from(s, hp), d = ql_from(s, op);
    int32_t bc = s->opposite[hn], ad = s->opposite[on];
    uint8_t fbc = s->feature[hn], fad = s->feature[on];
    s->faces[hn] = d; /* h: a->d, hn: d->c, hp: c->a */
    s->faces[on] = c; /* o: b->c, on: c->d, op: d->b */
    pair(s, h, ad);
    pair(s, o, bc);
    pair(s, hn, on);
    if (ad < 0) s->opposite[h] = -1;
    if (bc < 0) s->opposite[o] = -1;
    s->feature[h] = fad;
    s->feature[o] = fbc;
    s->feature[hn] = s->feature[on] = 0;
    s->outgoing[a] = h;
    s->outgoing[b] = o;
    s->outgoing[c] = hp;
    s->outgoing[d] = op;
}

static double corner_cot(const double p[3], const double q[3], const double r[3])
{
    double a[3], b[3], n[3];
    ql_sub(q, p, a);
    ql_sub(r, p, b);
    ql_cross(a, b, n);
    return ql_dot(a, b) / fmax(ql_norm(n), 1e-300);
}

/* Between the lines a-b and c-d: how far a flip moves the surface. */
static double diagonals_distance(const double a[3], const double b[3], const double c[3], const double d[3])
{
    double ab[3], cd[3], ac[3], n[3];
    ql_sub(b, a, ab);
    ql_sub(d, c, cd);
    ql_sub(c, a, ac);
    ql_cross(ab, cd, n);
    return fabs(ql_dot(ac, n)) / fmax(ql_norm(n), 1e-300);
}

static int wants_flip(const work *w, int32_t h)
{
    const ql_surface *s = w->s;
    int32_t o = s->opposite[h];
    if (o < 0 || s->feature[h] || h > o) return 0;
    int32_t a = ql_from(s, h), b = ql_to(s, h), c = ql_from(s, ql_previous(h)), d = ql_from(s, ql_previous(o));
    const double *pa = ql_at(s, a), *pb = ql_at(s, b), *pc = ql_at(s, c), *pd = ql_at(s, d);
    double ca = corner_cot(pc, pa, pb), cb = corner_cot(pd, pb, pa), scale = fmax(1, fabs(ca) + fabs(cb));
    if (ca + cb > -1e-3 * scale) return 0; /* Delaunay already */
    double n0[3], n1[3], m0[3], m1[3], sum[3] = {0, 0, 0};
    double a0 = ql_triangle_normal(pa, pb, pc, n0), a1 = ql_triangle_normal(pb, pa, pd, n1);
    double b0 = ql_triangle_normal(pa, pd, pc, m0), b1 = ql_triangle_normal(pd, pb, pc, m1);
    if (fmin(b0, b1) <= 0.02 * fmax(length2(s, h), ql_distance2(pc, pd)) && fmin(b0, b1) <= 2 * fmin(a0, a1)) return 0;
    double tiny = 1e-3 * length2(s, h);
    if (a0 > tiny && a1 > tiny && ql_dot(n0, n1) < 0.9) return 0; /* keep what bends */
    if (diagonals_distance(pa, pb, pc, pd) > FLIP_OFF * w->edge) return 0;
    ql_axpy(a0, n0, sum);
    ql_axpy(a1, n1, sum);
    (void)ql_normalise(sum);
    if (ql_dot(sum, m0) < 0.6 || ql_dot(sum, m1) < 0.6) return 0;
    int32_t ring[RING], n = ring_of(s, c, ring);
    for (int32_t i = 0; i < n; ++i)
        if (ring[i] == d) return 0;
    if (n < 0 || ring_of(s, a, ring) <= 3 || ring_of(s, b, ring) <= 3) return 0;
    return 1;
}

static void project(const work *w, int32_t v, double x[3])
{
    double near_one[3], d2;
    const ql_closest *tree = w->kind[v] ? w->lines : w->original;
    if (tree != NULL && ql_closest_find(tree, x, INFINITY, near_one, &d2) >= 0) memcpy(x, near_one, sizeof near_one);
}

/* Where smoothing wants v: centre of its neighbours in the tangent plane, or between its neighbours on the chain. */
static int smooth_target(const work *w, int32_t v, double x[3])
{
    const ql_surface *s = w->s;
    int32_t ring[RING], n, h, start;
    double centre[3] = {0, 0, 0}, normal[3] = {0, 0, 0}, count = 0;
    if (w->kind[v] == 2) return 0;
    h = start = first_out(s, v);
    do {
        double face_normal[3], area = ql_surface_normal(s, h / 3, face_normal);
        ql_axpy(area, face_normal, normal);
        if (w->kind[v] == 0 || s->feature[h]) {
            ql_axpy(1, ql_at(s, ql_to(s, h)), centre);
            ++count;
        }
        if (s->opposite[ql_previous(h)] < 0) {
            ql_axpy(1, ql_at(s, ql_from(s, ql_previous(h))), centre);
            ++count;
        }
        h = ql_turn_left(s, h);
    } while (h >= 0 && h != start);
    n = ring_of(s, v, ring);
    if (n < 3 || count < 2) return 0;
    (void)ql_normalise(normal);
    double step[3];
    for (int k = 0; k < 3; ++k) step[k] = centre[k] / count - ql_at(s, v)[k];
    if (w->kind[v] == 0) ql_axpy(-ql_dot(step, normal), normal, step);
    for (int k = 0; k < 3; ++k) x[k] = ql_at(s, v)[k] + 0.7 * step[k];
    project(w, v, x);
    return 1;
}

static void smooth_all(work *w)
{
    ql_surface *s = w->s;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        double x[3];
        if (s->outgoing[v] < 0 || !smooth_target(w, v, x)) continue;
        if (!move_flips(w, v, x, -1, -1, INFINITY)) memcpy(s->vertices + 3 * (int64_t)v, x, sizeof x);
    }
}

static void flip_all(work *w)
{
    for (int pass = 0, again = 1; again && pass < 5; ++pass) {
        again = 0;
        for (int32_t h = 0; h < 3 * w->s->face_count; ++h)
            if (w->s->faces[h] >= 0 && wants_flip(w, h)) {
                flip_edge(w->s, h);
                again = 1;
            }
    }
}

/* Is h the longest edge of its faces (nearly)? */
static int is_longest(const ql_surface *s, int32_t h)
{
    int32_t sides[2] = {h, s->opposite[h]};
    double own = 1.02 * length2(s, h);
    for (int i = 0; i < 2; ++i)
        if (sides[i] >= 0 && (length2(s, ql_next(sides[i])) > own || length2(s, ql_previous(sides[i])) > own)) return 0;
    return 1;
}

/* Bisects longest edges until none is too long, flipping in between, so that no slivers build up. */
static ql_status split_long(work *w)
{
    const ql_surface *s = w->s;
    double limit2 = longest2(w);
    for (int pass = 0, again = 1; again && pass < 60; ++pass) {
        again = 0;
        int32_t halves = 3 * s->face_count;
        for (int32_t h = 0; h < halves; ++h) {
            if (s->faces[h] < 0 || length2(s, h) <= limit2 || !is_longest(s, h)) continue;
            QL_TRY(split_edge(w, h));
            again = 1;
        }
        if (again && pass % 3 == 2) flip_all(w);
    }
    return QL_OK;
}

static void collapse_short(work *w)
{
    double limit2 = 0.64 * w->edge * w->edge; /* (4/5)^2 */
    for (int pass = 0, again = 1; again && pass < 6; ++pass) {
        again = 0;
        for (int32_t h = 0; h < 3 * w->s->face_count; ++h)
            if (w->s->faces[h] >= 0 && length2(w->s, h) < limit2 && collapse_edge(w, h)) again = 1;
    }
}

/* An edge between two feature vertices that is no feature would be pinned at both ends: put a vertex on it. */
static ql_status separate_features(work *w)
{
    ql_surface *s = w->s;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        if (s->faces[h] < 0 || s->feature[h]) continue;
        if (w->kind[ql_from(s, h)] && w->kind[ql_to(s, h)]) QL_TRY(split_edge(w, h));
    }
    return QL_OK;
}

/* Removes the gaps and computes opposite and outgoing anew. */
static ql_status compact(work *w)
{
    ql_surface *s = w->s;
    int32_t *number = NULL, faces = 0, vertices = 0;
    QL_TRY(QL_TAKE(number, s->vertex_count + 1));
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (s->faces[3 * f] < 0) continue;
        for (int32_t k = 0; k < 3; ++k) {
            s->faces[3 * faces + k] = s->faces[3 * f + k];
            s->feature[3 * faces + k] = s->feature[3 * f + k];
            number[s->faces[3 * f + k]] = 1;
        }
        ++faces;
    }
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        if (!number[v]) continue;
        memmove(s->vertices + 3 * (int64_t)vertices, s->vertices + 3 * (int64_t)v, 3 * sizeof *s->vertices);
        number[v] = vertices++;
    }
    for (int32_t h = 0; h < 3 * faces; ++h) s->faces[h] = number[s->faces[h]];
    s->face_count = faces;
    s->vertex_count = vertices;
    ql_free(number);
    return ql_surface_link(s);
}

ql_status ql_remesh(ql_surface *s, double edge, int rounds, const ql_closest *original, const ql_closest *lines,
                    int separate)
{
    work w = {.s = s,
              .vertex_room = s->vertex_count,
              .face_room = s->face_count,
              .edge = edge,
              .original = original,
              .lines = lines};
    QL_TRY(QL_TAKE(w.kind, s->vertex_count + 1));
    ql_status status = ql_feature_corners(s, w.kind);
    for (int32_t v = 0; v < s->vertex_count; ++v) w.kind[v] = w.kind[v] ? 2 : 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->feature[h])
            for (int end = 0; end < 2; ++end) {
                uint8_t *kind = &w.kind[end ? ql_to(s, h) : ql_from(s, h)];
                if (*kind == 0) *kind = 1;
            }
    for (int round = 0; status == QL_OK && round < rounds; ++round) {
        status = split_long(&w);
        if (status != QL_OK) break;
        collapse_short(&w);
        flip_all(&w);
        smooth_all(&w);
    }
    if (status == QL_OK) flip_all(&w);
    if (status == QL_OK && separate) status = separate_features(&w);
    if (status == QL_OK) status = compact(&w);
    ql_free(w.kind);
    return status;
}

static int32_t find_chain(int32_t *parent, int32_t i)
{
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

/* Edges that meet at a vertex which is no corner belong to one chain. half: the half-edge of each line. */
static ql_status label_chains(const ql_surface *s, const int32_t *half, int32_t count, int32_t *chain)
{
    uint8_t *corner = NULL;
    int32_t *last = NULL;
    ql_status status = QL_TAKE(corner, s->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(last, s->vertex_count + 1);
    if (status == QL_OK) status = ql_feature_corners(s, corner);
    for (int32_t i = 0; status == QL_OK && i < count; ++i) chain[i] = i;
    for (int32_t i = 0; status == QL_OK && i < count; ++i)
        for (int end = 0; end < 2; ++end) {
            int32_t v = end ? ql_to(s, half[i]) : ql_from(s, half[i]);
            if (corner[v]) continue;
            if (last[v] > 0) chain[find_chain(chain, i)] = find_chain(chain, last[v] - 1);
            last[v] = i + 1;
        }
    for (int32_t i = 0; status == QL_OK && i < count; ++i) chain[i] = find_chain(chain, i);
    ql_free(corner);
    ql_free(last);
    return status;
}

ql_status ql_remesh_lines(const ql_surface *s, ql_closest **lines, int32_t **chain)
{
    double *corners = NULL;
    int32_t *half = NULL, count = 0;
    *lines = NULL;
    *chain = NULL;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) count += s->feature[h] && s->opposite[h] < h;
    if (count == 0) return QL_OK;
    ql_status status = QL_TAKE(corners, 9 * (int64_t)count);
    if (status == QL_OK) status = QL_TAKE(half, count);
    if (status == QL_OK) status = QL_TAKE(*chain, count);
    count = 0;
    for (int32_t h = 0; status == QL_OK && h < 3 * s->face_count; ++h) {
        if (!s->feature[h] || s->opposite[h] >= h) continue;
        double *t = corners + 9 * (int64_t)count;
        half[count++] = h;
        memcpy(t, ql_at(s, ql_from(s, h)), 3 * sizeof *t);
        memcpy(t + 3, ql_at(s, ql_to(s, h)), 3 * sizeof *t);
        memcpy(t + 6, t + 3, 3 * sizeof *t);
    }
    if (status == QL_OK) status = label_chains(s, half, count, *chain);
    if (status == QL_OK) status = ql_closest_create(lines, corners, count);
    ql_free(corners);
    ql_free(half);
    return status;
}
