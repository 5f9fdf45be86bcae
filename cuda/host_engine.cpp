/* Engine cuda's arithmetic on the host, for tests only: never in the program's list of engines. */
#include "count_machine.h"
#include "engine_core.h"
#include "host_machine.h"

#include "host_engine.h"

template <bool LANES> struct host {
    typedef ql_host_machine<LANES> machine;
    typedef ql_cuda_engine<machine> engine;
    static ql_status create(ql_engine **e, const ql_engine_setup *setup)
    {
        return engine::create(e, setup, LANES ? &ql_engine_cuda_in_lanes : &ql_engine_cuda_on_host);
    }
};

#define QL_HOST_ENGINE(name, summary, lanes)                                                                           \
    {                                                                                                                  \
        name, summary, host<lanes>::machine::available, host<lanes>::engine::memory, host<lanes>::create,              \
            host<lanes>::engine::destroy, host<lanes>::engine::evaluate, host<lanes>::engine::apply,                   \
            host<lanes>::engine::gradient, host<lanes>::engine::theta, host<lanes>::engine::field,                     \
            host<lanes>::engine::state, host<lanes>::engine::set_state, host<lanes>::engine::flop, nullptr,            \
            host<lanes>::engine::device, host<lanes>::engine::prepare, host<lanes>::engine::discard,                   \
            host<lanes>::engine::at_once, true, false, nullptr                                                         \
    }

extern "C" const ql_engine_class ql_engine_cuda_on_host =
    QL_HOST_ENGINE("cuda-on-host", "engine cuda's bodies in loops on the host", false);
extern "C" const ql_engine_class ql_engine_cuda_in_lanes =
    QL_HOST_ENGINE("cuda-in-lanes", "the same with teams of 32 lanes, slow", true);

extern "C" void ql_cuda_host_faults(int64_t fail_at, ql_status status, int64_t memory)
{
    ql_faults = ql_host_faults{0, fail_at, status, memory > 0 ? memory : INT64_MAX};
}

extern "C" int64_t ql_cuda_host_calls(void) { return ql_faults.calls; }

/* Addresses are made up: nothing reads through them. */
extern "C" ql_status ql_cuda_traffic_of(ql_traffic traffic[QL_TRAFFIC_MOST], int *count, const ql_engine_setup *setup,
                                        int64_t budget)
{
    ql_cuda_engine<ql_count_machine> e = {};
    ql_plan plan;
    QL_TRY(ql_plan_make(&plan, setup, ql_share{0, 1}, budget));
    ql_arena arena = {reinterpret_cast<unsigned char *>(static_cast<uintptr_t>(1) << 20),
                      static_cast<size_t>(plan.bytes), 0};
    e.setup = *setup;
    if (!ql_network_lay_out(&e.n, &plan, &arena)) return QL_FAIL(INTERNAL, "engine cuda: arena too small");
    e.launch_angles();
    e.launch_surface();
    e.launch_off();
    e.launch_norm();
    *count = e.m.ranges;
    for (int r = 0; r < e.m.ranges; ++r)
        traffic[r] = ql_traffic{r > 0 ? e.m.range[r].name : "weights, loss, norm", e.m.range[r].launches,
                                e.m.range[r].bytes, e.m.range[r].flop};
    return QL_OK;
}

extern "C" ql_status ql_cuda_plan_of(ql_plan_facts *facts, const ql_engine_setup *setup, int64_t budget)
{
    ql_plan plan;
    QL_TRY(ql_plan_make(&plan, setup, ql_share{0, 1}, budget));
    facts->angle_chunks = plan.angle_chunks;
    facts->angle_rows = plan.angle_rows;
    facts->surface_chunks = plan.surface_chunks;
    facts->surface_rows = plan.surface_rows;
    facts->off_rows = plan.off_rows;
    facts->bytes = plan.bytes;
    facts->table_bytes = plan.table_bytes;
    ql_plan_describe(&plan, facts->text, sizeof facts->text);
    return QL_OK;
}
