/* Open edges at one place become one edge (see seams.h). */
#include "mesh/seams.h"

#include "base/memory.h"
#include "mesh/topology.h"

#include <stdlib.h>
#include <string.h>

typedef struct place {
    double x[3];
    int32_t vertex;
} place;

static int compare_places(const void *left, const void *right)
{
    const place *a = left, *b = right;
    for (int k = 0; k < 3; ++k)
        if (a->x[k] != b->x[k]) return a->x[k] < b->x[k] ? -1 : 1;
    return a->vertex < b->vertex ? -1 : a->vertex > b->vertex;
}

static bool same_place(const place *a, const place *b)
{
    return a->x[0] == b->x[0] && a->x[1] == b->x[1] && a->x[2] == b->x[2];
}

/* first[v]: the first vertex at the place of v. Returns in *twins how many vertices are not first at theirs. */
static ql_status find_twins(const ql_mesh *mesh, int32_t *first, int32_t *twins)
{
    place *places;
    QL_TRY(QL_TAKE(places, (size_t)mesh->vertex_count));
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        memcpy(places[v].x, mesh->vertices + 3 * (int64_t)v, sizeof places[v].x);
        places[v].vertex = v;
    }
    qsort(places, (size_t)mesh->vertex_count, sizeof *places, compare_places);
    *twins = 0;
    for (int32_t i = 0; i < mesh->vertex_count; ++i) {
        bool twin = i > 0 && same_place(&places[i], &places[i - 1]);
        first[places[i].vertex] = twin ? first[places[i - 1].vertex] : places[i].vertex;
        *twins += twin;
    }
    ql_free(places);
    return QL_OK;
}

/* A half-edge without a neighbour, by the places of its ends. */
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

static ql_status list_open(const ql_mesh *mesh, const int32_t *first, open_edge **list, int32_t *count)
{
    ql_topology t;
    QL_TRY(ql_topology_build(&t, mesh));
    int32_t n = 0;
    ql_status status = QL_TAKE(*list, (size_t)t.edge_count + 1);
    for (int32_t e = 0; status == QL_OK && e < t.edge_count; ++e) {
        if (t.edge_ptr[e + 1] - t.edge_ptr[e] != 1) continue;
        int32_t h = t.edge_halfedges[t.edge_ptr[e]];
        int32_t a = first[ql_halfedge_from(mesh, h)], b = first[ql_halfedge_to(mesh, h)];
        if (a != b) (*list)[n++] = (open_edge){a < b ? a : b, a < b ? b : a, h};
    }
    ql_topology_destroy(&t);
    if (status == QL_OK) qsort(*list, (size_t)n, sizeof **list, compare_open);
    *count = n;
    return status;
}

static int32_t root_of(int32_t *parent, int32_t v)
{
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
}

static void join(int32_t *parent, int32_t a, int32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

/* The corner opposite a half-edge. */
static int32_t apex(const ql_mesh *mesh, int32_t h) { return ql_halfedge_from(mesh, ql_halfedge_previous(h)); }

/* The ends of an edge without length: its face collapses, and the faces beside it become neighbours. */
static void join_collapsed(const ql_mesh *mesh, const int32_t *first, int32_t *parent)
{
    for (int32_t h = 0; h < 3 * mesh->face_count; ++h) {
        int32_t a = ql_halfedge_from(mesh, h), b = ql_halfedge_to(mesh, h);
        if (first[a] == first[b]) join(parent, a, b);
    }
}

/* Two open edges at one place, but not of the same triangle. */
static void join_pairs(const ql_mesh *mesh, const int32_t *first, const open_edge *list, int32_t count, int32_t *parent)
{
    for (int32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && list[end].low == list[i].low && list[end].high == list[i].high;) ++end;
        if (end - i != 2) continue;
        int32_t g = list[i].halfedge, h = list[i + 1].halfedge;
        if (first[apex(mesh, g)] == first[apex(mesh, h)]) continue;
        int32_t from = ql_halfedge_from(mesh, h), to = ql_halfedge_to(mesh, h);
        bool opposed = first[from] == first[ql_halfedge_to(mesh, g)];
        join(parent, ql_halfedge_from(mesh, g), opposed ? to : from);
        join(parent, ql_halfedge_to(mesh, g), opposed ? from : to);
    }
}

static ql_status join_twins(const ql_mesh *mesh, const int32_t *first, int32_t *parent)
{
    open_edge *list = NULL;
    int32_t count;
    ql_status status = list_open(mesh, first, &list, &count);
    if (status == QL_OK) {
        join_collapsed(mesh, first, parent);
        join_pairs(mesh, first, list, count, parent);
    }
    ql_free(list);
    return status;
}

ql_status ql_mesh_find_seams(const ql_mesh *mesh, int32_t *target, int32_t *count)
{
    int32_t *first, twins = 0;
    QL_TRY(QL_TAKE(first, (size_t)mesh->vertex_count));
    for (int32_t v = 0; v < mesh->vertex_count; ++v) target[v] = v;
    ql_status status = find_twins(mesh, first, &twins);
    if (status == QL_OK && twins > 0) status = join_twins(mesh, first, target);
    *count = 0;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        target[v] = root_of(target, v);
        *count += target[v] != v;
    }
    ql_free(first);
    return status;
}

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
    QL_TRY(QL_TAKE(target, (size_t)mesh->vertex_count));
    ql_status status = ql_mesh_find_seams(mesh, target, &count);
    if (status == QL_OK && count > 0) {
        close_gaps(mesh, target);
        ql_mesh_rehash(mesh);
    }
    ql_free(target);
    return status;
}

ql_status ql_mesh_read_joined(ql_mesh *mesh, const char *path)
{
    QL_TRY(ql_mesh_read(mesh, path));
    ql_status status = ql_mesh_join_seams(mesh);
    if (status != QL_OK) ql_mesh_destroy(mesh);
    return QL_CHAIN(status, "joining the seams of %s", path);
}
