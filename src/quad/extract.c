#include "quad/extract.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/map.h"
#include "quad/unfold.h"

#include <string.h>

typedef __int128 wide;

typedef struct point {
    int64_t x, y;
} point;

typedef struct port {
    int32_t vertex, face;
    point at;         /* its vertex in the chart of `face` */
    int8_t direction; /* 0..3 in that chart */
    int8_t home;      /* direction in the chart that its vertex is looked up in */
    int8_t side;      /* +1: path shifted to the left; -1: to the right (along the last edge of its sector) */
    int8_t
        sign; /* +1, -1: the map keeps or mirrors orientation there; QL_RAY_RIM closes the word of a boundary vertex */
} port;

typedef struct extraction {
    const ql_surface *s;
    const int64_t *uv;
    const uint8_t *matching;
    ql_polygons *out;
    int32_t vertex_room, port_room, ports;
    port *port;
    int32_t *port_start;  /* per grid vertex (+1) */
    point *place;         /* per grid vertex: coordinates in its home chart */
    int32_t *corner_port; /* 12 F: port of corner h in direction d, + 1 */
    int32_t *edge_first;  /* 3F: first grid vertex on the edge (canonical half-edge), + 1 */
    int32_t *edge_count;  /* 3F */
    int32_t *face_first;  /* F: first grid vertex inside, + 1 */
    int32_t *face_count;  /* F */
    uint8_t *outside;     /* per port: its path leaves through the boundary */
    int32_t *vertex;      /* per port: its vertex once folds are gone */
    ql_rays rays;
} extraction;

