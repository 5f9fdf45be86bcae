#include "quad/extract.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/map.h"

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
    int8_t side;      /* +1: path shifted to the left; -1: to the right (along the boundary) */
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
    uint8_t *open;        /* per grid vertex: at the boundary, ports do not go all the way round */
    int32_t *corner_port; /* 12 F: port of corner h in direction d, + 1 */
    int32_t *vertex_grid; /* V: grid vertex on it, + 1 */
    int32_t *edge_first;  /* 3F: first grid vertex on the edge (canonical half-edge), + 1 */
    int32_t *edge_count;  /* 3F */
    int32_t *face_first;  /* F: first grid vertex inside, + 1 */
    int32_t *face_count;  /* F */
    int32_t *link;        /* per port */
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
        void *p[6];
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
        p[5] = ql_memory_resize(e->open, (size_t)room, sizeof *e->open);
        if (p[5] != NULL) e->open = p[5];
        for (int i = 0; i < 6; ++i)
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

static ql_status new_port(extraction *e, int32_t face, point at, int32_t direction, int32_t home, int32_t side)
{
    if (e->ports + 1 > e->port_room) {
        int32_t room = 2 * e->port_room + 4096;
        void *p = ql_memory_resize(e->port, (size_t)room, sizeof *e->port);
        if (p == NULL) return QL_FAIL(NO_MEMORY, "no memory for %d ports", room);
        e->port = p;
        e->port_room = room;
    }
    int32_t v = e->out->vertex_count - 1;
    e->port[e->ports++] = (port){v, face, at, (int8_t)direction, (int8_t)home, (int8_t)side};
    e->port_start[v + 1] = e->ports;
    return QL_OK;
}

/* Ports of corner h, counter-clockwise: grid directions in [first edge, last edge), and on the last edge at the boundary. */
static ql_status corner_ports(extraction *e, int32_t h)
{
    point at = corner(e, h), a = minus(corner(e, ql_next(h)), at), b = minus(corner(e, ql_previous(h)), at);
    if (cross2(a, b) <= 0) return QL_OK;
    int32_t begin = -1;
    for (int32_t d = 0; d < 4 && begin < 0; ++d) { /* the first direction at or after a, counter-clockwise */
        point now = unit(d), before = unit(d + 3);
        if ((cross2(a, now) == 0 && dot2(a, now) > 0) ||
            (cross2(a, now) > 0 && (cross2(a, before) < 0 || (cross2(a, before) == 0 && dot2(a, before) < 0))))
            begin = d;
    }
    for (int32_t d = begin; d >= 0 && d < begin + 4; ++d) {
        point way = unit(d);
        int along_last = cross2(way, b) == 0 && dot2(way, b) > 0;
        int inside = cross2(way, b) > 0 && cross2(a, way) >= 0;
        if (!inside && !(along_last && e->s->opposite[ql_previous(h)] < 0)) break;
        QL_TRY(new_port(e, h / 3, at, d & 3, d & 3, along_last ? -1 : 1));
        e->corner_port[4 * (int64_t)h + (d & 3)] = e->ports;
    }
    return QL_OK;
}

static ql_status grid_on_vertices(extraction *e)
{
    const ql_surface *s = e->s;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t h = s->outgoing[v], first = h;
        if (h < 0 || !whole(corner(e, h))) continue;
        QL_TRY(new_vertex(e, QL_ORIGIN_VERTEX, v, corner(e, h), ql_at(s, v)));
        e->vertex_grid[v] = e->out->vertex_count;
        e->open[e->out->vertex_count - 1] = (uint8_t)ql_on_boundary(s, v);
        do {
            QL_TRY(corner_ports(e, h));
            h = ql_turn_left(s, h);
        } while (h >= 0 && h != first);
    }
    return QL_OK;
}

