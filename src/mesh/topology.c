/* Edges of a mesh by sorting: half-edges are dealt into buckets by their smaller vertex (counting sort), each
 * bucket is sorted by (larger vertex, half-edge). O(F log F) whatever the degrees, no hash table, the same
 * result on every machine.
 */
#include "mesh/topology.h"

#include "base/memory.h"

#include <stdlib.h>

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_u64(uint64_t *keys, size_t count)
{
    if (count > 32) {
        qsort(keys, count, sizeof *keys, compare_u64);
        return;
    }
    for (size_t i = 1; i < count; ++i) {
        uint64_t key = keys[i];
        size_t j = i;
        for (; j > 0 && keys[j - 1] > key; --j) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Faces that name a vertex twice have no edges. */
static bool face_has_edges(const int32_t *corner)
{
    return corner[0] != corner[1] && corner[1] != corner[2] && corner[2] != corner[0];
}

/* Half-edges as keys (larger vertex << 32 | half-edge), grouped by smaller vertex; ptr has vertex_count + 1
 * entries. */
static void deal_halfedges(const ql_mesh *mesh, int64_t *ptr, uint64_t *keys)
{
    for (int pass = 0; pass < 2; ++pass) {
        for (int32_t f = 0; f < mesh->face_count; ++f) {
            const int32_t *corner = mesh->faces + 3 * (size_t)f;
            if (!face_has_edges(corner)) continue;
            for (int k = 0; k < 3; ++k) {
                int32_t a = corner[k], b = corner[k == 2 ? 0 : k + 1];
                int32_t low = a < b ? a : b, high = a < b ? b : a;
                if (pass == 0)
                    ptr[low + 1]++;
                else
                    keys[ptr[low]++] = (uint64_t)high << 32 | (uint64_t)(3 * f + k);
            }
        }
        if (pass == 0)
            for (int32_t v = 0; v < mesh->vertex_count; ++v) ptr[v + 1] += ptr[v];
    }
    for (int32_t v = mesh->vertex_count; v > 0; --v) ptr[v] = ptr[v - 1]; /* dealing moved every start to its end */
    ptr[0] = 0;
}

static int32_t sort_and_count(const ql_mesh *mesh, const int64_t *ptr, uint64_t *keys)
{
    int32_t edges = 0;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        sort_u64(keys + ptr[v], (size_t)(ptr[v + 1] - ptr[v]));
        for (int64_t i = ptr[v]; i < ptr[v + 1]; ++i) edges += i == ptr[v] || keys[i] >> 32 != keys[i - 1] >> 32;
    }
    return edges;
}

static void fill_edges(ql_topology *topology, const ql_mesh *mesh, const int64_t *ptr, const uint64_t *keys)
{
    int32_t edge = -1;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        for (int64_t i = ptr[v]; i < ptr[v + 1]; ++i) {
            int32_t high = (int32_t)(keys[i] >> 32), h = (int32_t)(keys[i] & 0xFFFFFFFFu);
            if (i == ptr[v] || keys[i] >> 32 != keys[i - 1] >> 32) {
                ++edge;
                topology->edge_vertices[2 * (size_t)edge] = v;
                topology->edge_vertices[2 * (size_t)edge + 1] = high;
                topology->edge_ptr[edge] = (int32_t)i;
            }
            topology->edge_halfedges[i] = h;
            topology->edge_of[h] = edge;
        }
    }
    topology->edge_ptr[topology->edge_count] = (int32_t)ptr[mesh->vertex_count];
    for (int32_t e = 0; e < topology->edge_count; ++e) {
        const int32_t *h = topology->edge_halfedges + topology->edge_ptr[e];
        if (topology->edge_ptr[e + 1] - topology->edge_ptr[e] != 2) continue;
        topology->opposite[h[0]] = h[1];
        topology->opposite[h[1]] = h[0];
    }
}

static ql_status build(ql_topology *topology, const ql_mesh *mesh, int64_t *ptr, uint64_t *keys)
{
    size_t halfedges = 3 * (size_t)mesh->face_count;
    deal_halfedges(mesh, ptr, keys);
    topology->edge_count = sort_and_count(mesh, ptr, keys);
    QL_TRY(QL_TAKE(topology->edge_of, halfedges));
    QL_TRY(QL_TAKE(topology->opposite, halfedges));
    QL_TRY(QL_TAKE(topology->edge_halfedges, ptr[mesh->vertex_count]));
    QL_TRY(QL_TAKE(topology->edge_vertices, 2 * (size_t)topology->edge_count));
    QL_TRY(QL_TAKE(topology->edge_ptr, (size_t)topology->edge_count + 1));
    for (size_t h = 0; h < halfedges; ++h) topology->edge_of[h] = topology->opposite[h] = QL_NO_HALFEDGE;
    fill_edges(topology, mesh, ptr, keys);
    return QL_OK;
}

ql_status ql_topology_build(ql_topology *topology, const ql_mesh *mesh)
{
    *topology = (ql_topology){0};
    int64_t *ptr = NULL;
    uint64_t *keys = NULL;
    ql_status status = QL_TAKE(ptr, (size_t)mesh->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(keys, 3 * (size_t)mesh->face_count);
    if (status == QL_OK) status = build(topology, mesh, ptr, keys);
    ql_free(ptr);
    ql_free(keys);
    if (status != QL_OK) ql_topology_destroy(topology);
    return status;
}

void ql_topology_destroy(ql_topology *topology)
{
    if (topology == NULL) return;
    ql_free(topology->edge_of);
    ql_free(topology->edge_vertices);
    ql_free(topology->edge_ptr);
    ql_free(topology->edge_halfedges);
    ql_free(topology->opposite);
    *topology = (ql_topology){0};
}
