/* Initial parameters (method, section 2): a pure function of the key. */
#ifndef QL_MODEL_INITIAL_H
#define QL_MODEL_INITIAL_H

#include "base/random.h"

#include <stdbool.h>

/* Fills all QL_PARAMETER_COUNT entries. */
void ql_initial_parameters(ql_key key, float *parameters);

/* The same with the widest vectors of this processor or with those that every one has: for tests that both give the same bytes. */
void ql_initial_parameters_by(ql_key key, bool wide, float *parameters);

#endif