/* Ports of a grid vertex on edge h, counter-clockwise from the edge's direction. */
static ql_status edge_ports(extraction *e, int32_t h, point at)
{
    int32_t g = e->s->opposite[h], here = ql_extract_orientation(e->uv, h / 3) > 0,
            there = g >= 0 && ql_extract_orientation(e->uv, g / 3) > 0;
    point edge = minus(corner(e, ql_next(h)), corner(e, h));
    e->open[e->out->vertex_count - 1] = g < 0;
    int32_t begin = 0;
    for (int32_t d = 0; d < 4; ++d)
        if (cross2(edge, unit(d)) >= 0 &&
            (cross2(edge, unit(d + 3)) < 0 || (cross2(edge, unit(d + 3)) == 0 && dot2(edge, unit(d + 3)) < 0)))
            begin = d;
    for (int32_t d = 0; d < 4; ++d)
        if (cross2(edge, unit(d)) == 0 && dot2(edge, unit(d)) > 0) begin = d;
    for (int32_t i = begin; i < begin + 4; ++i) {
        point way = unit(i);
        int side = sign_of(cross2(edge, way)), forward = dot2(edge, way) > 0;
        if (side > 0 || (side == 0 && forward)) {
            if (here) QL_TRY(new_port(e, h / 3, at, i & 3, i & 3, 1));
        } else if (g >= 0) {
            if (there) QL_TRY(new_port(e, g / 3, across(e, h, at), (i + e->matching[h]) & 3, i & 3, 1));
        } else if (side == 0 && here) {
            QL_TRY(new_port(e, h / 3, at, i & 3, i & 3, -1));
        }
    }
    return QL_OK;
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

static ql_status grid_in_face(extraction *e, int32_t f)
{
    point p[3] = {corner(e, 3 * f), corner(e, 3 * f + 1), corner(e, 3 * f + 2)};
    wide area = cross2(minus(p[1], p[0]), minus(p[2], p[0]));
    if (area <= 0) return QL_OK;
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
            wide w[3];
            for (int k = 0; k < 3; ++k) w[k] = cross2(minus(p[(k + 2) % 3], p[(k + 1) % 3]), minus(at, p[(k + 1) % 3]));
            if (w[0] <= 0 || w[1] <= 0 || w[2] <= 0) continue;
            double x[3] = {0, 0, 0};
            for (int k = 0; k < 3; ++k) ql_axpy((double)w[k] / (double)area, ql_at(e->s, e->s->faces[3 * f + k]), x);
            QL_TRY(new_vertex(e, QL_ORIGIN_FACE, f, at, x));
            if (e->face_count[f]++ == 0) e->face_first[f] = e->out->vertex_count;
            for (int32_t d = 0; d < 4; ++d) QL_TRY(new_port(e, f, at, d, d, 1));
        }
    return QL_OK;
}

/* The port of the grid vertex at corner h in direction d, which lies within a quarter turn of the corner to the left or to
 * the right: goes from corner to corner until one has it. */
static int32_t port_at_corner(const extraction *e, int32_t h, int32_t d, int to_left)
{
    for (int32_t step = 0; h >= 0 && step < 64; ++step) {
        int32_t i = e->corner_port[4 * (int64_t)h + d] - 1;
        if (i >= 0) return i;
        int32_t over = to_left ? ql_previous(h) : h, next = to_left ? ql_turn_left(e->s, h) : ql_turn_right(e->s, h);
        d = (d + e->matching[over]) & 3;
        h = next;
    }
    return -1;
}

/* The port at grid point `at` of face f (whose orientation tests against the edges are o[3]) in direction d; -1 = none. */
static int32_t port_at(const extraction *e, int32_t f, point at, const wide o[3], int32_t d, int to_left)
{
    int32_t zeros = (o[0] == 0) + (o[1] == 0) + (o[2] == 0), v = -1;
    if (zeros == 0) {
        for (int32_t i = 0; i < e->face_count[f]; ++i) {
            int32_t g = e->face_first[f] - 1 + i;
            if (e->place[g].x == at.x && e->place[g].y == at.y) v = g;
        }
    } else if (zeros == 1) {
        int32_t h = 3 * f + (o[0] == 0 ? 0 : o[1] == 0 ? 1 : 2), g = e->s->opposite[h];
        if (g >= 0 && g < h) {
            at = across(e, h, at);
            d = (d + e->matching[h]) & 3;
            h = g;
        }
        for (int32_t i = 0; i < e->edge_count[h]; ++i) {
            int32_t w = e->edge_first[h] - 1 + i;
            if (e->place[w].x == at.x && e->place[w].y == at.y) v = w;
        }
    } else {
        int32_t h = 3 * f + (o[0] != 0 ? 2 : o[1] != 0 ? 0 : 1); /* the corner that both zero edges share */
        return port_at_corner(e, h, d, to_left);
    }
    for (int32_t i = v < 0 ? 0 : e->port_start[v]; v >= 0 && i < e->port_start[v + 1]; ++i)
        if (e->port[i].home == d) return i;
    return -1;
}

/* Whether the shifted point lies in the closed image of face f (positive orientation); o gets the edge tests. */
static int contains(const extraction *e, int32_t f, point at, point shift, wide o[3])
{
    for (int k = 0; k < 3; ++k) {
        point a = corner(e, 3 * f + k), edge = minus(corner(e, 3 * f + (k + 1) % 3), a);
        o[k] = cross2(edge, minus(at, a));
        if (o[k] < 0 || (o[k] == 0 && cross2(edge, shift) < 0)) return 0;
    }
    return 1;
}

