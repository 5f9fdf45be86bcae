#include "quad/prepare.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "mesh/seams.h"
#include "quad/doubles.h"
#include "quad/edge_key.h"

#include <stdlib.h>
#include <string.h>

/* Working state: faces over welded vertices, still in the numbering of the input's faces. */
typedef struct soup {
    const ql_mesh *mesh;
    ql_prepared *out;
    int32_t faces;   /* kept ones */
    int32_t *tri;    /* 3 x faces */
    int32_t *parent; /* faces */
    int32_t *mate;   /* 3 x faces: paired half-edge, -1 boundary */
    int32_t *
        middle; /* 3 x faces: on an edge that had more than two faces, the half-edge that brings the middle vertex; else -1 */
    int32_t *component; /* faces */
    int32_t *corner;    /* 3 x faces: fan-wise vertex numbers */
    int32_t *origin;    /* fan-wise vertex -> vertex of the input */
    int32_t components, vertices;
} soup;

static int32_t next_of(int32_t h) { return h % 3 == 2 ? h - 2 : h + 1; }

static ql_status sorted_edges(ql_edge_key **keys, const int32_t *tri, int32_t faces)
{
    QL_TRY(QL_TAKE(*keys, 3 * (int64_t)faces + 1));
    for (int32_t h = 0; h < 3 * faces; ++h) {
        int32_t a = tri[h], b = tri[next_of(h)];
        (*keys)[h] = ql_edge_key_of(a, b, h);
    }
    ql_edge_keys_sort(*keys, 3 * faces);
    return QL_OK;
}

static ql_status find_seams(soup *s, int32_t *target)
{
    ql_topology topology;
    QL_TRY(ql_topology_build(&topology, s->mesh));
    ql_status status = ql_mesh_find_seams(s->mesh, &topology, target, &s->out->welded);
    ql_topology_destroy(&topology);
    return status;
}

/* Copies faces over welded vertices, without those that repeat a vertex or an earlier face. */
static ql_status keep_faces(soup *s, const int32_t *target)
{
    int32_t n = s->mesh->face_count, kept = 0;
    uint8_t *drop = NULL;
    QL_TRY(QL_TAKE(drop, n + 1));
    for (int32_t f = 0; f < n; ++f) {
        int32_t *t = s->tri + 3 * (int64_t)f;
        for (int k = 0; k < 3; ++k) t[k] = target[s->mesh->faces[3 * f + k]];
        drop[f] = t[0] == t[1] || t[1] == t[2] || t[2] == t[0];
    }
    ql_status status = ql_doubles_find(s->mesh->vertices, s->tri, n, drop);
    for (int32_t f = 0; status == QL_OK && f < n; ++f) {
        if (drop[f]) {
            s->out->dropped++;
            continue;
        }
        memmove(s->tri + 3 * (int64_t)kept, s->tri + 3 * (int64_t)f, 3 * sizeof *s->tri);
        s->parent[kept++] = f;
    }
    s->faces = kept;
    if (status == QL_OK && kept == 0)
        status = QL_FAIL(MESH, "no usable face: every face repeats a vertex; check the file's indices");
    ql_free(drop);
    return status;
}

static ql_status pair_edges(soup *s)
{
    ql_edge_key *keys = NULL;
    QL_TRY(sorted_edges(&keys, s->tri, s->faces));
    int32_t n = 3 * s->faces;
    for (int32_t i = 0, end; i < n; i = end) {
        end = ql_edge_keys_end(keys, i, n);
        for (int32_t j = i; j < end; ++j) s->mate[keys[j].at] = -1;
        if (end - i == 2) {
            s->mate[keys[i].at] = keys[i + 1].at;
            s->mate[keys[i + 1].at] = keys[i].at;
        } else if (end - i > 2) {
            s->out->split_edges++;
        }
    }
    ql_free(keys);
    return QL_OK;
}

/* Reverses a face (a b c) -> (a c b): half-edges 0, 1, 2 become 2, 1, 0. */
static void reverse_face(soup *s, int32_t f)
{
    int32_t *t = s->tri + 3 * (int64_t)f, *m = s->mate + 3 * (int64_t)f, swap;
    swap = t[1], t[1] = t[2], t[2] = swap;
    swap = m[0], m[0] = m[2], m[2] = swap;
    for (int32_t k = 0; k < 3; k += 2)
        if (m[k] >= 0) s->mate[m[k]] = 3 * f + k;
}

