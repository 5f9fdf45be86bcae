/* Singularities and smoothness of a cross field given as one angle per face (tables.h frames). */
#ifndef QL_FIELD_SINGULARITY_H
#define QL_FIELD_SINGULARITY_H

#include "field/tables.h"

typedef struct ql_singularities {
    int64_t sum;              /* of indices, quarter turns; 4 chi on a closed, consistently oriented surface */
    int32_t count;            /* vertices of index other than 0 */
    double mismatch_mean_deg; /* mean over neighbour pairs of the angle between crosses, modulo 90 degrees */
} ql_singularities;

/* Index of every interior vertex in quarter turns:
 * (2 pi - sum of corner angles + sum over the faces round it of wrap(theta_j + rho_ij - theta_i)) / (pi/2), wrap into
 * [-pi/4, pi/4) (Ray et al. 2008, "N-symmetry direction field design"). Boundary, non-manifold and
 * inconsistently oriented vertices get 0. index: V numbers. */
ql_status ql_singularities_find(ql_singularities *found, int8_t *index, const ql_mesh *mesh,
                                const ql_topology *topology, const ql_tables *tables, const double *theta);

#endif
