/* Cross fields on a surface: matching between neighbours, indices of vertices.
 *
 * A cross is one unit direction alpha per face (beta = normal x alpha); its axes 0..3 are alpha, beta, -alpha, -beta.
 */
#ifndef QL_FIELD_CROSS_H
#define QL_FIELD_CROSS_H

#include "field/cross_surface.h"

/* Angle of each half-edge in its face's frame (x along half-edge 0 of the face, counter-clockwise), radians: psi, 3F. */
void ql_cross_edge_angles(const ql_surface *surface, double *psi);

/* Angle of alpha in the same frame; alpha (F x 3) need not be unit or tangent, zero gives 0. And back. */
void ql_cross_angles(const ql_surface *surface, const double *alpha, double *phi);
void ql_cross_directions(const ql_surface *surface, const double *phi, double *alpha);

/* matching[h] in 0..3: axis a of the face of h continues as axis (a + matching[h]) mod 4 of the face across h, the faces
 * unfolded about their edge; 0 at the boundary. matching[opposite[h]] = (4 - matching[h]) mod 4. */
void ql_cross_matching(const ql_surface *surface, const double *psi, const double *phi, uint8_t *matching);

/* index[v] in quarter turns: 4 - (quads that a map would put around v) inside, 2 - that at the boundary. On a closed
 * surface the sum is 4 times the Euler characteristic, and with a boundary that the field follows, too. */
void ql_cross_indices(const ql_surface *surface, const double *psi, const double *phi, const uint8_t *matching,
                      int32_t *index);

/* Weights of dual edges for Dirichlet energies of fields: edge length over distance of centroids (1.5 l^2 / sum of areas),
 * bounded against slivers; 3F, 0 at the boundary. */
void ql_cross_weights(const ql_surface *surface, double *weight);

#endif
