/* Tables of a mesh: what training reads of it (method, section 1). Computed in double on the rank that trains. */
#ifndef QL_FIELD_TABLES_H
#define QL_FIELD_TABLES_H

#include "mesh/topology.h"

enum { QL_SIGMA_NEIGHBOUR = 50 };

typedef struct ql_tables {
    int32_t face_count;
    double center[3], scale; /* normalised = (input - center) / scale */
    double *points;          /* F x 3: normalised centroids, in [-1, 1]^3 */
    double *normals, *u, *v; /* F x 3: unit normal and tangent frame; zero for degenerate faces */
    int32_t *neighbour_ptr;  /* F + 1: CSR */
    int32_t *neighbour;      /* faces across edges that exactly two faces share */
    double *transport;       /* per entry: rho_ij, radians, in (-pi, pi] */
    double *sigma;           /* F: distance to the 50th nearest other centroid, normalised units */
} ql_tables;

/* with_sigma = 0 leaves sigma NULL (far sampling does not need it). */
ql_status ql_tables_build(ql_tables *tables, const ql_mesh *mesh, const ql_topology *topology, int with_sigma);
void ql_tables_destroy(ql_tables *tables); /* NULL-safe */

/* Local frame of a unit normal (method, 1.2). */
void ql_frame_of_normal(const double n[3], double u[3], double v[3]);

#endif