static point corner(const extraction *e, int32_t h)
{
    return (point){e->uv[2 * (int64_t)h], e->uv[2 * (int64_t)h + 1]};
}
static point minus(point a, point b) { return (point){a.x - b.x, a.y - b.y}; }
static point plus(point a, point b) { return (point){a.x + b.x, a.y + b.y}; }
static wide cross2(point a, point b) { return (wide)a.x * b.y - (wide)a.y * b.x; }
static wide dot2(point a, point b) { return (wide)a.x * b.x + (wide)a.y * b.y; }
static int sign_of(wide x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

static point turned(point p, int32_t quarter)
{
    switch (quarter & 3) {
    case 1: return (point){-p.y, p.x};
    case 2: return (point){-p.x, -p.y};
    case 3: return (point){p.y, -p.x};
    default: return p;
    }
}

static point unit(int32_t direction) { return turned((point){QL_FIXED_ONE, 0}, direction); }
static int whole(point p) { return p.x % QL_FIXED_ONE == 0 && p.y % QL_FIXED_ONE == 0; }

/* A point of the chart of h's face in the chart across h. */
static point across(const extraction *e, int32_t h, point p)
{
    int32_t g = e->s->opposite[h], k = e->matching[h];
    return plus(turned(minus(p, corner(e, h)), k), corner(e, ql_next(g)));
}

int ql_extract_orientation(const int64_t *uv, int32_t f)
{
    const int64_t *p = uv + 6 * (int64_t)f;
    return sign_of(cross2((point){p[2] - p[0], p[3] - p[1]}, (point){p[4] - p[0], p[5] - p[1]}));
}

/* Both ends of every edge must give the same transition. */
static ql_status check_seamless(const extraction *e)
{
    for (int32_t h = 0; h < 3 * e->s->face_count; ++h) {
        int32_t g = e->s->opposite[h];
        if (g < 0) continue;
        point there = across(e, h, corner(e, ql_next(h))), want = corner(e, g);
        point shift = minus(corner(e, ql_next(g)), turned(corner(e, h), e->matching[h]));
        if (there.x != want.x || there.y != want.y || !whole(shift))
            return QL_FAIL(NUMERIC, "map is not seamless across the edge of faces %d and %d", h / 3, g / 3);
    }
    return QL_OK;
}

static ql_status new_vertex(extraction *e, ql_origin_kind kind, int32_t origin, point place, const double position[3])
{
    ql_polygons *out = e->out;
    if (out->vertex_count + 2 > e->vertex_room) {
        int32_t room = 2 * e->vertex_room + 1024;
        void *p[5];
        p[0] = ql_memory_resize(out->vertices, 3 * (size_t)room, sizeof *out->vertices);
        if (p[0] != NULL) out->vertices = p[0];
        p[1] = ql_memory_resize(out->origin_kind, (size_t)room, sizeof *out->origin_kind);
        if (p[1] != NULL) out->origin_kind = p[1];
        p[2] = ql_memory_resize(out->origin, (size_t)room, sizeof *out->origin);
        if (p[2] != NULL) out->origin = p[2];
        p[3] = ql_memory_resize(e->port_start, (size_t)room, sizeof *e->port_start);
        if (p[3] != NULL) e->port_start = p[3];
        p[4] = ql_memory_resize(e->place, (size_t)room, sizeof *e->place);
        if (p[4] != NULL) e->place = p[4];
        for (int i = 0; i < 5; ++i)
            if (p[i] == NULL) return QL_FAIL(NO_MEMORY, "no memory for %d grid vertices", room);
        e->vertex_room = room;
    }
    int32_t v = out->vertex_count++;
    memcpy(out->vertices + 3 * (int64_t)v, position, 3 * sizeof *position);
    out->origin_kind[v] = (uint8_t)kind;
    out->origin[v] = origin;
    e->place[v] = place;
    e->port_start[v + 1] = e->port_start[v];
    return QL_OK;
}

static ql_status new_port(extraction *e, port p)
{
    if (e->ports + 1 > e->port_room) {
        int32_t room = 2 * e->port_room + 4096;
        void *more = ql_memory_resize(e->port, (size_t)room, sizeof *e->port);
        if (more == NULL) return QL_FAIL(NO_MEMORY, "no memory for %d ports", room);
        e->port = more;
        e->port_room = room;
    }
    p.vertex = e->out->vertex_count - 1;
    e->port[e->ports++] = p;
    e->port_start[p.vertex + 1] = e->ports;
    return QL_OK;
}

static ql_status close_open_vertex(extraction *e) { return new_port(e, (port){.home = -1, .sign = QL_RAY_RIM}); }

static int same_way(point a, point b) { return cross2(a, b) == 0 && dot2(a, b) > 0; }

/* Is d in the fan [a, b), counter-clockwise from a to b by at most half a turn? */
static int in_fan(point a, point b, point d)
{
    wide from = cross2(a, d);
    if (cross2(a, b) == 0) return from > 0 || same_way(a, d);
    return from >= 0 && cross2(d, b) > 0;
}

/* The part of a vertex's surroundings that lies in one face. */
typedef struct sector {
    int32_t face, corner; /* corner: half-edge that starts at the vertex, or -1 (vertex on an edge) */
    point at, a, b;       /* the vertex; from direction a to direction b, counter-clockwise on the surface */
    int32_t sign;         /* orientation of the face */
    int32_t home;         /* direction in the chart of lookups = direction + home */
    int at_rim;           /* b runs along the boundary */
} sector;

static ql_status sector_port(extraction *e, const sector *q, int32_t d, int32_t side)
{
    d &= 3;
    QL_TRY(new_port(e, (port){.face = q->face,
                              .at = q->at,
                              .direction = (int8_t)d,
                              .home = (int8_t)((d + q->home) & 3),
                              .side = (int8_t)side,
                              .sign = (int8_t)q->sign}));
    if (q->corner >= 0) e->corner_port[4 * (int64_t)q->corner + d] = e->ports;
    return QL_OK;
}

/* Ports of a sector, counter-clockwise on the surface. Where the map keeps orientation they are the grid directions in
 * [a, b), where it mirrors those in [b, a) backwards: then a ring has as many ports of sign +1 more than of sign -1 as it has
 * quarter turns. At the boundary there is one of sign +1 more, along the last edge. */
static ql_status sector_ports(extraction *e, const sector *q)
{
    if (q->sign == 0) return QL_OK;
    point low = q->sign > 0 ? q->a : q->b, high = q->sign > 0 ? q->b : q->a;
    int32_t begin = -1;
    for (int32_t d = 0; d < 4; ++d)
        if (in_fan(low, high, unit(d)) && !in_fan(low, high, unit(d - q->sign))) begin = d;
    for (int32_t d = begin + 4, n = 0; begin >= 0 && n < 4 && in_fan(low, high, unit(d)); d += q->sign, ++n) {
        int along_last = same_way(q->b, unit(d));
        if (!(along_last && q->at_rim)) QL_TRY(sector_port(e, q, d, along_last ? -1 : 1));
    }
    for (int32_t d = 0; d < 4; ++d)
        if (q->at_rim && q->sign > 0 && same_way(q->b, unit(d))) QL_TRY(sector_port(e, q, d, -1));
    return QL_OK;
}

static ql_status grid_on_vertices(extraction *e)
{
    const ql_surface *s = e->s;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t h = s->outgoing[v], first = h;
        if (h < 0 || !whole(corner(e, h))) continue;
        QL_TRY(new_vertex(e, QL_ORIGIN_VERTEX, v, corner(e, h), ql_at(s, v)));
        do {
            int32_t last = ql_previous(h);
            sector q = {.face = h / 3, .corner = h, .at = corner(e, h)};
            q.a = minus(corner(e, ql_next(h)), q.at);
            q.b = minus(corner(e, last), q.at);
            q.sign = sign_of(cross2(q.a, q.b));
            q.at_rim = s->opposite[last] < 0;
            QL_TRY(sector_ports(e, &q));
            h = ql_turn_left(s, h);
        } while (h >= 0 && h != first);
        if (ql_on_boundary(s, v)) QL_TRY(close_open_vertex(e));
    }
    return QL_OK;
}

