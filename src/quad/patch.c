/* Patches of a surface by union-find over faces; the small ones join a neighbour round by round. */
#include "quad/patch.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <stdlib.h>

typedef struct patches {
    ql_surface *s;
    int32_t *parent; /* union-find over faces */
    double *area;    /* of root faces */
    double *normal;  /* 3F */
} patches;

/* Crease between a small patch and another. */
typedef struct seam {
    int32_t small, other; /* root faces */
    double length, bend;  /* bend: length times (1 - cosine of the dihedral angle) */
} seam;

static int32_t root_of(int32_t *parent, int32_t f)
{
    while (parent[f] != f) f = parent[f] = parent[parent[f]];
    return f;
}

static void unite(patches *p, int32_t a, int32_t b)
{
    a = root_of(p->parent, a);
    b = root_of(p->parent, b);
    if (a == b) return;
    int32_t keep = a < b ? a : b, go = a < b ? b : a;
    p->parent[go] = keep;
    p->area[keep] += p->area[go];
}

static int compare_seams(const void *left, const void *right)
{
    const seam *a = left, *b = right;
    if (a->small != b->small) return a->small < b->small ? -1 : 1;
    if (a->other != b->other) return a->other < b->other ? -1 : 1;
    return 0;
}

/* One seam per pair of a small patch and its neighbour, sorted by the small one; of each only the mildest is kept in front. */
static int32_t gather(seam *seams, int32_t count)
{
    int32_t pairs = 0, kept = 0;
    qsort(seams, (size_t)count, sizeof *seams, compare_seams);
    for (int32_t i = 0; i < count; ++i) {
        if (pairs > 0 && compare_seams(&seams[pairs - 1], &seams[i]) == 0) {
            seams[pairs - 1].length += seams[i].length;
            seams[pairs - 1].bend += seams[i].bend;
        } else {
            seams[pairs++] = seams[i];
        }
    }
    for (int32_t i = 0; i < pairs; ++i) {
        if (kept > 0 && seams[kept - 1].small == seams[i].small) {
            if (seams[i].bend * seams[kept - 1].length < seams[kept - 1].bend * seams[i].length)
                seams[kept - 1] = seams[i];
        } else {
            seams[kept++] = seams[i];
        }
    }
    return kept;
}

/* Creases of all patches below `least`; returns their number. */
static int32_t list_seams(patches *p, double least, seam *seams)
{
    const ql_surface *s = p->s;
    int32_t count = 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t g = s->opposite[h];
        if (g < 0 || !s->feature[h]) continue;
        int32_t a = root_of(p->parent, h / 3), b = root_of(p->parent, g / 3);
        if (a == b || p->area[a] >= least) continue;
        double length = sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
        double cosine = ql_dot(p->normal + 3 * (int64_t)(h / 3), p->normal + 3 * (int64_t)(g / 3));
        seams[count++] = (seam){a, b, length, length * (1 - cosine)};
    }
    return count;
}

/* Joins small patches round by round; a patch takes part in one joint per round. */
static int32_t merge_all(patches *p, double least, seam *seams)
{
    int32_t merged = 0;
    for (int again = 1; again;) {
        int32_t count = gather(seams, list_seams(p, least, seams));
        again = 0;
        for (int32_t i = 0; i < count; ++i) {
            int32_t a = seams[i].small, b = seams[i].other;
            if (root_of(p->parent, a) != a || p->area[a] >= least || root_of(p->parent, b) == a) continue;
            unite(p, a, b);
            ++merged;
            again = 1;
        }
    }
    return merged;
}

ql_status ql_patch_merge(ql_surface *s, double least, int32_t *merged)
{
    patches p = {.s = s};
    seam *seams = NULL;
    uint8_t *inner = NULL;
    *merged = 0;
    ql_status status = QL_TAKE(p.parent, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p.area, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p.normal, 3 * (int64_t)s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(seams, 3 * (int64_t)s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(inner, 3 * (int64_t)s->face_count + 1);
    if (status == QL_OK) {
        for (int32_t f = 0; f < s->face_count; ++f) {
            p.parent[f] = f;
            p.area[f] = 0.5 * ql_surface_normal(s, f, p.normal + 3 * (int64_t)f);
        }
        for (int32_t h = 0; h < 3 * s->face_count; ++h)
            if (!s->feature[h] && s->opposite[h] >= 0) unite(&p, h / 3, s->opposite[h] / 3);
        for (int32_t h = 0; h < 3 * s->face_count; ++h) /* a crease that ends inside a patch parts nothing */
            inner[h] = s->opposite[h] >= 0 && root_of(p.parent, h / 3) == root_of(p.parent, s->opposite[h] / 3);
        *merged = merge_all(&p, least, seams);
        for (int32_t h = 0; h < 3 * s->face_count; ++h)
            if (s->feature[h] && s->opposite[h] >= 0 && !inner[h] &&
                root_of(p.parent, h / 3) == root_of(p.parent, s->opposite[h] / 3))
                s->feature[h] = 0;
    }
    ql_free(p.parent);
    ql_free(p.area);
    ql_free(p.normal);
    ql_free(seams);
    ql_free(inner);
    return status;
}
