/* Engine cuda: the engine of engine_core.h on a GPU. */
#include "engine_core.h"
#include "gpu_machine.h"

typedef ql_cuda_engine<ql_gpu_machine> gpu_engine;

static ql_status create(ql_engine **engine, const ql_engine_setup *setup)
{
    return gpu_engine::create(engine, setup, &ql_engine_cuda);
}

extern "C" const ql_engine_class ql_engine_cuda = {
    "cuda",
    ql_cuda_summary,
    ql_cuda_available,
    gpu_engine::memory,
    create,
    gpu_engine::destroy,
    gpu_engine::evaluate,
    gpu_engine::apply,
    gpu_engine::gradient,
    gpu_engine::theta,
    gpu_engine::field,
    gpu_engine::state,
    gpu_engine::set_state,
    gpu_engine::flop,
    nullptr,
    gpu_engine::device,
    gpu_engine::prepare,
    gpu_engine::discard,
    gpu_engine::at_once,
    true,
    false,
    nullptr, /* no limit to the ranks that find work */
    gpu_engine::advance,
};
