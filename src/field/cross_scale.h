/* The size of quads that a cross field asks for.
 *
 * e^sigma (alpha, beta) is free of curl where the field turns by delta_e across an edge e exactly as sigma changes along it:
 * sigma_i - sigma_j = w_e delta_e for the half-edge from j to i (w_e: dual edge weight). In the least-squares sense that is
 * sum_j (sigma_i - sigma_j) / w_ij = sum of delta over the half-edges that end at i: a Poisson equation whose right side is
 * the angle defect less the singularities (Ben-Chen et al. 2008). A map whose cells follow e^sigma folds less than one
 * that is asked for cells of one size. */
#ifndef QL_FIELD_CROSS_SCALE_H
#define QL_FIELD_CROSS_SCALE_H

#include "field/cross_surface.h"

/* scale: F, e^(share sigma), area-weighted mean of its square 1, between `least` and `most`. delta: see cross_sector.h.
 * share = 0 gives 1 everywhere. */
ql_status ql_cross_scale(const ql_surface *surface, const double *delta, double share, double least, double most,
                         double *scale);

#endif
