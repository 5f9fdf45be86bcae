/* Adjacency of a triangle mesh, half-edge style, O(F log F).
 *
 * Half-edge h = 3 f + k runs from corner k of face f to corner k+1. Any input is legal: edges with more than two faces,
 * misoriented pairs and degenerate faces are described, not refused. A face that repeats a vertex has no edges here, so
 * that the two faces beside such a collapsed face are neighbours of each other.
 */
#ifndef QL_MESH_TOPOLOGY_H
#define QL_MESH_TOPOLOGY_H

#include "mesh/mesh.h"

enum { QL_NO_HALFEDGE = -1 };

typedef struct ql_topology {
    int32_t edge_count;
    int32_t *edge_of;        /* 3F: undirected edge of a half-edge; -1 in a face that repeats a vertex */
    int32_t *edge_vertices;  /* edge_count x 2, smaller index first */
    int32_t *edge_ptr;       /* edge_count + 1: CSR into edge_halfedges */
    int32_t *edge_halfedges; /* the half-edges on each edge, ascending */
    int32_t *opposite;       /* 3F: the other half-edge where exactly two faces share the edge (whatever their
                               orientation), else QL_NO_HALFEDGE */
} ql_topology;

ql_status ql_topology_build(ql_topology *topology, const ql_mesh *mesh);
void ql_topology_destroy(ql_topology *topology); /* NULL-safe */

static inline int32_t ql_halfedge_face(int32_t h) { return h / 3; }
static inline int32_t ql_halfedge_next(int32_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
static inline int32_t ql_halfedge_previous(int32_t h) { return h % 3 == 0 ? h + 2 : h - 1; }
static inline int32_t ql_halfedge_from(const ql_mesh *mesh, int32_t h) { return mesh->faces[h]; }
static inline int32_t ql_halfedge_to(const ql_mesh *mesh, int32_t h) { return mesh->faces[ql_halfedge_next(h)]; }

#endif
