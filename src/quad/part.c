#include "quad/part.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/edge_key.h"

#include <string.h>

typedef struct parting {
    ql_quads *q;
    ql_edge_key *keys; /* of all half-edges, sorted */
    int32_t *mate;     /* per half-edge: the one across, RIM, or DOUBLED where which one it is has to be found out */
    uint8_t *used;     /* per face: changed in this round */
} parting;

enum { RIM = -1, DOUBLED = -2, ROUNDS = 12, MOST_ROUND = 1000 };

/* Half-edge 4 f + k runs from corner k of quad f to the next. */
static int32_t next_of(int32_t h) { return (h & ~3) + ((h + 1) & 3); }
static int32_t previous_of(int32_t h) { return (h & ~3) + ((h + 3) & 3); }
static int32_t from(const parting *p, int32_t h) { return p->q->faces[h]; }
static int32_t to(const parting *p, int32_t h) { return p->q->faces[next_of(h)]; }
static const double *at(const ql_quads *q, int32_t v) { return q->vertices + 3 * (int64_t)v; }

static void find_mates(parting *p)
{
    int32_t n = 4 * p->q->face_count;
    for (int32_t h = 0; h < n; ++h) {
        int32_t a = from(p, h), b = to(p, h);
        p->keys[h] = ql_edge_key_of(a, b, h);
    }
    ql_edge_keys_sort(p->keys, n);
    for (int32_t i = 0, count; i < n; i += count) {
        count = ql_edge_keys_end(p->keys, i, n) - i;
        for (int32_t j = i; j < i + count; ++j) p->mate[p->keys[j].at] = count == 1 ? RIM : DOUBLED;
        if (count != 2 || from(p, p->keys[i].at) == from(p, p->keys[i + 1].at)) continue;
        p->mate[p->keys[i].at] = p->keys[i + 1].at;
        p->mate[p->keys[i + 1].at] = p->keys[i].at;
    }
}

/* Round the start of h counter-clockwise to the doubled half-edge that comes in; RIM, or DOUBLED when the way is not clear. */
static int32_t walk(const parting *p, int32_t h)
{
    for (int i = 0; i < MOST_ROUND; ++i) {
        int32_t in = previous_of(h);
        if (p->used[h / 4]) return DOUBLED;
        if (p->mate[in] == RIM) return RIM;
        if (p->mate[in] == DOUBLED) return in;
        h = p->mate[in];
    }
    return DOUBLED;
}

/* Which of the two that run back is across from `out[0]`: not the one that a walk round a vertex comes to, or the vertex would have
 * several fans. -1 = no way, or none that is known. */
static int partner(const parting *p, const int32_t out[2], const int32_t back[2])
{
    bool allowed[2] = {true, true}; /* out[0] with back[0], and out[1] with back[1]; or crosswise */
    bool known = false;
    for (int side = 0; side < 2; ++side) {
        const int32_t *start = side ? back : out, *end = side ? out : back;
        for (int i = 0; i < 2; ++i) {
            int32_t found = walk(p, start[i]);
            if (found == RIM) continue;
            if (found != end[0] && found != end[1]) return -1;
            allowed[(found == end[1]) ^ i] = false;
            known = true;
        }
    }
    return !known || allowed[0] == allowed[1] ? -1 : allowed[0] ? 0 : 1;
}

/* How even the surface is across an edge: cosine between its two quads. */
static double evenness(const parting *p, int32_t h, int32_t g)
{
    double normal[2][3];
    for (int side = 0; side < 2; ++side) {
        const int32_t *f = p->q->faces + 4 * (int64_t)((side ? g : h) / 4);
        double u[3], v[3];
        ql_sub(at(p->q, f[2]), at(p->q, f[0]), u);
        ql_sub(at(p->q, f[3]), at(p->q, f[1]), v);
        ql_cross(u, v, normal[side]);
        (void)ql_normalise(normal[side]);
    }
    return ql_dot(normal[0], normal[1]);
}

static int32_t quads_at(const parting *p, int32_t v)
{
    int32_t count = 0;
    for (int32_t i = 0; i < 4 * p->q->face_count; ++i) count += p->q->faces[i] == v;
    return count;
}

static double worst_of_fan(const ql_quads *q, const int32_t *ring, int first, const double *middle)
{
    double least = INFINITY;
    for (int i = first; i < 6 + first; i += 2)
        least = fmin(least, ql_quad_scaled_jacobian(middle, at(q, ring[i % 6]), at(q, ring[(i + 1) % 6]),
                                                    at(q, ring[(i + 2) % 6])));
    return least;
}

