/* A warp on the host, for tests: 32 lanes as coroutines that wait for each other where a body sums over its team, with the
 * same butterfly and rounding as on the device. What one lane does between two sums must not depend on what the others do
 * in the meantime; lanes run one after the other here, so that a body that breaks this gives other results. */
#ifndef QL_CUDA_WARP_H
#define QL_CUDA_WARP_H

#include "portable.h"

#include <stdlib.h>
#include <ucontext.h>

enum { QL_LANES = 32, QL_LANE_STACK = 128 * 1024 };

struct ql_lanes {
    ucontext_t scheduler, lane[QL_LANES];
    void (*run)(ql_lanes *lanes, int lane);
    const void *body;
    int64_t row;
    float single[QL_LANES];
    double twice[QL_LANES];
    bool is_double, waiting[QL_LANES];
    unsigned char stack[QL_LANES][QL_LANE_STACK];
};

struct ql_team_lanes {
    static constexpr int SIZE = QL_LANES;
    ql_lanes *lanes;
    int mine;
    int lane() const { return mine; }
    float sum(float x) const
    {
        lanes->single[mine] = x;
        wait(false);
        return lanes->single[mine];
    }
    double sum(double x) const
    {
        lanes->twice[mine] = x;
        wait(true);
        return lanes->twice[mine];
    }

  private:
    void wait(bool is_double) const
    {
        lanes->is_double = is_double;
        lanes->waiting[mine] = true;
        (void)swapcontext(&lanes->lane[mine], &lanes->scheduler);
    }
};

template <class Real> inline void ql_butterfly(Real *x)
{
    Real next[QL_LANES];
    for (int step = QL_LANES / 2; step > 0; step >>= 1) {
        for (int l = 0; l < QL_LANES; ++l) next[l] = x[l] + x[l ^ step];
        memcpy(x, next, sizeof next);
    }
}

/* makecontext passes ints only: the address comes in two halves. */
inline void ql_lane_main(unsigned high, unsigned low, int lane)
{
    uint64_t address = (static_cast<uint64_t>(high) << 32) | low;
    ql_lanes *lanes = reinterpret_cast<ql_lanes *>(address);
    lanes->run(lanes, lane);
}

template <class Body> void ql_run_lane(ql_lanes *lanes, int lane)
{
    (*static_cast<const Body *>(lanes->body))(lanes->row, ql_team_lanes{lanes, lane});
}

/* body(row, team) by 32 lanes. */
template <class Body> void ql_run_lanes(ql_lanes &lanes, int64_t row, const Body &body)
{
    lanes.run = ql_run_lane<Body>;
    lanes.body = &body;
    lanes.row = row;
    uint64_t address = reinterpret_cast<uint64_t>(&lanes);
    for (int l = 0; l < QL_LANES; ++l) {
        (void)getcontext(&lanes.lane[l]);
        lanes.lane[l].uc_stack.ss_sp = lanes.stack[l];
        lanes.lane[l].uc_stack.ss_size = QL_LANE_STACK;
        lanes.lane[l].uc_link = &lanes.scheduler;
        makecontext(&lanes.lane[l], reinterpret_cast<void (*)()>(ql_lane_main), 3, static_cast<unsigned>(address >> 32),
                    static_cast<unsigned>(address), l);
    }
    for (int waiting = QL_LANES; waiting > 0;) {
        waiting = 0;
        for (int l = 0; l < QL_LANES; ++l) {
            lanes.waiting[l] = false;
            (void)swapcontext(&lanes.scheduler, &lanes.lane[l]);
            waiting += lanes.waiting[l];
        }
        if (waiting == 0) break;
        if (waiting < QL_LANES) abort(); /* some lanes sum, others have ended: a hang on the device */
        if (lanes.is_double)
            ql_butterfly(lanes.twice);
        else
            ql_butterfly(lanes.single);
    }
}

#endif
