/* Communicator `nccl` (see nccl_comm.h). NCCL is opened at run time; compiled where its header is, else nccl_stub.cpp is. */
#include "nccl_comm.h"
#include "device.h"

#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>

/* ---- the library ---- */

#define QL_NCCL_FUNCTIONS(X)                                                                                           \
    X(ncclGetVersion)                                                                                                  \
    X(ncclGetUniqueId)                                                                                                 \
    X(ncclCommInitRank)                                                                                                \
    X(ncclCommAbort)                                                                                                   \
    X(ncclCommDestroy)                                                                                                 \
    X(ncclCommGetAsyncError)                                                                                           \
    X(ncclGetErrorString)                                                                                              \
    X(ncclAllReduce)                                                                                                   \
    X(ncclBroadcast)                                                                                                   \
    X(ncclGroupStart)                                                                                                  \
    X(ncclGroupEnd)

/* What makes calls that do not block, from 2.14 on. Without it (older when compiled, or when run) a start blocks until all ranks
 * are there, or for ever. */
#if NCCL_VERSION_CODE >= 21400
static_assert(static_cast<int>(ncclInProgress) == QL_NCCL_IN_PROGRESS, "numbers of NCCL's results");
#define QL_NCCL_LATER_FUNCTIONS(X) X(ncclCommInitRankConfig) X(ncclCommFinalize)
#else
#define QL_NCCL_LATER_FUNCTIONS(X)
#endif
static_assert(static_cast<int>(ncclSuccess) == QL_NCCL_SUCCESS, "numbers of NCCL's results");

static struct {
#define QL_NCCL_FIELD(name) decltype(&::name) name;
    QL_NCCL_FUNCTIONS(QL_NCCL_FIELD)
    QL_NCCL_LATER_FUNCTIONS(QL_NCCL_FIELD)
#undef QL_NCCL_FIELD
    int version;
    char error[192];
} api;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load()
{
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL), *function = nullptr;
    if (library == nullptr) {
        (void)snprintf(api.error, sizeof api.error, "libnccl.so.2 not found by the loader");
        return;
    }
