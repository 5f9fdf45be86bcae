#include "quad/doubles.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "mesh/sets.h"
#include "quad/edge_key.h"

#include <stdlib.h>
#include <string.h>

/* A flap has at most this share of all the area; a larger sheet is meant. */
static const double FLAP_AREA = 1e-3;

typedef struct face_key {
    int32_t v[3], face;
    int32_t sign; /* +1 or -1: which way round */
} face_key;

/* Faces whose copies cancel: a union-find over those that share edges, and per root what speaks for a flap. */
typedef struct cancelled {
    int32_t *set;     /* per face: union-find; -1 where the face does not cancel */
    uint8_t *odd;     /* per root: an edge with an odd number of faces */
    uint8_t *hanging; /* per root: an edge with other faces */
    double *area;     /* per root */
} cancelled;

static int compare_faces(const void *left, const void *right)
{
    const face_key *a = left, *b = right;
    for (int c = 0; c < 3; ++c)
        if (a->v[c] != b->v[c]) return a->v[c] < b->v[c] ? -1 : 1;
    return a->face < b->face ? -1 : a->face > b->face;
}

static face_key key_of(const int32_t *tri, int32_t f)
{
    face_key key = {{tri[3 * f], tri[3 * f + 1], tri[3 * f + 2]}, f, 1};
    for (int round = 0; round < 3; ++round) {
        int k = round % 2;
        if (key.v[k] <= key.v[k + 1]) continue;
        int32_t swap = key.v[k];
        key.v[k] = key.v[k + 1];
        key.v[k + 1] = swap;
        key.sign = -key.sign;
    }
    return key;
}

static double face_area(const double *vertices, const int32_t *t)
{
    double normal[3];
    return 0.5 * ql_triangle_normal(vertices + 3 * (int64_t)t[0], vertices + 3 * (int64_t)t[1],
                                    vertices + 3 * (int64_t)t[2], normal);
}

/* Of every set of equal faces one is kept, of the majority's orientation. Returns how many sets cancel; those have set[kept] = kept. */
static int32_t keep_one(const face_key *keys, int32_t count, uint8_t *drop, int32_t *set)
{
    int32_t zero = 0;
    for (int32_t i = 0, end; i < count; i = end) {
        int32_t sum = 0;
        for (end = i; end < count && memcmp(keys[end].v, keys[i].v, sizeof keys[i].v) == 0; ++end) {
            drop[keys[end].face] = 1;
            sum += keys[end].sign;
        }
        int32_t kept = i;
        while (sum != 0 && keys[kept].sign * sum < 0) ++kept;
        drop[keys[kept].face] = 0;
        if (sum != 0) continue;
        ++zero;
        for (int32_t j = i; j < end; ++j) set[keys[j].face] = keys[i].face;
    }
    return zero;
}

/* Sorted edges of all faces that count. */
static int32_t list_edges(const face_key *keys, int32_t count, ql_edge_key *edges)
{
    int32_t n = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int32_t *v = keys[i].v;
        edges[n++] = (ql_edge_key){v[0], v[1], keys[i].face};
        edges[n++] = (ql_edge_key){v[1], v[2], keys[i].face};
        edges[n++] = (ql_edge_key){v[0], v[2], keys[i].face};
    }
    ql_edge_keys_sort(edges, n);
    return n;
}

/* Looks at the edges twice: which faces hang together, then what is at the edges of each such group. */
static void judge_edges(cancelled *c, const ql_edge_key *edges, int32_t n)
{
    for (int pass = 0; pass < 2; ++pass)
        for (int32_t i = 0, end; i < n; i = end) {
            int32_t first = -1, others = 0;
            end = ql_edge_keys_end(edges, i, n);
            for (int32_t j = i; j < end; ++j) {
                int32_t f = edges[j].at;
                if (c->set[f] < 0)
                    ++others;
                else if (first < 0)
                    first = f;
                else if (pass == 0)
                    (void)ql_set_join(c->set, first, f);
            }
            if (first < 0 || pass == 0) continue;
            int32_t root = ql_set_root(c->set, first);
            if ((end - i) % 2 != 0) c->odd[root] = 1;
            c->hanging[root] |= others > 0;
        }
}

static ql_status drop_flaps(const double *vertices, const int32_t *tri, int32_t faces, const face_key *keys,
                            int32_t count, int32_t *set, uint8_t *drop)
{
    cancelled c = {.set = set};
    ql_edge_key *edges = NULL;
    ql_status status = QL_TAKE(edges, 3 * (int64_t)count + 1);
    if (status == QL_OK) status = QL_TAKE(c.odd, faces);
    if (status == QL_OK) status = QL_TAKE(c.hanging, faces);
    if (status == QL_OK) status = QL_TAKE(c.area, faces);
    if (status == QL_OK) judge_edges(&c, edges, list_edges(keys, count, edges));
    double all = 0;
    for (int32_t f = 0; status == QL_OK && f < faces; ++f) {
        if (drop[f]) continue;
        double area = face_area(vertices, tri + 3 * (int64_t)f);
        all += area;
        if (set[f] >= 0) c.area[ql_set_root(set, f)] += area;
    }
    for (int32_t f = 0; status == QL_OK && f < faces; ++f) {
        if (set[f] < 0) continue;
        int32_t root = ql_set_root(set, f);
        if (!c.odd[root] && c.hanging[root] && c.area[root] <= FLAP_AREA * all) drop[f] = 1;
    }
    ql_free(edges);
    ql_free(c.odd);
    ql_free(c.hanging);
    ql_free(c.area);
    return status;
}

ql_status ql_doubles_find(const double *vertices, const int32_t *tri, int32_t faces, uint8_t *drop)
{
    face_key *keys = NULL;
    int32_t *set = NULL, count = 0;
    ql_status status = QL_TAKE(keys, faces + 1);
    if (status == QL_OK) status = QL_TAKE(set, faces + 1);
    for (int32_t f = 0; status == QL_OK && f < faces; ++f) {
        set[f] = -1;
        if (!drop[f]) keys[count++] = key_of(tri, f);
    }
    if (status == QL_OK) {
        qsort(keys, (size_t)count, sizeof *keys, compare_faces);
        if (keep_one(keys, count, drop, set) > 0) status = drop_flaps(vertices, tri, faces, keys, count, set, drop);
    }
    ql_free(keys);
    ql_free(set);
    return status;
}