/* Ports of a grid vertex on edge h, counter-clockwise from the edge's direction. */
static ql_status edge_ports(extraction *e, int32_t h, point at)
{
    int32_t g = e->s->opposite[h];
    sector q = {.face = h / 3, .corner = -1, .at = at, .sign = ql_extract_orientation(e->uv, h / 3)};
    q.a = minus(corner(e, ql_next(h)), corner(e, h));
    q.b = turned(q.a, 2);
    q.at_rim = g < 0;
    QL_TRY(sector_ports(e, &q));
    if (g < 0) return close_open_vertex(e);
    q.face = g / 3;
    q.at = across(e, h, at);
    q.sign = ql_extract_orientation(e->uv, g / 3);
    q.home = 4 - e->matching[h];
    q.a = minus(corner(e, ql_next(g)), corner(e, g));
    q.b = turned(q.a, 2);
    return sector_ports(e, &q);
}

static int64_t floor_cell(int64_t x) { return x >= 0 ? x / QL_FIXED_ONE : -((-x + QL_FIXED_ONE - 1) / QL_FIXED_ONE); }

static ql_status one_on_edge(extraction *e, int32_t h, point at, double t)
{
    double x[3];
    ql_lerp(ql_at(e->s, ql_from(e->s, h)), ql_at(e->s, ql_to(e->s, h)), t, x);
    QL_TRY(new_vertex(e, QL_ORIGIN_EDGE, h, at, x));
    if (e->edge_count[h]++ == 0) e->edge_first[h] = e->out->vertex_count;
    return edge_ports(e, h, at);
}

static ql_status grid_on_edges(extraction *e)
{
    for (int32_t h = 0; h < 3 * e->s->face_count; ++h) {
        if (e->s->opposite[h] >= 0 && e->s->opposite[h] < h) continue;
        point a = corner(e, h), d = minus(corner(e, ql_next(h)), a);
        int64_t run = d.x != 0 ? d.x : d.y, from = d.x != 0 ? a.x : a.y;
        if (run == 0) continue;
        int64_t low = run > 0 ? from : from + run, high = run > 0 ? from + run : from;
        for (int64_t c = floor_cell(low) + 1; c * QL_FIXED_ONE < high; ++c) {
            int64_t step = c * QL_FIXED_ONE - from;
            wide other = d.x != 0 ? (wide)step * d.y : (wide)step * d.x;
            if (other % run != 0) continue;
            int64_t rest = (int64_t)(other / run);
            point at = d.x != 0 ? (point){from + step, a.y + rest} : (point){a.x + rest, from + step};
            if (whole(at)) QL_TRY(one_on_edge(e, h, at, (double)step / (double)run));
        }
    }
    return QL_OK;
}

static ql_status one_in_face(extraction *e, int32_t f, point at, const double weight[3], int32_t sign)
{
    double x[3] = {0, 0, 0};
    for (int k = 0; k < 3; ++k) ql_axpy(weight[k], ql_at(e->s, e->s->faces[3 * f + k]), x);
    QL_TRY(new_vertex(e, QL_ORIGIN_FACE, f, at, x));
    if (e->face_count[f]++ == 0) e->face_first[f] = e->out->vertex_count;
    sector q = {.face = f, .corner = -1, .at = at, .sign = sign};
    for (int32_t d = 4; d > 0 && d < 8; d += sign) QL_TRY(sector_port(e, &q, d, 1));
    return QL_OK;
}