#define QL_NCCL_FIND_IF(name, required)                                                                                \
    if (!ql_nccl_find(library, #name, required, &function, api.error, sizeof api.error)) return;                       \
    memcpy(&api.name, &function, sizeof function);
#define QL_NCCL_FIND(name) QL_NCCL_FIND_IF(name, true)
#define QL_NCCL_FIND_LATER(name) QL_NCCL_FIND_IF(name, false)
    QL_NCCL_FUNCTIONS(QL_NCCL_FIND)
    QL_NCCL_LATER_FUNCTIONS(QL_NCCL_FIND_LATER)
#undef QL_NCCL_FIND_LATER
#undef QL_NCCL_FIND
#undef QL_NCCL_FIND_IF
    if (api.ncclGetVersion(&api.version) != ncclSuccess) api.version = 0;
}

int ql_nccl_version(char *why, size_t size)
{
    (void)pthread_once(&once, load);
    if (api.version == 0) (void)snprintf(why, size, "%s", api.error);
    return api.version;
}

/* ---- the communicator ---- */

struct nccl_comm {
    ql_comm base; /* first */
    ql_comm *group;
    ncclComm_t nccl;
    cudaStream_t engine, own;
    cudaEvent_t before, after;
    struct {
        ncclUniqueId id;
        ncclResult_t result; /* of making it, on rank 0 */
    } start;
    bool broken; /* a call failed or was not done in time */
};

static nccl_comm *of(ql_comm *comm) { return reinterpret_cast<nccl_comm *>(comm); }

/* ---- its start and its end ---- */

static int begin(void *comm)
{
    nccl_comm *c = static_cast<nccl_comm *>(comm);
    if (c->start.result != ncclSuccess) return c->start.result;
#if NCCL_VERSION_CODE >= 21400
    if (api.ncclCommInitRankConfig != nullptr && api.ncclCommFinalize != nullptr) {
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        return api.ncclCommInitRankConfig(&c->nccl, c->group->size, c->start.id, c->group->rank, &config);
    }
#endif
    return api.ncclCommInitRank(&c->nccl, c->group->size, c->start.id, c->group->rank);
}

static int state_of(void *comm)
{
    ncclResult_t state = ncclSuccess;
    const ncclResult_t result = api.ncclCommGetAsyncError(static_cast<nccl_comm *>(comm)->nccl, &state);
    return result != ncclSuccess ? result : state;
}

static int finish(void *comm)
{
    (void)comm;
#if NCCL_VERSION_CODE >= 21400
    if (api.ncclCommInitRankConfig != nullptr && api.ncclCommFinalize != nullptr)
        return api.ncclCommFinalize(static_cast<nccl_comm *>(comm)->nccl);
#endif
    return ncclSuccess; /* ncclCommDestroy does it */
}

/* The handle is gone with either call, so there is nothing left to ask. */
static void end(void *comm)
{
    ncclComm_t *nccl = &static_cast<nccl_comm *>(comm)->nccl;
    if (*nccl != nullptr) (void)api.ncclCommDestroy(*nccl);
    *nccl = nullptr;
}

static void abandon(void *comm)
{
    ncclComm_t *nccl = &static_cast<nccl_comm *>(comm)->nccl;
    if (*nccl != nullptr) (void)api.ncclCommAbort(*nccl);
    *nccl = nullptr;
}

static const char *text(int result) { return api.ncclGetErrorString(static_cast<ncclResult_t>(result)); }

static const ql_nccl_calls calls = {begin, state_of, finish, end, abandon, text};

/* Here every result of NCCL is looked at: what is in progress is waited for, also while a graph is recorded. */
static ql_status settle(nccl_comm *c, int result, const char *call)
{
    const ql_status status = ql_nccl_settle(&calls, c, result, call, QL_NCCL_LIMIT_S);
    if (status != QL_OK) c->broken = true;
    return status;
}

#define NCCL_TRY(c, call) QL_TRY(settle(c, api.call, #call))

/* ---- verbs ---- */

static ncclDataType_t type_of(ql_number number)
{
    switch (number) {
    case QL_NUMBER_INT64: return ncclInt64;
    case QL_NUMBER_FLOAT32: return ncclFloat32;
    case QL_NUMBER_FLOAT64: return ncclFloat64;
    case QL_NUMBER_BYTE: break;
    }
    return ncclInt8;
}

static ql_status barrier(ql_comm *comm) { return of(comm)->group->kind->barrier(of(comm)->group); }

static ql_status broadcast(ql_comm *comm, void *data, size_t bytes, int root)
{
    return of(comm)->group->kind->broadcast(of(comm)->group, data, bytes, root);
}

static ql_status allgather(ql_comm *comm, const void *mine, void *all, size_t bytes)
{
    return of(comm)->group->kind->allgather(of(comm)->group, mine, all, bytes);
}

/* Our stream waits for what the engine has launched so far. */
static ql_status follow(nccl_comm *c)
{
    QL_TRY(settle(c, state_of(c), "an operation of another rank"));
    CUDA_TRY(cudaEventRecord(c->before, c->engine));
    CUDA_TRY(cudaStreamWaitEvent(c->own, c->before, 0));
    return QL_OK;
}

static ql_status sum_begin(ql_comm *comm, void *values, int count, ql_number number, ql_request *request)
{
    nccl_comm *c = of(comm);
    QL_TRY(follow(c));
    NCCL_TRY(c, ncclAllReduce(values, values, static_cast<size_t>(count), type_of(number), ncclSum, c->nccl, c->own));
    request->active = true;
    return QL_OK;
}

/* Parts differ in length, which ncclAllGather cannot do: a broadcast each, as one launch. */
static ql_status gather_begin(ql_comm *comm, void *all, const ql_parts *parts, ql_number number, ql_request *request)
{
    nccl_comm *c = of(comm);
    QL_TRY(follow(c));
    NCCL_TRY(c, ncclGroupStart());
    int result = ncclSuccess; /* or in progress, until the end of the group */
    for (int rank = 0; rank < comm->size && (result == QL_NCCL_SUCCESS || result == QL_NCCL_IN_PROGRESS); ++rank) {
        char *part = static_cast<char *>(all) + static_cast<size_t>(parts->at[rank]) * ql_number_size(number);
        result = api.ncclBroadcast(part, part, static_cast<size_t>(parts->count[rank]), type_of(number), rank, c->nccl,
                                   c->own);
    }
    NCCL_TRY(c, ncclGroupEnd());
    if (result != QL_NCCL_IN_PROGRESS) QL_TRY(settle(c, result, "ncclBroadcast"));
    request->active = true;
    return QL_OK;
}

static ql_status exchange_begin(ql_comm *, const void *, const ql_parts *, void *, const ql_parts *, ql_number,
                                ql_request *)
{
    return QL_FAIL(INTERNAL, "communicator nccl has no exchange");
}

static ql_status test(ql_comm *, ql_request *, bool *over)
{
    *over = true; /* the host has nothing to do for its progress */
    return QL_OK;
}

/* Later launches of the engine wait for everything begun so far. */
static ql_status wait(ql_comm *comm, ql_request *request)
{
    nccl_comm *c = of(comm);
    if (!request->active) return QL_OK;
    request->active = false;
    CUDA_TRY(cudaEventRecord(c->after, c->own));
    CUDA_TRY(cudaStreamWaitEvent(c->engine, c->after, 0));
    return QL_OK;
}

static ql_status group_of(ql_comm *comm, const int *members, int count, int tag, ql_comm **group)
{
    return of(comm)->group->kind->group(of(comm)->group, members, count, tag, group);
}

static ql_status node_memory(ql_comm *comm, size_t bytes, void **memory)
{
    return of(comm)->group->kind->node_memory(of(comm)->group, bytes, memory);
}

static ql_status node_meet(ql_comm *comm) { return of(comm)->group->kind->node_meet(of(comm)->group); }

static ql_status fetch_add(ql_comm *comm, int64_t add, int64_t *before)
{
    return of(comm)->group->kind->fetch_add(of(comm)->group, add, before);
}

static ql_status post(ql_comm *comm, const ql_message *message)
{
    return of(comm)->group->kind->post(of(comm)->group, message);
}

static ql_status poll(ql_comm *comm, ql_message *message, bool *arrived)
{
    return of(comm)->group->kind->poll(of(comm)->group, message, arrived);
}

static void destroy(ql_comm *comm)
{
    nccl_comm *c = of(comm);
    /* What still runs when all is over waits for a rank that is lost. In a graph the operations run where that was launched. */
    const bool hangs = c->own != nullptr && (cudaStreamQuery(c->own) == cudaErrorNotReady ||
                                             cudaStreamQuery(c->engine) == cudaErrorNotReady);
    if (hangs) (void)cudaGetLastError(); /* or the next launch takes it for its own */
    if (c->nccl != nullptr) ql_nccl_leave(&calls, c, hangs || c->broken, QL_NCCL_LIMIT_S);
    if (c->before != nullptr) (void)cudaEventDestroy(c->before);
    if (c->after != nullptr) (void)cudaEventDestroy(c->after);
    if (c->own != nullptr) (void)cudaStreamDestroy(c->own);
    ql_free(c);
}

static const ql_comm_class nccl_class = {"nccl",         barrier, broadcast, allgather, sum_begin,   gather_begin,
                                         exchange_begin, test,    wait,      group_of,  node_memory, node_meet,
                                         fetch_add,      post,    poll,      destroy};

static ql_status prepare(nccl_comm *c)
{
    CUDA_TRY(cudaStreamCreateWithFlags(&c->own, cudaStreamNonBlocking));
    CUDA_TRY(cudaEventCreateWithFlags(&c->before, cudaEventDisableTiming));
    CUDA_TRY(cudaEventCreateWithFlags(&c->after, cudaEventDisableTiming));
    return QL_OK;
}

/* Where rank 0 could not make the id, no rank begins, with rank 0's reason. */
static ql_status connect(nccl_comm *c, bool *joined)
{
    ql_comm *group = c->group;
    if (group->rank == 0) c->start.result = api.ncclGetUniqueId(&c->start.id);
    QL_TRY(group->kind->broadcast(group, &c->start, sizeof c->start, 0));
    return ql_nccl_join(&calls, c, group, QL_NCCL_LIMIT_S, joined);
}

ql_status ql_nccl_open(ql_comm **comm, ql_comm *group, CUstream_st *stream)
{
    nccl_comm *c = static_cast<nccl_comm *>(ql_memory_take(1, sizeof *c));
    bool joined = false;
    *comm = nullptr;
    ql_status status = c != nullptr ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for a communicator");
    if (c != nullptr) {
        c->base = *group;
        c->base.kind = &nccl_class;
        c->group = group;
        c->engine = stream;
        status = prepare(c);
    }
    status = ql_comm_agree(group, status);
    if (status == QL_OK) status = connect(c, &joined);
    if (joined)
        *comm = &c->base;
    else if (c != nullptr)
        destroy(&c->base);
    return status;
}

void ql_nccl_give_up(ql_comm *comm) { of(comm)->broken = true; }
