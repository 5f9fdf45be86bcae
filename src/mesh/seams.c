/* Open edges at one place become one edge (see seams.h). */
#include "mesh/seams.h"

#include "base/memory.h"
#include "mesh/sets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A surface whose seams are looked for. */
typedef struct search {
    const ql_mesh *mesh;
    const ql_topology *topology;
    double low[3], tolerance; /* corner of the box; so far apart is one place */
    int32_t *place;           /* per vertex, as a union-find: the first vertex at its place */
    int32_t *target;          /* per vertex, as a union-find: the first of those joined */
} search;

/* Two millionths of the box's diagonal: what six decimal digits leave. */
static void measure(search *s)
{
    double high[3], sum = 0.0;
    for (int k = 0; k < 3; ++k) {
        s->low[k] = HUGE_VAL;
        high[k] = -HUGE_VAL;
    }
    for (int64_t c = 0; c < 3 * (int64_t)s->mesh->face_count; ++c)
        for (int k = 0; k < 3; ++k) {
            double x = s->mesh->vertices[3 * (int64_t)s->mesh->faces[c] + k];
            s->low[k] = fmin(s->low[k], x);
            high[k] = fmax(high[k], x);
        }
    for (int k = 0; k < 3; ++k) sum += (high[k] - s->low[k]) * (high[k] - s->low[k]);
    s->tolerance = 2e-6 * sqrt(sum);
}

static bool at_one_place(const search *s, int32_t a, int32_t b)
{
    double sum = 0.0;
    for (int k = 0; k < 3; ++k) {
        double d = s->mesh->vertices[3 * (int64_t)a + k] - s->mesh->vertices[3 * (int64_t)b + k];
        sum += d * d;
    }
    return sum <= s->tolerance * s->tolerance;
}

/* ---- which vertices share a place ---- */

/* A vertex in a grid whose cells are wider than the tolerance: others at its place lie in its cell or one beside it. */
typedef struct grid_entry {
    int32_t cell[3], vertex;
} grid_entry;

static int compare_cells(const void *left, const void *right)
{
    const grid_entry *a = left, *b = right;
    for (int k = 0; k < 3; ++k)
        if (a->cell[k] != b->cell[k]) return a->cell[k] < b->cell[k] ? -1 : 1;
    return 0;
}

static grid_entry enter(const search *s, int32_t vertex)
{
    grid_entry entry = {.vertex = vertex};
    double width = fmax(2.0 * s->tolerance, 1e-300);
    for (int k = 0; k < 3; ++k)
        entry.cell[k] = (int32_t)((s->mesh->vertices[3 * (int64_t)vertex + k] - s->low[k]) / width);
    return entry;
}

/* Ends of open edges, each once, by cells. */
static int32_t fill_grid(const search *s, grid_entry *grid)
{
    const ql_topology *t = s->topology;
    int32_t count = 0;
    for (int32_t v = 0; v < s->mesh->vertex_count; ++v) s->place[v] = -1;
    for (int32_t e = 0; e < t->edge_count; ++e) {
        if (t->edge_ptr[e + 1] - t->edge_ptr[e] != 1) continue;
        for (int k = 0; k < 2; ++k) {
            int32_t v = t->edge_vertices[2 * (int64_t)e + k];
            if (s->place[v] < 0) grid[count++] = enter(s, v);
            s->place[v] = v;
        }
    }
    for (int32_t v = 0; v < s->mesh->vertex_count; ++v) s->place[v] = v;
    qsort(grid, (size_t)count, sizeof *grid, compare_cells);
    return count;
}

