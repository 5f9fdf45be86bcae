/* Stands in for engine cpu until src/engine/cpu/ is there: delete this file with its arrival. */
#include "engine/engine.h"

static ql_status cpu_available(void) { return QL_FAIL(ENVIRONMENT, "not compiled in"); }

const ql_engine_class ql_engine_cpu = {.name = "cpu", .summary = "not compiled in", .available = cpu_available};
