/* Engine cuda where it is not compiled in: listed, and says how to get it. */
#include "engine/engine.h"

#define HOW "not compiled in; configure with -DQL_CUDA=ON"

static ql_status cuda_available(void) { return QL_FAIL(ENVIRONMENT, HOW); }

const ql_engine_class ql_engine_cuda = {.name = "cuda", .summary = HOW, .available = cuda_available};
