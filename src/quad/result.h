/* What ql_quads_make does with its result (quad.h) beside making quads. */
#ifndef QL_QUAD_RESULT_H
#define QL_QUAD_RESULT_H

#include "quad/polish.h"
#include "quad/prepare.h"
#include "quad/quad.h"

/* Adds the quads of one more component. */
ql_status ql_quad_result_append(ql_quad_result *result, const ql_quads *quads);

/* Judges the result; times and counts of the run that it has already are kept. NUMERIC when it does not verify. */
ql_status ql_quad_result_judge(ql_quad_result *result, const ql_mesh *mesh, double feature_angle_deg);

/* Writes result->note. relaxed: not all sharp edges were kept. */
void ql_quad_result_note(ql_quad_result *result, const ql_prepared *prepared, bool relaxed);

#endif