/* Numbers the components and orients the faces of each alike; the majority keeps its orientation. */
static ql_status orient(soup *s)
{
    int32_t *queue = NULL;
    uint8_t *turned = NULL;
    ql_status status = QL_TAKE(queue, s->faces + 1);
    if (status == QL_OK) status = QL_TAKE(turned, s->faces + 1);
    for (int32_t f = 0; status == QL_OK && f < s->faces; ++f) s->component[f] = -1;
    for (int32_t seed = 0; status == QL_OK && seed < s->faces; ++seed) {
        if (s->component[seed] >= 0) continue;
        int32_t head = 0, tail = 0, reversed = 0;
        queue[tail++] = seed;
        s->component[seed] = s->components;
        while (status == QL_OK && head < tail) {
            int32_t f = queue[head++];
            for (int32_t k = 0; k < 3; ++k) {
                int32_t h = 3 * f + k, g = s->mate[h];
                if (g < 0) continue;
                bool same = s->tri[h] == s->tri[g];
                if (s->component[g / 3] < 0) {
                    if (same) {
                        reverse_face(s, g / 3);
                        turned[g / 3] = 1;
                        ++reversed;
                    }
                    s->component[g / 3] = s->components;
                    queue[tail++] = g / 3;
                } else if (same) {
                    status = QL_FAIL(MESH,
                                     "surface is not orientable (a Moebius strip?): faces %d and %d cannot be turned "
                                     "alike; cut it open or delete one of them",
                                     s->parent[f], s->parent[g / 3]);
                    break;
                }
            }
        }
        if (status == QL_OK && 2 * reversed > tail)
            for (int32_t i = 0; i < tail; ++i) {
                reverse_face(s, queue[i]);
                turned[queue[i]] ^= 1;
            }
        s->components++;
    }
    for (int32_t f = 0; status == QL_OK && f < s->faces; ++f) s->out->turned += turned[f];
    ql_free(queue);
    ql_free(turned);
    return status;
}

/* A face at an edge of several: where it lies around the edge, and whether it runs along it from the lower vertex (with the faces
 * seen from outside). */
typedef struct spoke {
    double angle;
    int32_t half;
    bool forward;
} spoke;

enum { SPOKES_MAX = 32 };

static int compare_spokes(const void *left, const void *right)
{
    const spoke *a = left, *b = right;
    if (a->angle != b->angle) return a->angle < b->angle ? -1 : 1;
    return a->half < b->half ? -1 : a->half > b->half;
}

/* Whether the faces enclose a negative volume: they are seen from inside. */
static bool inside_out(const soup *s)
{
    double volume = 0.0;
    const double *origin = s->mesh->vertices + 3 * (int64_t)s->tri[0];
    for (int32_t f = 0; f < s->faces; ++f) {
        double edge[3][3], normal[3];
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < 3; ++k) edge[c][k] = s->mesh->vertices[3 * (int64_t)s->tri[3 * f + c] + k] - origin[k];
        ql_cross(edge[0], edge[1], normal);
        volume += ql_dot(normal, edge[2]);
    }
    return volume < 0.0;
}

/* The angle of each face around the edge from `low` to `high`, counter-clockwise seen against it. */
static void place_spokes(const soup *s, const ql_edge_key *keys, int32_t count, bool inverted, spoke *spokes)
{
    const double *low = s->mesh->vertices + 3 * (int64_t)keys->low, *high = s->mesh->vertices + 3 * (int64_t)keys->high;
    double along[3], first[3], second[3], arm[3];
    for (int k = 0; k < 3; ++k) along[k] = high[k] - low[k];
    for (int32_t i = 0; i < count; ++i) {
        int32_t apex = s->tri[next_of(next_of(keys[i].at))];
        for (int k = 0; k < 3; ++k) arm[k] = s->mesh->vertices[3 * (int64_t)apex + k] - low[k];
        if (i == 0) {
            ql_cross(along, arm, second);
            ql_cross(second, along, first);
            double longer = sqrt(ql_dot(along, along));
            for (int k = 0; k < 3; ++k) first[k] /= longer > 0.0 ? longer : 1.0; /* as long as second */
        }
        spokes[i] = (spoke){atan2(ql_dot(arm, second), ql_dot(arm, first)), keys[i].at,
                            (s->tri[keys[i].at] == keys[i].low) != inverted};
    }
    qsort(spokes, (size_t)count, sizeof *spokes, compare_spokes);
}

