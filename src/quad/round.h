/* Integers for the map: greedy rounding on the dense Schur complement, then local search.
 *
 * minimise 1/2 z'Sz - b'z over integers. Greedy: the variable nearest to an integer is fixed, the others follow by a rank-one
 * update of the inverse (Bommes et al. 2009, section 4). Local search: steps of +-1, one or two at a time, mend conditions of the
 * form a'z >= 1 (two nodes that must not fall together); what is left broken gains weight until it holds (Morris 1993, "The
 * breakout method for escaping from local minima"); then single steps while they lower the energy and break nothing.
 */
#ifndef QL_QUAD_ROUND_H
#define QL_QUAD_ROUND_H

#include "base/status.h"

#include <stdint.h>

/* sum of coefficient[k] * z[variable[k]] over start[i] <= k < start[i + 1] must be at least `least[i]`. */
typedef struct ql_conditions {
    int32_t count, room, terms, term_room;
    int32_t *start;
    double *least;
    int32_t *variable;
    double *coefficient;
} ql_conditions;

ql_status ql_conditions_add(ql_conditions *conditions, const int32_t *variable, const double *coefficient,
                            int32_t terms, double least);
void ql_conditions_destroy(ql_conditions *conditions); /* NULL-safe */

/* `schur` is count x count; z (out) has integer values. Returns in *broken how many conditions do not hold, in
 * *work about how many operations it took: bounded but for the cube of `count`. */
ql_status ql_round(const double *schur, const double *linear, int32_t count, const ql_conditions *conditions, double *z,
                   int32_t *broken, int64_t *work);

#endif