static ql_status grid_in_face(extraction *e, int32_t f)
{
    point p[3] = {corner(e, 3 * f), corner(e, 3 * f + 1), corner(e, 3 * f + 2)};
    wide area = cross2(minus(p[1], p[0]), minus(p[2], p[0]));
    int32_t sign = sign_of(area);
    if (sign == 0) return QL_OK;
    point low = p[0], high = p[0];
    for (int k = 1; k < 3; ++k) {
        if (p[k].x < low.x) low.x = p[k].x;
        if (p[k].y < low.y) low.y = p[k].y;
        if (p[k].x > high.x) high.x = p[k].x;
        if (p[k].y > high.y) high.y = p[k].y;
    }
    for (int64_t cy = floor_cell(low.y) + 1; cy * QL_FIXED_ONE < high.y; ++cy)
        for (int64_t cx = floor_cell(low.x) + 1; cx * QL_FIXED_ONE < high.x; ++cx) {
            point at = {cx * QL_FIXED_ONE, cy * QL_FIXED_ONE};
            double weight[3];
            int inside = 1;
            for (int k = 0; k < 3; ++k) {
                wide w = cross2(minus(p[(k + 2) % 3], p[(k + 1) % 3]), minus(at, p[(k + 1) % 3]));
                inside &= w * sign > 0;
                weight[k] = (double)w / (double)area;
            }
            if (inside) QL_TRY(one_in_face(e, f, at, weight, sign));
        }
    return QL_OK;
}

static int32_t vertex_at(const extraction *e, int32_t first, int32_t count, point at)
{
    for (int32_t v = first - 1; v < first - 1 + count; ++v)
        if (e->place[v].x == at.x && e->place[v].y == at.y) return v;
    return -1;
}

static int32_t port_of(const extraction *e, int32_t v, int32_t f, int32_t d)
{
    for (int32_t i = v < 0 ? 0 : e->port_start[v]; v >= 0 && i < e->port_start[v + 1]; ++i)
        if (e->port[i].sign != QL_RAY_RIM && e->port[i].face == f && e->port[i].direction == d) return i;
    return -1;
}

/* Whether a path that is shifted to the side of `shift` comes to grid point `at` through face f of orientation `sign`, looking
 * back in direction `back`; o gets the tests against the edges. */
static int arrives(const extraction *e, int32_t f, int32_t sign, point at, point back, point shift, wide o[3])
{
    for (int k = 0; k < 3; ++k) {
        point a = corner(e, 3 * f + k), edge = minus(corner(e, 3 * f + (k + 1) % 3), a);
        o[k] = sign * cross2(edge, minus(at, a));
        if (o[k] < 0) return 0;
        if (o[k] > 0) continue;
        wide inward = sign * cross2(edge, back);
        if (inward < 0 || (inward == 0 && sign * cross2(edge, shift) < 0)) return 0;
    }
    return 1;
}

/* The port at grid point `at` of face f in direction d, which runs through f or along the edge of f that o says; -1 = none,
 * as along an edge where the map folds. */
static int32_t port_at(const extraction *e, int32_t f, point at, const wide o[3], int32_t d)
{
    int32_t zeros = (o[0] == 0) + (o[1] == 0) + (o[2] == 0), i;
    if (zeros == 0) return port_of(e, vertex_at(e, e->face_first[f], e->face_count[f], at), f, d);
    int32_t h = 3 * f + (o[0] == 0 ? 0 : o[1] == 0 ? 1 : 2);
    if (zeros == 1) {
        int32_t g = e->s->opposite[h], own = g >= 0 && g < h ? g : h; /* the half-edge that the vertices are kept at */
        int32_t v = vertex_at(e, e->edge_first[own], e->edge_count[own], own == h ? at : across(e, h, at));
        i = port_of(e, v, f, d);
        return i >= 0 || g < 0 ? i : port_of(e, v, g / 3, (d + e->matching[h]) & 3);
    }
    h = 3 * f + (o[0] != 0 ? 2 : o[1] != 0 ? 0 : 1); /* the corner that both zero edges share */
    i = e->corner_port[4 * (int64_t)h + d] - 1;
    if (i >= 0) return i;
    int first = same_way(minus(corner(e, ql_next(h)), corner(e, h)), unit(d));
    int32_t over = first ? h : ql_previous(h), next = first ? ql_turn_right(e->s, h) : ql_turn_left(e->s, h);
    return next < 0 ? -1 : e->corner_port[4 * (int64_t)next + ((d + e->matching[over]) & 3)] - 1;
}

