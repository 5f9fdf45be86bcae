/* Seams: where a program that exports a mesh gives every patch vertices of its own (a CAD tessellation, a mesh split for
 * normals or texture), or every triangle (STL), neighbouring faces end in open edges that lie on each other, exactly or as well
 * as the digits of the file allow. They are one edge; taken as two, the surface falls apart, and with it the field. Two open
 * edges at a place are a seam; three or more are not (who belongs to whom is not told there), nor are two of the same triangle
 * (a sheet with a back). The ends of an edge without length are joined as well, so that the faces beside the collapsed one are
 * neighbours. One place is what lies within two millionths of the box's diagonal (six decimal digits).
 */
#ifndef QL_MESH_SEAMS_H
#define QL_MESH_SEAMS_H

#include "mesh/topology.h"

/* target (vertex_count): the vertex that each becomes, the first of those joined; itself where it stays. *count: how many
 * do not stay. O(E), and O(n log n) for n open edges. Only NO_MEMORY. */
ql_status ql_mesh_find_seams(const ql_mesh *mesh, const ql_topology *topology, int32_t *target, int32_t *count);

/* Joins them: faces keep their numbers, vertices their order, without those joined to another; the hash is that of a file
 * without seams. */
ql_status ql_mesh_join_seams(ql_mesh *mesh);

/* ql_mesh_read, then ql_mesh_join_seams: the mesh that is trained and quadrangulated. */
ql_status ql_mesh_read_joined(ql_mesh *mesh, const char *path);

#endif
