/* Twisted tubes. An annulus between two closed feature chains or boundary loops that has no singular vertex and no corner is mapped
 * flat, like a cylinder: the field must arrive at its other end as it left the first one, or no map has a cell. Along a
 * thin tube a quarter turn costs next to no energy (l (pi/2)^2 c / l^2 for length l and girth c), so no smoothing undoes it.
 */
#ifndef QL_FIELD_CROSS_TWIST_H
#define QL_FIELD_CROSS_TWIST_H

#include "field/cross_surface.h"

typedef struct ql_twists {
    int32_t count;
    int32_t
        *turns; /* quarter turns that undo each of them: to be added to the matching of its half-edges, -1, 1 or 2 */
    int32_t *start; /* count + 1 */
    int32_t *half;  /* half-edges over which a closed curve round the tube is crossed in one direction */
} ql_twists;

/* psi, phi, matching, index: see cross.h. */
ql_status ql_twists_find(ql_twists *twists, const ql_surface *surface, const double *psi, const double *phi,
                         const uint8_t *matching, const int32_t *index);
void ql_twists_destroy(ql_twists *twists); /* NULL-safe */

#endif
