/* Engine cuda's arithmetic on the host (tests only). */
#ifndef QL_CUDA_HOST_ENGINE_H
#define QL_CUDA_HOST_ENGINE_H

#ifdef __cplusplus
#include <stdint.h>
extern "C" {
#endif
#include "engine/engine.h"

extern const ql_engine_class ql_engine_cuda_on_host;

#ifdef __cplusplus
}
#endif

#endif