/* Room for one more vertex and quad. */
static ql_status grow(parting *p)
{
    ql_quads *q = p->q;
    double *x = ql_memory_resize(q->vertices, 3 * ((size_t)q->vertex_count + 1), sizeof *x);
    if (x != NULL) q->vertices = x;
    uint8_t *pin = ql_memory_resize(q->pin, (size_t)q->vertex_count + 1, sizeof *pin);
    if (pin != NULL) q->pin = pin;
    int32_t *f = ql_memory_resize(q->faces, 4 * ((size_t)q->face_count + 1), sizeof *f);
    if (f != NULL) q->faces = f;
    return x != NULL && pin != NULL && f != NULL ? QL_OK
                                                 : QL_FAIL(NO_MEMORY, "no memory for %d quads", q->face_count + 1);
}

/* Three quads for the two at an edge. */
static ql_status open_edge(parting *p, int32_t h, int32_t g, bool *done)
{
    ql_quads *q = p->q;
    int32_t f1 = h / 4, f2 = g / 4, at_h[4] = {h, next_of(h), next_of(next_of(h)), previous_of(h)};
    int32_t at_g[4] = {g, next_of(g), next_of(next_of(g)), previous_of(g)};
    /* b p q a r s of the head comment */
    int32_t ring[6] = {from(p, at_h[1]), from(p, at_h[2]), from(p, at_h[3]),
                       from(p, at_h[0]), from(p, at_g[2]), from(p, at_g[3])};
    for (int i = 0; i < 6; ++i)
        for (int j = 0; j < i; ++j)
            if (ring[i] == ring[j]) return QL_OK;
    double middle[3] = {0, 0, 0};
    for (int i = 0; i < 6; ++i) ql_axpy(1.0 / 6, at(q, ring[i]), middle);
    double value[2] = {worst_of_fan(q, ring, 0, middle), worst_of_fan(q, ring, 1, middle)};
    /* the new vertex joins b, q, r or p, a, s; the other end of the edge keeps one quad less */
    if (quads_at(p, ring[3]) < 4) value[0] -= 4;
    if (quads_at(p, ring[0]) < 4) value[1] -= 4;
    int first = value[0] >= value[1] ? 0 : 1;
    QL_TRY(grow(p));
    int32_t c = q->vertex_count++, target[3] = {f1, f2, q->face_count++};
    memcpy(q->vertices + 3 * (int64_t)c, middle, sizeof middle);
    q->pin[c] = QL_PIN_FREE;
    for (int i = 0; i < 3; ++i) {
        int at_ring = first + 2 * i;
        int32_t quad[4] = {c, ring[at_ring % 6], ring[(at_ring + 1) % 6], ring[(at_ring + 2) % 6]};
        memcpy(q->faces + 4 * (int64_t)target[i], quad, sizeof quad);
    }
    p->used[f1] = p->used[f2] = 1;
    *done = true;
    return QL_OK;
}

/* The four half-edges from keys[i] on are of a doubled edge, when two run each way. */
static ql_status part_one(parting *p, int32_t i, bool *done)
{
    int32_t way[2][2], count[2] = {0, 0};
    *done = false;
    for (int32_t j = i; j < i + 4; ++j) {
        int32_t h = p->keys[j].at, back = from(p, h) != p->keys[i].low;
        if (p->used[h / 4] || count[back] == 2) return QL_OK;
        way[back][count[back]++] = h;
    }
    int cross = partner(p, way[0], way[1]);
    if (cross < 0) return QL_OK;
    int flatter = evenness(p, way[0][0], way[1][cross]) >= evenness(p, way[0][1], way[1][!cross]) ? 0 : 1;
    QL_TRY(open_edge(p, way[0][flatter], way[1][flatter ^ cross], done));
    return *done ? QL_OK : open_edge(p, way[0][!flatter], way[1][!flatter ^ cross], done);
}

static ql_status one_round(ql_quads *q, int32_t *parted)
{
    parting p = {.q = q};
    int32_t before = 4 * q->face_count;
    ql_status status = QL_TAKE(p.keys, before + 1);
    if (status == QL_OK) status = QL_TAKE(p.mate, before + 1);
    if (status == QL_OK) status = QL_TAKE(p.used, q->face_count + 1);
    if (status == QL_OK) find_mates(&p);
    for (int32_t i = 0, count; status == QL_OK && i < before; i += count) {
        bool done = false;
        count = ql_edge_keys_end(p.keys, i, before) - i;
        if (count == 4) status = part_one(&p, i, &done);
        *parted += done;
    }
    ql_free(p.keys);
    ql_free(p.mate);
    ql_free(p.used);
    return status;
}

ql_status ql_quads_part(ql_quads *quads, int32_t *parted)
{
    *parted = 0;
    for (int round = 0, again = 1; again && round < ROUNDS; ++round) {
        int32_t before = *parted;
        QL_TRY(one_round(quads, parted));
        again = *parted > before;
    }
    return QL_OK;
}
