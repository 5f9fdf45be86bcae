/* A plain smooth cross field with features fixed: the honest baseline and a rung of the ladder.
 *
 * z_f = exp(4 i phi_f) per face is diffused with the connection Laplacian of the dual graph and brought back to unit
 * length, again and again with a shrinking time step (Merriman-Bence-Osher iteration for cross fields: Viertel and Osting
 * 2019). This approximates minimisers of the Ginzburg-Landau energy and cancels close pairs of opposite singularities.
 */
#ifndef QL_FIELD_SMOOTH_H
#define QL_FIELD_SMOOTH_H

#include "field/cross_surface.h"

/* phi: F angles as in field/cross.h (out). Faces with a feature edge follow it. `guide`: angles of a field to start from
 * and stay near, or NULL. `edge` is the wanted quad edge: detail of that size is smoothed away. */
ql_status ql_smooth_field(const ql_surface *surface, const double *guide, double edge, double *phi);

#endif
