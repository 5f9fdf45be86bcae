/* Fewer singularities at a price: clean-up of a cross field before any map.
 *
 * A field is angles phi and integer matchings p; delta_h = turn of the field across half-edge h against parallel transport
 * is affine in both, and E(p) = min over phi of sum w delta^2 (features fixed) is the Dirichlet energy that the
 * singularities of p cost (Bommes et al. 2009, eq. 2; Crane et al. 2010). Moving an index I from vertex a to vertex b adds
 * I pi/2 to delta along a path of edges; the new energy is exact with one solve. Clean-up, in this order:
 *   1. sectors of feature vertices (between two feature edges) get a number of quads that fits their angle, see
 *      ql_cross_sector_fits: an acute corner at least one, a straight line never one;
 *   2. the transport (cancelling an opposite pair, or pushing a singular vertex to a boundary or crease that takes it) that
 *      lowers E + price * (irregular vertices) most is done, until none does.
 *   3. tubes without singular vertices are untwisted (cross_twist.h).
 * Between steps singular vertices drift to where E is least.
 */
#ifndef QL_FIELD_CROSS_CLEAN_H
#define QL_FIELD_CROSS_CLEAN_H

#include "field/cross_surface.h"

#include <stdbool.h>

typedef struct ql_clean_report {
    int32_t before, after; /* singular vertices off the boundary */
    int32_t sectors;       /* corrected sectors of feature vertices */
    int32_t transports;    /* accepted moves of step 2 */
    int32_t untwisted;     /* tubes of step 3 */
    double energy;         /* E at the end, radians^2 */
    int64_t work;          /* about how many operations step 2 took; bounded, then no more transports are looked for */
} ql_clean_report;

typedef struct ql_clean_options {
    double
        price; /* energy (radians^2; a lone pair of index +-1 at distance d costs about pi/4 log(d / edge)) that one irregular
                       vertex less is worth; 0 = step 1 and drift only */
    bool follow; /* the turns of the field as it comes cost nothing (a trained field: angles stay but where something is
                       moved), only departures from it do */
    int32_t most; /* transports at most */
    int32_t
        second; /* for the transport after so many the second best one is taken: a field of nearly the same energy but
                       another topology; -1 = never */
} ql_clean_options;

/* phi (F) and matching (3F) are changed. */
ql_status ql_cross_clean(const ql_surface *surface, const ql_clean_options *options, double *phi, uint8_t *matching,
                         ql_clean_report *report);

#endif