/* Whether the wedges of outside are wider than those of inside. Seen counter-clockwise, inside follows a face that runs backward and
 * ends at one that runs forward. */
static bool outside_is_wider(const spoke *spokes, int32_t count)
{
    double more = 0.0;
    for (int32_t i = 0; i < count; ++i) {
        const spoke *from = &spokes[i], *to = &spokes[(i + 1) % count];
        double wedge = to->angle - from->angle + (i + 1 == count ? 2 * M_PI : 0);
        if (from->forward != to->forward) more += from->forward ? wedge : -wedge;
    }
    return more > 1e-9;
}

/* Faces become neighbours so that the surface bends least: two solids that touch along an edge come apart (nothing but inside
 * between neighbours, which is also chosen where both are as wide), and a sheet so thin that its sides met in an edge keeps its
 * sides (nothing but outside between them). What is left over (an inner wall) ends at the edge. */
static void pair_around(soup *s, const ql_edge_key *keys, int32_t count, bool inverted)
{
    spoke spokes[SPOKES_MAX];
    if (count > SPOKES_MAX) return;
    place_spokes(s, keys, count, inverted, spokes);
    bool turned = outside_is_wider(spokes, count);
    for (int32_t i = 0, tried = 0; count > 1 && tried < count;) {
        int32_t next = (i + 1) % count;
        if (spokes[i].forward != turned || spokes[next].forward == turned) {
            i = next;
            ++tried;
            continue;
        }
        s->mate[spokes[i].half] = spokes[next].half;
        s->mate[spokes[next].half] = spokes[i].half;
        s->middle[spokes[next].half] = spokes[i].half;
        int32_t kept = 0;
        for (int32_t j = 0; j < count; ++j)
            if (j != i && j != next) spokes[kept++] = spokes[j];
        count = kept;
        i = tried = 0;
    }
}

/* Components are what hangs together by pairs. */
static ql_status renumber_components(soup *s)
{
    int32_t *queue;
    QL_TRY(QL_TAKE(queue, s->faces + 1));
    for (int32_t f = 0; f < s->faces; ++f) s->component[f] = -1;
    s->components = 0;
    for (int32_t seed = 0; seed < s->faces; ++seed) {
        if (s->component[seed] >= 0) continue;
        int32_t head = 0, tail = 0;
        s->component[seed] = s->components;
        queue[tail++] = seed;
        while (head < tail) {
            int32_t f = queue[head++];
            for (int32_t k = 0; k < 3; ++k) {
                int32_t g = s->mate[3 * f + k];
                if (g < 0 || s->component[g / 3] >= 0) continue;
                s->component[g / 3] = s->components;
                queue[tail++] = g / 3;
            }
        }
        s->components++;
    }
    ql_free(queue);
    return QL_OK;
}

/* Edges of more than two faces, once the faces are oriented. */
static ql_status split_edges(soup *s)
{
    ql_edge_key *keys = NULL;
    int32_t n = 3 * s->faces;
    for (int32_t h = 0; h < n; ++h) s->middle[h] = -1;
    if (s->out->split_edges == 0) return QL_OK;
    QL_TRY(sorted_edges(&keys, s->tri, s->faces));
    bool inverted = inside_out(s);
    for (int32_t i = 0, end; i < n; i = end) {
        end = ql_edge_keys_end(keys, i, n);
        if (end - i <= 2) continue;
        for (int32_t j = i; j < end; ++j) s->middle[keys[j].at] = keys[j].at;
        pair_around(s, keys + i, end - i, inverted);
    }
    ql_free(keys);
    return renumber_components(s);
}

