/* The loss as a whole: names and weights of its terms, the shares of each face in the means, schedules.
 * What happens at a single point is in point.h. Method, section 3. */
#ifndef QL_MODEL_LOSS_H
#define QL_MODEL_LOSS_H

#include "base/options.h"
#include "field/tables.h"

/* Terms are reported unweighted; QL_LOSS_TOTAL is the weighted sum that is minimised. */
typedef enum ql_loss_term {
    QL_LOSS_TOTAL,
    QL_LOSS_SDF,
    QL_LOSS_OFF,
    QL_LOSS_EIKONAL,
    QL_LOSS_NORMAL,
    QL_LOSS_ALIGN,
    QL_LOSS_SMOOTH,
    QL_LOSS_COUNT
} ql_loss_term;

const char *ql_loss_name(ql_loss_term term); /* "total", "sdf", ... */

/* Weights of the terms at a step: weight[QL_LOSS_TOTAL] is unused. */
typedef struct ql_loss_weights {
    double weight[QL_LOSS_COUNT];
} ql_loss_weights;

/* Weight of E_normal at `step` of `steps`: `initial` until 20 % of the steps, linear to initial * 0.001 / 3 at 40 %, linear to
 * 0 at the end. The schedule moves at the end of a step, so there is one step of lag (method, section 7). */
double ql_loss_normal_weight(int64_t step, int64_t steps, double initial);

ql_loss_weights ql_loss_weights_at(const ql_train_options *options, int64_t step);

/* total = sum of weight * term. */
double ql_loss_total(const ql_loss_weights *weights, const double terms[QL_LOSS_COUNT]);

/* Shares of each face in the two averaged terms: E_align = sum_i align[i] a_i, E_smooth = sum_i smooth[i] sum_{j in N(i)} s_ij.
 * Averaging by groups of equal neighbour count or over all faces, and the feature weighting, are all in these numbers, so engines know nothing of them. */
typedef struct ql_loss_shares {
    double *align, *smooth; /* F each */
} ql_loss_shares;

/* feature_distance: F distances to the nearest sharp edge in normalised units, or NULL for none. */
ql_status ql_loss_shares_build(ql_loss_shares *shares, const ql_tables *tables, ql_averaging averaging,
                               double feature_rho, const double *feature_distance);
void ql_loss_shares_destroy(ql_loss_shares *shares); /* NULL-safe */

#endif
