/* Whether a run directory can be continued with these options. */
#ifndef QL_SWEEP_CONTINUE_H
#define QL_SWEEP_CONTINUE_H

#include "base/options.h"

/* Compares with RUN_DIR/run.yaml the options that decide results. QL_STATUS_CONFIG names the first that differs, both values
 * and the remedy. Fine when there is no run.yaml, or nothing in the directory was made with it yet. */
ql_status ql_continue_check(const char *run_directory, const ql_options *options);

#endif