/* The edge through which the line from `at` along `way`, shifted to `side`, leaves face f; -1 = it misses the face. The same
 * in faces that are mirrored: there the path runs against `way`. */
static int32_t way_out(const extraction *e, int32_t f, point at, point way, int32_t side)
{
    int where[3];
    for (int k = 0; k < 3; ++k) {
        where[k] = sign_of(cross2(way, minus(corner(e, 3 * f + k), at)));
        if (where[k] == 0) where[k] = -side;
    }
    for (int k = 0; k < 3; ++k)
        if (where[k] < 0 && where[(k + 1) % 3] > 0) return 3 * f + k;
    return -1;
}

/* Follows a port to the next grid vertex on its isoline: one cell on where the map has the orientation that it has at the
 * port, or the same grid point again where the isoline has turned back at a fold. Returns the port that looks back
 * from there, -1 = left through the boundary or lost. */
static int32_t trace(extraction *e, int32_t which, int32_t side, int *left_surface)
{
    const port *start = &e->port[which];
    int32_t f = start->face, d = start->direction + (start->sign < 0 ? 2 : 0);
    point at = start->at;
    *left_surface = 0;
    for (int32_t step = 0; step < 100000; ++step) {
        point way = unit(d), ahead = turned(way, start->sign < 0 ? 2 : 0), shift = turned(way, side > 0 ? 1 : 3);
        int32_t sign = ql_extract_orientation(e->uv, f);
        point target = sign == start->sign ? plus(at, ahead) : at;
        int32_t back = (d + (sign > 0 ? 2 : 0)) & 3;
        wide o[3];
        if (sign != 0 && arrives(e, f, sign, target, unit(back), shift, o)) return port_at(e, f, target, o, back);
        int32_t leave = way_out(e, f, at, way, side);
        if (leave < 0) return -1;
        if (e->s->opposite[leave] < 0) {
            *left_surface = 1;
            return -1;
        }
        at = across(e, leave, at);
        d = (d + e->matching[leave]) & 3;
        f = e->s->opposite[leave] / 3;
    }
    return -1;
}

/* Joins ports that find each other; and where the shifted path of one of them turns back just before its vertex, those that
 * find each other along the very same path. */
static ql_status link_ports(extraction *e)
{
    int32_t *to = NULL, *link = e->rays.partner;
    int left_surface;
    QL_TRY(QL_TAKE(to, e->ports + 1));
    for (int32_t i = 0; i < e->ports; ++i) {
        to[i] = link[i] = -1;
        if (e->port[i].sign == QL_RAY_RIM) continue;
        to[i] = trace(e, i, e->port[i].side, &left_surface);
        e->outside[i] = (uint8_t)left_surface;
    }
    for (int32_t i = 0; i < e->ports; ++i)
        if (to[i] > i && to[to[i]] == i) {
            link[i] = to[i];
            link[to[i]] = i;
        }
    for (int32_t i = 0; i < e->ports; ++i) {
        int32_t j = to[i];
        if (j < 0 || j == i || link[i] >= 0 || link[j] >= 0) continue;
        if (trace(e, j, -e->port[i].side, &left_surface) != i) continue;
        link[i] = j;
        link[j] = i;
    }
    ql_free(to);
    return QL_OK;
}

/* Of several grid vertices that turn out to be one, one on a feature counts, then one that the map does not fold round. */
static uint8_t rank_of(const extraction *e, int32_t v)
{
    int32_t turns = 0, lines = 0, origin = e->out->origin[v];
    for (int32_t i = e->port_start[v]; i < e->port_start[v + 1]; ++i) turns += e->port[i].sign;
    if (e->out->origin_kind[v] == QL_ORIGIN_EDGE) lines = e->s->feature[origin];
    if (e->out->origin_kind[v] == QL_ORIGIN_VERTEX) {
        int32_t first = e->s->outgoing[origin], h = first;
        do lines += e->s->feature[h];
        while ((h = ql_turn_left(e->s, h)) >= 0 && h != first);
    }
    return (uint8_t)(lines == 1 || lines > 2 ? 4 : lines > 0 ? 3 : turns > 2 ? 2 : 1);
}

