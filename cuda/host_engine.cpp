/* Engine cuda's arithmetic on the host, for tests only: never in the program's list of engines. */
#include "engine_core.h"
#include "host_machine.h"

#include "host_engine.h"

typedef ql_cuda_engine<ql_host_machine> host_engine;

static ql_status create(ql_engine **engine, const ql_engine_setup *setup)
{
    return host_engine::create(engine, setup, &ql_engine_cuda_on_host);
}

extern "C" const ql_engine_class ql_engine_cuda_on_host = {
    "cuda-on-host",
    "engine cuda's bodies in loops on the host",
    ql_host_machine::available,
    host_engine::memory,
    create,
    host_engine::destroy,
    host_engine::evaluate,
    host_engine::apply,
    host_engine::gradient,
    host_engine::theta,
    host_engine::field,
    host_engine::state,
    host_engine::set_state,
    host_engine::flop,
    nullptr,
};