/* One vertex per fan of faces. */
static ql_status split_fans(soup *s)
{
    uint8_t *seen = NULL;
    QL_TRY(QL_TAKE(seen, s->mesh->vertex_count + 1));
    for (int32_t h = 0; h < 3 * s->faces; ++h) s->corner[h] = -1;
    for (int32_t h = 0; h < 3 * s->faces; ++h) {
        if (s->corner[h] >= 0) continue;
        int32_t v = s->vertices++, g = h, old = s->tri[h];
        s->origin[v] = old;
        s->out->split_vertices += seen[old];
        seen[old] = 1;
        do { /* clockwise to the first one */
            int32_t m = s->mate[g];
            if (m < 0) break;
            g = next_of(m);
        } while (g != h);
        int32_t first = g;
        do {
            s->corner[g] = v;
            g = s->mate[next_of(next_of(g))];
        } while (g >= 0 && g != first);
    }
    ql_free(seen);
    return QL_OK;
}

/* Faces by component, each in the order of the input: those of c are order[begin[c]] .. order[begin[c + 1] - 1]. */
static void sort_components(const soup *s, int32_t *begin, int32_t *order)
{
    for (int32_t f = 0; f < s->faces; ++f) begin[s->component[f] + 2]++;
    for (int32_t c = 0; c < s->components; ++c) begin[c + 2] += begin[c + 1];
    for (int32_t f = 0; f < s->faces; ++f) order[begin[s->component[f] + 1]++] = f;
}

/* Some faces, those of a component, as a surface. Edges that had more than two faces get a middle vertex each, so that no two run
 * between the same two vertices. `local`: -1 for every vertex and for every half-edge's middle. */
static ql_status extract_component(const soup *s, const int32_t *list, int32_t faces, int32_t *local, ql_component *out)
{
    int32_t vertices = 0, extra = 0;
    for (int32_t i = 0; i < faces; ++i)
        for (int32_t k = 0; k < 3; ++k) extra += s->middle[3 * list[i] + k] >= 0;
    double *x = NULL;
    int32_t *tri = NULL;
    ql_status status = QL_TAKE(x, 3 * (3 * (int64_t)faces + extra));
    if (status == QL_OK) status = QL_TAKE(tri, 3 * ((int64_t)faces + extra));
    if (status == QL_OK) status = QL_TAKE(out->parent, faces + extra);
    int32_t n = 0;
    for (int32_t j = 0; status == QL_OK && j < faces; ++j) {
        int32_t f = list[j], ring[6], sides = 0;
        for (int32_t k = 0; k < 3; ++k) {
            int32_t h = 3 * f + k, v = s->corner[h], w = s->corner[3 * f + (k + 1) % 3];
            if (local[v] < 0) {
                memcpy(x + 3 * (int64_t)vertices, s->mesh->vertices + 3 * (int64_t)s->origin[v], 3 * sizeof *x);
                local[v] = vertices++;
            }
            ring[sides++] = local[v];
            if (s->middle[h] < 0) continue;
            int32_t *number = &local[s->vertices + s->middle[h]];
            if (*number < 0) {
                ql_lerp(s->mesh->vertices + 3 * (int64_t)s->origin[v], s->mesh->vertices + 3 * (int64_t)s->origin[w],
                        0.5, x + 3 * (int64_t)vertices);
                *number = vertices++;
            }
            ring[sides++] = *number;
        }
        /* a fan from a middle vertex where there is one, so that no triangle is flat */
        int32_t apex = sides > 3 ? (s->middle[3 * f] >= 0 ? 1 : s->middle[3 * f + 1] >= 0 ? 2 : 3) : 0;
        for (int32_t i = 1; i + 1 < sides; ++i) {
            tri[3 * n] = ring[apex];
            tri[3 * n + 1] = ring[(apex + i) % sides];
            tri[3 * n + 2] = ring[(apex + i + 1) % sides];
            out->parent[n++] = s->parent[f];
        }
    }
    if (status == QL_OK) status = ql_surface_create(&out->surface, x, vertices, tri, n);
    if (status == QL_OK) out->area = ql_surface_area(&out->surface);
    ql_free(x);
    ql_free(tri);
    return status;
}

static int compare_components(const void *left, const void *right)
{
    double a = ((const ql_component *)left)->area, b = ((const ql_component *)right)->area;
    return a > b ? -1 : a < b;
}

/* A surface as long as this times its width has no place for a quad: rounding of its coordinates is as wide. */
static const double NO_WIDTH = 1e-7;