static ql_status cancel_folds(extraction *e)
{
    ql_rays *r = &e->rays;
    uint8_t *rank = NULL;
    r->nodes = e->out->vertex_count;
    QL_TRY(QL_TAKE(rank, r->nodes + 1));
    for (int32_t v = 0; v < r->nodes; ++v) {
        int32_t first = e->port_start[v], last = e->port_start[v + 1] - 1;
        rank[v] = rank_of(e, v);
        for (int32_t i = first; i <= last; ++i) {
            r->sign[i] = e->port[i].sign;
            r->next[i] = i < last ? i + 1 : first;
            r->before[i] = i > first ? i - 1 : last;
            r->node[i] = v;
        }
    }
    r->rank = rank;
    ql_status status = ql_unfold(r);
    ql_free(rank);
    return status;
}

/* A word is a vertex. Two words left at one place mean that a fold was pinched off which was none: counted as loose. */
static ql_status name_words(extraction *e)
{
    const ql_rays *r = &e->rays;
    uint8_t *taken = NULL;
    QL_TRY(QL_TAKE(taken, r->nodes + 1));
    for (int32_t i = 0; i < r->count; ++i) e->vertex[i] = -1;
    for (int32_t i = 0; i < r->count; ++i) {
        if (r->sign[i] != 1 || e->vertex[i] >= 0) continue;
        int32_t name = r->node[i], j = i;
        e->out->loose += taken[name];
        taken[name] = 1;
        do e->vertex[j] = name;
        while ((j = r->next[j]) != i);
    }
    for (int32_t i = 0; i < r->count; ++i)
        if (r->sign[i] == -1 || (r->sign[i] == 1 && r->partner[i] < 0 && !e->outside[i])) e->out->loose++;
    ql_free(taken);
    return QL_OK;
}

/* Grid vertices of which only one link is left are dropped, and what hangs on them (a cone of one quadrant keeps its own). */
static ql_status prune_dangling(extraction *e)
{
    ql_rays *r = &e->rays;
    int32_t *stack = NULL, *count = NULL, *one = NULL, top = 0;
    ql_status status = QL_TAKE(stack, r->nodes + 1);
    if (status == QL_OK) status = QL_TAKE(count, r->nodes + 1);
    if (status == QL_OK) status = QL_TAKE(one, r->nodes + 1);
    for (int32_t i = 0; status == QL_OK && i < r->count; ++i) {
        if (r->sign[i] != 1 || r->next[i] == i) continue;
        count[e->vertex[i]] += r->partner[i] >= 0;
        one[e->vertex[i]] = i;
    }
    for (int32_t v = 0; status == QL_OK && v < r->nodes; ++v)
        if (count[v] == 1) stack[top++] = v;
    while (status == QL_OK && top > 0) {
        int32_t v = stack[--top], i = one[v], j;
        if (count[v] != 1) continue;
        for (int32_t n = 0; n < r->count && r->partner[i] < 0; ++n) i = r->next[i];
        count[v] = 0;
        if ((j = r->partner[i]) < 0) continue;
        r->partner[i] = r->partner[j] = -1;
        if (--count[e->vertex[j]] == 1) stack[top++] = e->vertex[j];
    }
    ql_free(stack);
    ql_free(count);
    ql_free(one);
    return status;
}

static ql_status walk_faces(extraction *e)
{
    ql_polygons *out = e->out;
    const ql_rays *r = &e->rays;
    uint8_t *used = NULL;
    QL_TRY(QL_TAKE(used, r->count + 1));
    ql_status status = QL_TAKE(out->start, r->count + 2);
    if (status == QL_OK) status = QL_TAKE(out->corner, 2 * (int64_t)r->count + 8);
    int32_t n = 0;
    for (int32_t i = 0; status == QL_OK && i < r->count; ++i) {
        if (used[i] || r->sign[i] != 1) continue;
        int32_t begin = n, j = i, closed = 0;
        while (j >= 0 && !used[j] && n - begin < 256) {
            used[j] = 1;
            out->corner[n++] = e->vertex[j];
            j = ql_rays_around(r, j);
            closed = j == i;
        }
        if (!closed || n - begin < 3) {
            n = begin;
            continue;
        }
        out->quads += n - begin == 4;
        out->start[++out->face_count] = n;
    }
    ql_free(used);
    return status;
}

