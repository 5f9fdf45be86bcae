/* Surfaces given as the zero set of a function: polygonised on a grid, then made regular. Internal to the floor `mesh`. */
#ifndef QL_MESH_IMPLICIT_H
#define QL_MESH_IMPLICIT_H

#include "mesh/mesh.h"

/* Negative inside, about the signed distance near the surface. */
typedef struct ql_implicit {
    double (*value)(const void *shape, const double point[3]);
    const void *shape;
    double low[3], high[3]; /* a box with the surface inside */
} ql_implicit;

/* Triangles of the surface on a grid with `cells` cells along the longest side of the box: one vertex in every cell that
 * the surface crosses, one quad, cut in two, around every grid edge that it crosses. */
ql_status ql_implicit_polygonise(ql_mesh *mesh, const char *name, const ql_implicit *surface, int cells);

/* Rounds of Delaunay flips, tangential smoothing and projection to the surface. The mesh must be closed and manifold. */
ql_status ql_implicit_regularise(ql_mesh *mesh, const ql_implicit *surface, int rounds);

#endif