static bool is_sliver(const ql_component *component)
{
    const ql_surface *s = &component->surface;
    double longest2 = 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        longest2 = fmax(longest2, ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
    return !(component->area > NO_WIDTH * longest2);
}

static ql_status all_components(soup *s)
{
    ql_prepared *out = s->out;
    int32_t *local = NULL, *begin = NULL, *order = NULL;
    ql_status status = QL_TAKE(out->component, s->components);
    if (status == QL_OK) status = QL_TAKE(local, s->vertices + 3 * (int64_t)s->faces);
    if (status == QL_OK) status = QL_TAKE(begin, s->components + 2);
    if (status == QL_OK) status = QL_TAKE(order, s->faces + 1);
    for (int64_t v = 0; status == QL_OK && v < s->vertices + 3 * (int64_t)s->faces; ++v) local[v] = -1;
    if (status == QL_OK) sort_components(s, begin, order);
    for (int32_t c = 0; status == QL_OK && c < s->components; ++c) {
        ql_component *component = &out->component[out->count++];
        status = extract_component(s, order + begin[c], begin[c + 1] - begin[c], local, component);
        if (status != QL_OK) break;
        if (is_sliver(component)) {
            ql_surface_destroy(&component->surface);
            ql_free(component->parent);
            memset(component, 0, sizeof *component);
            out->count--;
            out->slivers++;
            continue;
        }
        int32_t loops = 0;
        status = ql_surface_loops(&component->surface, &loops);
        out->loops += loops;
        out->euler += ql_surface_euler(&component->surface);
        out->area += component->area;
    }
    ql_free(local);
    ql_free(begin);
    ql_free(order);
    if (status == QL_OK && out->count == 0)
        status = QL_FAIL(MESH, "the faces have no area: all corners of a component lie on a line");
    if (status == QL_OK) qsort(out->component, (size_t)out->count, sizeof *out->component, compare_components);
    return status;
}

static void box_diagonal(const ql_mesh *mesh, double *diagonal)
{
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (int64_t i = 0; i < 3 * (int64_t)mesh->face_count; ++i)
        for (int c = 0; c < 3; ++c) {
            double x = mesh->vertices[3 * (int64_t)mesh->faces[i] + c];
            low[c] = x < low[c] ? x : low[c];
            high[c] = x > high[c] ? x : high[c];
        }
    *diagonal = sqrt(ql_distance2(low, high));
}

ql_status ql_prepare(ql_prepared *prepared, const ql_mesh *mesh)
{
    memset(prepared, 0, sizeof *prepared);
    if (mesh->face_count < 1) return QL_FAIL(MESH, "mesh has no faces");
    soup s = {.mesh = mesh, .out = prepared};
    int32_t *target = NULL;
    int64_t halves = 3 * (int64_t)mesh->face_count;
    ql_status status = QL_TAKE(target, mesh->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(s.tri, halves);
    if (status == QL_OK) status = QL_TAKE(s.parent, mesh->face_count);
    if (status == QL_OK) status = QL_TAKE(s.mate, halves);
    if (status == QL_OK) status = QL_TAKE(s.middle, halves);
    if (status == QL_OK) status = QL_TAKE(s.component, mesh->face_count);
    if (status == QL_OK) status = QL_TAKE(s.corner, halves);
    if (status == QL_OK) status = QL_TAKE(s.origin, halves);
    if (status == QL_OK) status = find_seams(&s, target);
    if (status == QL_OK) status = keep_faces(&s, target);
    if (status == QL_OK) status = pair_edges(&s);
    if (status == QL_OK) status = orient(&s);
    if (status == QL_OK) status = split_edges(&s);
    if (status == QL_OK) status = split_fans(&s);
    if (status == QL_OK) status = all_components(&s);
    if (status == QL_OK) box_diagonal(mesh, &prepared->diagonal);
    ql_free(target);
    ql_free(s.tri);
    ql_free(s.parent);
    ql_free(s.mate);
    ql_free(s.middle);
    ql_free(s.component);
    ql_free(s.corner);
    ql_free(s.origin);
    if (status != QL_OK) ql_prepared_destroy(prepared);
    return status;
}

void ql_prepared_destroy(ql_prepared *prepared)
{
    if (prepared == NULL) return;
    for (int32_t c = 0; prepared->component != NULL && c < prepared->count; ++c) {
        ql_surface_destroy(&prepared->component[c].surface);
        ql_free(prepared->component[c].parent);
    }
    ql_free(prepared->component);
    memset(prepared, 0, sizeof *prepared);
}