/* Follows a port one cell; returns the port that looks back from there, -1 = left through the boundary or lost. */
static int32_t trace(extraction *e, int32_t which, int *left_surface)
{
    const port *start = &e->port[which];
    int32_t f = start->face, d = start->direction;
    point at = start->at;
    *left_surface = 0;
    for (int32_t step = 0; step < 100000; ++step) {
        point way = unit(d), target = plus(at, way), shift = turned(way, start->side > 0 ? 1 : 3);
        wide o[3];
        if (ql_extract_orientation(e->uv, f) > 0) {
            if (contains(e, f, target, shift, o)) return port_at(e, f, target, o, (d + 2) & 3, start->side > 0);
        }
        int32_t leave = -1;
        int side[3];
        for (int k = 0; k < 3; ++k) {
            side[k] = sign_of(cross2(way, minus(corner(e, 3 * f + k), at)));
            if (side[k] == 0) side[k] = -start->side;
        }
        for (int k = 0; k < 3; ++k)
            if (side[k] < 0 && side[(k + 1) % 3] > 0) leave = 3 * f + k;
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

static ql_status link_ports(extraction *e)
{
    uint8_t *outside = NULL;
    QL_TRY(QL_TAKE(e->link, e->ports + 1));
    QL_TRY(QL_TAKE(outside, e->ports + 1));
    for (int32_t i = 0; i < e->ports; ++i) {
        int left_surface;
        e->link[i] = trace(e, i, &left_surface);
        outside[i] = (uint8_t)left_surface;
    }
    for (int32_t i = 0; i < e->ports; ++i) { /* a link must be mutual */
        int32_t j = e->link[i];
        if (j < 0) {
            e->out->loose += !outside[i];
            continue;
        }
        if (e->link[j] == i) continue;
        e->out->loose++;
        outside[i] = 2;
    }
    for (int32_t i = 0; i < e->ports; ++i)
        if (outside[i] == 2) e->link[i] = -1;
    ql_free(outside);
    return QL_OK;
}

/* The next half-edge of the face on the left: clockwise from the port that looks back to the next one that is linked. Ports
 * lost in a fold are passed over, so a fold leaves one larger face instead of a hole. */
static int32_t walk_on(const extraction *e, int32_t i)
{
    int32_t j = e->link[i];
    if (j < 0) return -1;
    int32_t v = e->port[j].vertex, first = e->port_start[v], last = e->port_start[v + 1] - 1;
    for (int32_t k = j - 1, step = first; step <= last; --k, ++step) {
        if (k < first) {
            if (e->open[v]) return -1;
            k = last;
        }
        if (e->link[k] >= 0) return k;
    }
    return -1;
}

/* Grid vertices inside the surface that hang on a single link are dropped, and what hangs on them. */
static ql_status prune_dangling(extraction *e)
{
    int32_t *stack = NULL, *count = NULL, top = 0;
    ql_status status = QL_TAKE(stack, e->out->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(count, e->out->vertex_count + 1);
    for (int32_t v = 0; status == QL_OK && v < e->out->vertex_count; ++v) {
        for (int32_t i = e->port_start[v]; i < e->port_start[v + 1]; ++i) count[v] += e->link[i] >= 0;
        if (count[v] == 1) stack[top++] = v;
    }
    while (status == QL_OK && top > 0) {
        int32_t v = stack[--top];
        for (int32_t i = e->port_start[v]; i < e->port_start[v + 1]; ++i) {
            int32_t j = e->link[i];
            if (j < 0) continue;
            int32_t w = e->port[j].vertex;
            e->link[i] = -1;
            if (e->link[j] == i) e->link[j] = -1;
            if (--count[w] == 1) stack[top++] = w;
        }
        count[v] = 0;
    }
    ql_free(stack);
    ql_free(count);
    return status;
}

static ql_status walk_faces(extraction *e)
{
    ql_polygons *out = e->out;
    uint8_t *used = NULL;
    QL_TRY(QL_TAKE(used, e->ports + 1));
    ql_status status = QL_TAKE(out->start, e->ports + 2);
    if (status == QL_OK) status = QL_TAKE(out->corner, 2 * (int64_t)e->ports + 8);
    int32_t n = 0;
    for (int32_t i = 0; status == QL_OK && i < e->ports; ++i) {
        if (used[i]) continue;
        int32_t begin = n, j = i, closed = 0;
        while (j >= 0 && !used[j] && n - begin < 256) {
            used[j] = 1;
            out->corner[n++] = e->port[j].vertex;
            j = walk_on(e, j);
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
    QL_TRY(QL_TAKE(e->vertex_grid, e->s->vertex_count + 1));
    QL_TRY(QL_TAKE(e->edge_first, halves));
    QL_TRY(QL_TAKE(e->edge_count, halves));
    QL_TRY(QL_TAKE(e->face_first, e->s->face_count));
    QL_TRY(QL_TAKE(e->face_count, e->s->face_count));
    QL_TRY(QL_TAKE(e->port_start, 1));
    return QL_OK;
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
    if (status == QL_OK) status = link_ports(&e);
    if (status == QL_OK) status = prune_dangling(&e);
    if (status == QL_OK) status = walk_faces(&e);
    if (status == QL_OK) status = drop_unused(&e);
    ql_free(e.port);
    ql_free(e.port_start);
    ql_free(e.place);
    ql_free(e.open);
    ql_free(e.corner_port);
    ql_free(e.vertex_grid);
    ql_free(e.edge_first);
    ql_free(e.edge_count);
    ql_free(e.face_first);
    ql_free(e.face_count);
    ql_free(e.link);
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
