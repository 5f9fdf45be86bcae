/* What is read off the trained networks: the cross field in input coordinates, curvature directions, singularities. */
#ifndef QL_TRAIN_FIELD_RESULT_H
#define QL_TRAIN_FIELD_RESULT_H

#include "train/train.h"

typedef struct ql_field_source {
    const ql_mesh *mesh;
    const ql_topology *topology;
    const ql_tables *tables;
    ql_engine *engine;
    struct ql_comm *group; /* NULL or of one rank: alone */
} ql_field_source;

/* Collective over the group. Takes the arrays of `result` and fills them (stochastic depth off); sets counts and singularities, nothing else. On failure what
 * was taken stays in `result`, for ql_train_result_destroy. */
ql_status ql_train_result_evaluate(ql_train_result *result, const ql_field_source *source);

#endif
