/* Waiting for a communicator of NCCL that never blocks (see nccl_comm.h): plain host code over five calls, tested without a GPU. */
#include "nccl_comm.h"

#include <dlfcn.h>
#include <time.h>

bool ql_nccl_find(void *library, const char *name, bool required, void **function, char *why, size_t size)
{
    *function = dlsym(library, name);
    if (*function != nullptr || !required) return true;
    (void)snprintf(why, size, "libnccl.so.2 has no function %s", name);
    return false;
}

/* What came out of a call; QL_NCCL_IN_PROGRESS: nothing within the limit. A launch is under way for some ten microseconds. */
static int outcome(const ql_nccl_calls *calls, void *of, int result, double limit_s)
{
    const timespec pause = {0, 20000};
    const double start = ql_clock_s();
    while (result == QL_NCCL_IN_PROGRESS) {
        result = calls->state(of);
        if (result != QL_NCCL_IN_PROGRESS || ql_clock_s() - start > limit_s) break;
        (void)nanosleep(&pause, nullptr);
    }
    return result;
}

ql_status ql_nccl_settle(const ql_nccl_calls *calls, void *of, int result, const char *call, double limit_s)
{
    result = outcome(calls, of, result, limit_s);
    if (result == QL_NCCL_SUCCESS) return QL_OK;
    if (result == QL_NCCL_IN_PROGRESS) return QL_FAIL(ENVIRONMENT, "NCCL: %s: not done after %g s", call, limit_s);
    return QL_FAIL(ENVIRONMENT, "NCCL: %s: %s", call, calls->text(result));
}

ql_status ql_nccl_join(const ql_nccl_calls *calls, void *of, ql_comm *group, double limit_s, bool *joined)
{
    const ql_status mine = ql_nccl_settle(calls, of, calls->begin(of), "start of the communicator", limit_s);
    if (mine != QL_OK) calls->abort(of); /* at once: others may be waiting for us in theirs */
    *joined = ql_comm_agree(group, mine) == QL_OK;
    if (*joined) return QL_OK;
    if (mine == QL_OK) calls->abort(of);
    if (group->rank == 0)
        QL_WARNING("engine cuda: %d ranks share a mesh through MPI and pinned host memory: %s", group->size,
                   ql_error_text());
    ql_error_clear();
    return QL_OK;
}

void ql_nccl_leave(const ql_nccl_calls *calls, void *of, bool broken, double limit_s)
{
    if (!broken && outcome(calls, of, calls->finish(of), limit_s) == QL_NCCL_SUCCESS)
        calls->destroy(of);
    else
        calls->abort(of); /* what it waits for does not come: a rank that is lost */
}