/* The first entry whose cell is not before the key's. */
static int32_t lower_bound(const grid_entry *grid, int32_t count, const grid_entry *key)
{
    int32_t begin = 0, end = count;
    while (begin < end) {
        int32_t middle = begin + (end - begin) / 2;
        if (compare_cells(&grid[middle], key) < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Compares an entry with those of three cells along the last axis. */
static void look_along(const search *s, const grid_entry *grid, int32_t count, const grid_entry *entry, int dx, int dy)
{
    const grid_entry from = {{entry->cell[0] + dx, entry->cell[1] + dy, entry->cell[2] - 1}, 0};
    const grid_entry to = {{from.cell[0], from.cell[1], entry->cell[2] + 1}, 0};
    for (int32_t i = lower_bound(grid, count, &from); i < count && compare_cells(&grid[i], &to) <= 0; ++i)
        if (grid[i].vertex < entry->vertex && at_one_place(s, grid[i].vertex, entry->vertex))
            (void)ql_set_join(s->place, grid[i].vertex, entry->vertex);
}

static ql_status find_places(const search *s)
{
    grid_entry *grid;
    QL_TRY(QL_TAKE(grid, 2 * (int64_t)s->topology->edge_count + 1));
    int32_t count = fill_grid(s, grid);
    for (int32_t i = 0; i < count; ++i)
        for (int dx = -1; dx <= 1; ++dx)
            for (int dy = -1; dy <= 1; ++dy) look_along(s, grid, count, &grid[i], dx, dy);
    ql_free(grid);
    return QL_OK;
}

/* ---- which edges are one ---- */

/* An edge of one face, by the places of its ends. */
typedef struct open_edge {
    int32_t low, high, halfedge;
} open_edge;

static int compare_open(const void *left, const void *right)
{
    const open_edge *a = left, *b = right;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    return a->halfedge < b->halfedge ? -1 : a->halfedge > b->halfedge;
}

static int32_t list_open(const search *s, open_edge *list)
{
    const ql_topology *t = s->topology;
    int32_t count = 0;
    for (int32_t e = 0; e < t->edge_count; ++e) {
        if (t->edge_ptr[e + 1] - t->edge_ptr[e] != 1) continue;
        int32_t h = t->edge_halfedges[t->edge_ptr[e]];
        int32_t a = ql_set_root(s->place, ql_halfedge_from(s->mesh, h)),
                b = ql_set_root(s->place, ql_halfedge_to(s->mesh, h));
        if (a != b) list[count++] = (open_edge){a < b ? a : b, a < b ? b : a, h};
    }
    qsort(list, (size_t)count, sizeof *list, compare_open);
    return count;
}

/* The corner opposite a half-edge. */
static int32_t apex(const ql_mesh *mesh, int32_t h) { return ql_halfedge_from(mesh, ql_halfedge_previous(h)); }

/* Joins the ends of two half-edges at one place, unless their faces are the same triangle. */
static void join_ends(const search *s, int32_t g, int32_t h)
{
    if (at_one_place(s, apex(s->mesh, g), apex(s->mesh, h))) return;
    int32_t from = ql_halfedge_from(s->mesh, h), to = ql_halfedge_to(s->mesh, h);
    int32_t g_from = ql_halfedge_from(s->mesh, g), g_to = ql_halfedge_to(s->mesh, g);
    bool same_way = ql_set_root(s->place, from) == ql_set_root(s->place, g_from);
    (void)ql_set_join(s->target, g_from, same_way ? from : to);
    (void)ql_set_join(s->target, g_to, same_way ? to : from);
}

static ql_status join_open(const search *s)
{
    open_edge *list;
    QL_TRY(QL_TAKE(list, s->topology->edge_count + 1));
    int32_t count = list_open(s, list);
    for (int32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && list[end].low == list[i].low && list[end].high == list[i].high;) ++end;
        if (end - i == 2) join_ends(s, list[i].halfedge, list[i + 1].halfedge);
    }
    ql_free(list);
    return QL_OK;
}

/* The ends of an edge without length: its face collapses, and the faces beside it become neighbours. */
static void join_collapsed(const search *s)
{
    for (int32_t h = 0; h < 3 * s->mesh->face_count; ++h) {
        int32_t a = ql_halfedge_from(s->mesh, h), b = ql_halfedge_to(s->mesh, h);
        if (a != b && at_one_place(s, a, b)) (void)ql_set_join(s->target, a, b);
    }
}

ql_status ql_mesh_find_seams(const ql_mesh *mesh, const ql_topology *topology, int32_t *target, int32_t *count)
{
    search s = {.mesh = mesh, .topology = topology, .target = target};
    QL_TRY(QL_TAKE(s.place, mesh->vertex_count));
    for (int32_t v = 0; v < mesh->vertex_count; ++v) target[v] = v;
    measure(&s);
    join_collapsed(&s);
    ql_status status = find_places(&s);
    if (status == QL_OK) status = join_open(&s);
    *count = 0;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        target[v] = ql_set_root(target, v);
        *count += target[v] != v;
    }
    ql_free(s.place);
    return status;
}

/* ---- a mesh without them ---- */

/* Renumbers faces and closes the gaps that joined vertices leave; the order of the others stays. */
static void close_gaps(ql_mesh *mesh, int32_t *target)
{
    int32_t kept = 0;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        if (target[v] != v) { /* the other one comes before it and has its new number */
            target[v] = target[target[v]];
            continue;
        }
        memmove(mesh->vertices + 3 * (int64_t)kept, mesh->vertices + 3 * (int64_t)v, 3 * sizeof *mesh->vertices);
        target[v] = kept++;
    }
    for (int64_t i = 0; i < 3 * (int64_t)mesh->face_count; ++i) mesh->faces[i] = target[mesh->faces[i]];
    mesh->vertex_count = kept;
}

ql_status ql_mesh_join_seams(ql_mesh *mesh)
{
    int32_t *target, count = 0;
    ql_topology topology;
    QL_TRY(ql_topology_build(&topology, mesh));
    ql_status status = QL_TAKE(target, mesh->vertex_count);
    if (status == QL_OK) status = ql_mesh_find_seams(mesh, &topology, target, &count);
    if (status == QL_OK && count > 0) {
        close_gaps(mesh, target);
        ql_mesh_rehash(mesh);
    }
    ql_free(target);
    ql_topology_destroy(&topology);
    return status;
}

ql_status ql_mesh_read_joined(ql_mesh *mesh, const char *path)
{
    QL_TRY(ql_mesh_read(mesh, path));
    ql_status status = ql_mesh_join_seams(mesh);
    if (status != QL_OK) ql_mesh_destroy(mesh);
    return QL_CHAIN(status, "joining the seams of %s", path);
}