/* Numbers the used vertices 0, 1, ... and drops the others. */
static ql_status drop_unused(extraction *e)
{
    ql_polygons *out = e->out;
    int32_t *number = NULL, n = 0, corners = out->start[out->face_count];
    QL_TRY(QL_TAKE(number, out->vertex_count + 1));
    for (int32_t i = 0; i < corners; ++i) number[out->corner[i]] = 1;
    for (int32_t v = 0; v < out->vertex_count; ++v) {
        if (!number[v]) continue;
        memmove(out->vertices + 3 * (int64_t)n, out->vertices + 3 * (int64_t)v, 3 * sizeof *out->vertices);
        out->origin_kind[n] = out->origin_kind[v];
        out->origin[n] = out->origin[v];
        number[v] = n++;
    }
    for (int32_t i = 0; i < corners; ++i) out->corner[i] = number[out->corner[i]];
    out->vertex_count = n;
    ql_free(number);
    return QL_OK;
}

static ql_status take_tables(extraction *e)
{
    int64_t halves = 3 * (int64_t)e->s->face_count;
    QL_TRY(QL_TAKE(e->corner_port, 4 * halves));
    QL_TRY(QL_TAKE(e->edge_first, halves));
    QL_TRY(QL_TAKE(e->edge_count, halves));
    QL_TRY(QL_TAKE(e->face_first, e->s->face_count));
    QL_TRY(QL_TAKE(e->face_count, e->s->face_count));
    QL_TRY(QL_TAKE(e->port_start, 1));
    return QL_OK;
}

static ql_status take_rays(extraction *e)
{
    ql_rays *r = &e->rays;
    r->count = e->ports;
    QL_TRY(QL_TAKE(r->sign, e->ports + 1));
    QL_TRY(QL_TAKE(r->next, e->ports + 1));
    QL_TRY(QL_TAKE(r->before, e->ports + 1));
    QL_TRY(QL_TAKE(r->partner, e->ports + 1));
    QL_TRY(QL_TAKE(r->node, e->ports + 1));
    QL_TRY(QL_TAKE(e->outside, e->ports + 1));
    return QL_TAKE(e->vertex, e->ports + 1);
}

static void extraction_destroy(extraction *e)
{
    void *const blocks[] = {e->port,       e->port_start, e->place,       e->corner_port,  e->edge_first,
                            e->edge_count, e->face_first, e->face_count,  e->outside,      e->vertex,
                            e->rays.sign,  e->rays.next,  e->rays.before, e->rays.partner, e->rays.node};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; ++i) ql_free(blocks[i]);
}

ql_status ql_extract(ql_polygons *polygons, const ql_surface *s, const int64_t *uv, const uint8_t *matching)
{
    memset(polygons, 0, sizeof *polygons);
    extraction e = {.s = s, .uv = uv, .matching = matching, .out = polygons};
    ql_status status = check_seamless(&e);
    if (status == QL_OK) status = take_tables(&e);
    if (status == QL_OK) status = grid_on_vertices(&e);
    if (status == QL_OK) status = grid_on_edges(&e);
    for (int32_t f = 0; status == QL_OK && f < s->face_count; ++f) status = grid_in_face(&e, f);
    if (status == QL_OK) status = take_rays(&e);
    if (status == QL_OK) status = link_ports(&e);
    if (status == QL_OK) status = cancel_folds(&e);
    if (status == QL_OK) status = name_words(&e);
    if (status == QL_OK) status = prune_dangling(&e);
    if (status == QL_OK) status = walk_faces(&e);
    if (status == QL_OK) status = drop_unused(&e);
    extraction_destroy(&e);
    if (status != QL_OK) ql_polygons_destroy(polygons);
    return status;
}

void ql_polygons_destroy(ql_polygons *p)
{
    if (p == NULL) return;
    ql_free(p->vertices);
    ql_free(p->start);
    ql_free(p->corner);
    ql_free(p->origin_kind);
    ql_free(p->origin);
    memset(p, 0, sizeof *p);
}
