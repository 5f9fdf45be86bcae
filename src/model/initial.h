/* Initial parameters (method, section 2): a pure function of the key. */
#ifndef QL_MODEL_INITIAL_H
#define QL_MODEL_INITIAL_H

#include "base/random.h"

/* Fills all QL_PARAMETER_COUNT entries. */
void ql_initial_parameters(ql_key key, float *parameters);

#endif
