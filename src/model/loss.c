/* Weights, schedule and shares (see loss.h). */
#include "model/loss.h"

#include "base/memory.h"

#include <math.h>

const char *ql_loss_name(ql_loss_term term)
{
    static const char *const names[QL_LOSS_COUNT] = {"total", "sdf", "off", "eikonal", "normal", "align", "smooth"};
    return names[term];
}

double ql_loss_normal_weight(int64_t step, int64_t steps, double initial)
{
    if (step <= 0) return initial;
    double done = (double)(step - 1) / (double)steps, knee = initial * (0.001 / 3.0);
    if (done < 0.2) return initial;
    if (done < 0.4) return initial + (knee - initial) * (done - 0.2) / 0.2;
    return knee * (1.0 - (done - 0.4) / 0.6);
}

ql_loss_weights ql_loss_weights_at(const ql_train_options *options, int64_t step)
{
    ql_loss_weights weights = {{0}};
    weights.weight[QL_LOSS_SDF] = options->weight_sdf;
    weights.weight[QL_LOSS_OFF] = options->weight_off;
    weights.weight[QL_LOSS_EIKONAL] = options->weight_eikonal;
    weights.weight[QL_LOSS_NORMAL] = ql_loss_normal_weight(step, options->steps, options->weight_normal);
    weights.weight[QL_LOSS_ALIGN] = options->weight_align;
    weights.weight[QL_LOSS_SMOOTH] = options->weight_smooth;
    return weights;
}

double ql_loss_total(const ql_loss_weights *weights, const double terms[QL_LOSS_COUNT])
{
    double total = 0;
    for (int term = QL_LOSS_SDF; term < QL_LOSS_COUNT; ++term) total += weights->weight[term] * terms[term];
    return total;
}

/* Share of a face in a group mean: 1 / (groups * faces in its group), a group being the faces with the same number of
 * neighbours (0 counts as a group for alignment only where no face has a neighbour at all). */
static void group_shares(const ql_tables *tables, ql_loss_shares *shares)
{
    enum { MOST = 4 };
    int64_t members[MOST] = {0};
    for (int32_t i = 0; i < tables->face_count; ++i) members[tables->neighbour_ptr[i + 1] - tables->neighbour_ptr[i]]++;
    int groups = (members[1] > 0) + (members[2] > 0) + (members[3] > 0);
    for (int32_t i = 0; i < tables->face_count; ++i) {
        int32_t count = tables->neighbour_ptr[i + 1] - tables->neighbour_ptr[i];
        if (count == 0) {
            shares->align[i] = groups == 0 ? 1.0 / (double)members[0] : 0.0;
            continue;
        }
        shares->align[i] = 1.0 / ((double)groups * (double)members[count]);
        shares->smooth[i] = shares->align[i] / (double)count;
    }
}

static void face_shares(const ql_tables *tables, ql_loss_shares *shares)
{
    int32_t pairs = tables->neighbour_ptr[tables->face_count];
    for (int32_t i = 0; i < tables->face_count; ++i) {
        shares->align[i] = 1.0 / (double)tables->face_count;
        shares->smooth[i] = pairs > 0 ? 1.0 / (double)pairs : 0.0;
    }
}

ql_status ql_loss_shares_build(ql_loss_shares *shares, const ql_tables *tables, ql_averaging averaging,
                               double feature_rho, const double *feature_distance)
{
    *shares = (ql_loss_shares){0};
    ql_status status;
    QL_TRY_GOTO(status, QL_TAKE(shares->align, tables->face_count), failed);
    QL_TRY_GOTO(status, QL_TAKE(shares->smooth, tables->face_count), failed);
    if (averaging == QL_AVERAGING_GROUPS)
        group_shares(tables, shares);
    else
        face_shares(tables, shares);
    if (feature_rho > 0 && feature_distance != NULL)
        for (int32_t i = 0; i < tables->face_count; ++i) shares->align[i] *= -expm1(-feature_rho * feature_distance[i]);
    return QL_OK;
failed:
    ql_loss_shares_destroy(shares);
    return status;
}

void ql_loss_shares_destroy(ql_loss_shares *shares)
{
    if (shares == NULL) return;
    ql_free(shares->align);
    ql_free(shares->smooth);
    *shares = (ql_loss_shares){0};
}
