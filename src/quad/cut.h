/* Combing a cross field and cutting the surface open to a disk.
 *
 * The dual spanning tree rotates every face's axes so that the matching is 0 across tree edges; the edges that the tree does
 * not cross, pruned from loose ends that are not singular, are the seams (tree and cotree: generators of handles come out
 * by themselves). Seams fall into segments between nodes; across one segment the matching is constant.
 */
#ifndef QL_QUAD_CUT_H
#define QL_QUAD_CUT_H

#include "field/cross_surface.h"

typedef struct ql_cut {
    double *psi;       /* 3F: half-edge angles (field/cross.h) */
    double *phi;       /* F: angle of the chart's u axis, combed */
    double *scale;     /* F: wished gradient of the map, in cells per quad edge (field/cross_scale.h) */
    uint8_t *matching; /* 3F: after combing; 0 off the seams */
    int32_t *index;    /* V: quarter turns */
    int32_t *
        segment; /* 3F: 0 = no seam; s + 1 where the half-edge runs along segment s, -(s + 1) where it runs against it */
    int32_t segments;
    int32_t singular; /* interior vertices of index != 0 */
} ql_cut;

/* phi: F angles of the cross field; matching: 3F, or NULL for the nearest one. Checks that the cut surface is a disk (INTERNAL otherwise). One component. */
ql_status ql_cut_create(ql_cut *cut, const ql_surface *surface, const double *phi, const uint8_t *matching);
void ql_cut_destroy(ql_cut *cut); /* NULL-safe */

#endif
