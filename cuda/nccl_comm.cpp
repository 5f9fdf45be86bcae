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

static struct {
#define QL_NCCL_FIELD(name) decltype(&::name) name;
    QL_NCCL_FUNCTIONS(QL_NCCL_FIELD)
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
#define QL_NCCL_FIND(name)                                                                                             \
    function = dlsym(library, #name);                                                                                  \
    memcpy(&api.name, &function, sizeof function);                                                                     \
    if (function == nullptr) {                                                                                         \
        (void)snprintf(api.error, sizeof api.error, "libnccl.so.2 has no function %s", #name);                         \
        return;                                                                                                        \
    }
    QL_NCCL_FUNCTIONS(QL_NCCL_FIND)
#undef QL_NCCL_FIND
    if (api.ncclGetVersion(&api.version) != ncclSuccess) api.version = 0;
}

int ql_nccl_version(char *why, size_t size)
{
    (void)pthread_once(&once, load);
    if (api.version == 0) (void)snprintf(why, size, "%s", api.error);
    return api.version;
}

static ql_status judge(ncclResult_t result, const char *call, int line)
{
    if (result == ncclSuccess) return QL_OK;
    return ql_error_set(QL_STATUS_ENVIRONMENT, __FILE__, line, "NCCL: %s: %s", call, api.ncclGetErrorString(result));
}

#define NCCL_TRY(call) QL_TRY(judge(api.call, #call, __LINE__))

/* ---- the communicator ---- */

struct nccl_comm {
    ql_comm base; /* first */
    ql_comm *group;
    ncclComm_t nccl;
    cudaStream_t engine, own;
    cudaEvent_t before, after;
};

static nccl_comm *of(ql_comm *comm) { return reinterpret_cast<nccl_comm *>(comm); }

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
    ncclResult_t state = ncclSuccess;
    NCCL_TRY(ncclCommGetAsyncError(c->nccl, &state));
    QL_TRY(judge(state, "an operation of another rank", __LINE__));
    CUDA_TRY(cudaEventRecord(c->before, c->engine));
    CUDA_TRY(cudaStreamWaitEvent(c->own, c->before, 0));
    return QL_OK;
}

static ql_status sum_begin(ql_comm *comm, void *values, int count, ql_number number, ql_request *request)
{
    nccl_comm *c = of(comm);
    QL_TRY(follow(c));
    NCCL_TRY(ncclAllReduce(values, values, static_cast<size_t>(count), type_of(number), ncclSum, c->nccl, c->own));
    request->active = true;
    return QL_OK;
}

/* Parts differ in length, which ncclAllGather cannot do: a broadcast each, as one launch. */
static ql_status gather_begin(ql_comm *comm, void *all, const ql_parts *parts, ql_number number, ql_request *request)
{
    nccl_comm *c = of(comm);
    QL_TRY(follow(c));
    NCCL_TRY(ncclGroupStart());
    ncclResult_t result = ncclSuccess;
    for (int rank = 0; rank < comm->size && result == ncclSuccess; ++rank) {
        char *part = static_cast<char *>(all) + static_cast<size_t>(parts->at[rank]) * ql_number_size(number);
        result = api.ncclBroadcast(part, part, static_cast<size_t>(parts->count[rank]), type_of(number), rank, c->nccl,
                                   c->own);
    }
    NCCL_TRY(ncclGroupEnd());
    QL_TRY(judge(result, "ncclBroadcast", __LINE__));
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
    /* What still runs when all is over waits for a rank that is lost. */
    const bool hangs = c->own != nullptr && cudaStreamQuery(c->own) == cudaErrorNotReady;
    if (c->nccl != nullptr) (void)(hangs ? api.ncclCommAbort(c->nccl) : api.ncclCommDestroy(c->nccl));
    if (c->before != nullptr) (void)cudaEventDestroy(c->before);
    if (c->after != nullptr) (void)cudaEventDestroy(c->after);
    if (c->own != nullptr) (void)cudaStreamDestroy(c->own);
    ql_free(c);
}

static const ql_comm_class nccl_class = {"nccl",         barrier, broadcast, allgather, sum_begin,   gather_begin,
                                         exchange_begin, test,    wait,      group_of,  node_memory, node_meet,
                                         fetch_add,      post,    poll,      destroy};

static ql_status connect(nccl_comm *c)
{
    ncclUniqueId id;
    memset(&id, 0, sizeof id);
    ql_status status = c->group->rank == 0 ? judge(api.ncclGetUniqueId(&id), "ncclGetUniqueId", __LINE__) : QL_OK;
    QL_TRY(ql_comm_agree(c->group, status));
    QL_TRY(c->group->kind->broadcast(c->group, &id, sizeof id, 0));
    CUDA_TRY(cudaStreamCreateWithFlags(&c->own, cudaStreamNonBlocking));
    CUDA_TRY(cudaEventCreateWithFlags(&c->before, cudaEventDisableTiming));
    CUDA_TRY(cudaEventCreateWithFlags(&c->after, cudaEventDisableTiming));
    NCCL_TRY(ncclCommInitRank(&c->nccl, c->group->size, id, c->group->rank));
    return QL_OK;
}

ql_status ql_nccl_open(ql_comm **comm, ql_comm *group, CUstream_st *stream)
{
    nccl_comm *c = static_cast<nccl_comm *>(ql_memory_take(1, sizeof *c));
    *comm = nullptr;
    ql_status status = c != nullptr ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for a communicator");
    status = ql_comm_agree(group, status);
    if (status == QL_OK) {
        c->base = *group;
        c->base.kind = &nccl_class;
        c->group = group;
        c->engine = stream;
        status = ql_comm_agree(group, connect(c));
    }
    if (status == QL_OK)
        *comm = &c->base;
    else if (c != nullptr)
        destroy(&c->base);
    return status;
}
