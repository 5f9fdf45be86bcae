/* The machine that an engine has: one stream of one GPU, bodies as kernels, products by cuBLASLt. Compiled by nvcc only.
 *
 * The first error is kept and everything after it does nothing, so sequences need no check of their own. A step runs
 * launch by launch the first time (plans and kernels are made and loaded then) and is recorded as one graph the second
 * time; what changes from step to step lies in a buffer that the launches read. */
#ifndef QL_CUDA_GPU_MACHINE_H
#define QL_CUDA_GPU_MACHINE_H

#include "device.h"
#include "lt.h"
#include "nccl_comm.h"
#include "network.h"
#include "nvml.h"
#include "tile_device.h"

#include <cuda_runtime.h>
#include <initializer_list>
#include <nvtx3/nvToolsExt.h>
#include <stdlib.h>
#include <unistd.h>

enum { QL_THREADS = 256, QL_WARPS = QL_THREADS / 32, QL_PINNED = 4096, QL_SEQUENCES = 5 };

template <class Body> __global__ void __launch_bounds__(QL_THREADS) ql_each(int64_t count, const Body body)
{
    int64_t i = static_cast<int64_t>(blockIdx.x) * QL_THREADS + threadIdx.x;
    if (i < count) body(i);
}

template <class Body> __global__ void __launch_bounds__(QL_THREADS) ql_rows(int64_t count, const Body body)
{
    int64_t row = static_cast<int64_t>(blockIdx.x) * QL_WARPS + threadIdx.x / 32;
    if (row < count) body(row, ql_team_warp()); /* whole warps: row is the same in all lanes */
}

/* Machines of this process that are open: several small meshes train at once then, each thread with one. */
inline int ql_gpu_machines = 0;

class ql_gpu_machine
{
  public:
    static int64_t budget(const ql_engine_options *options)
    {
        size_t free_bytes = 0, total = 0;
        int64_t most = options->memory_mb > 0 ? options->memory_mb * 1000000 : INT64_MAX;
        if (ql_cuda_use_device() != QL_OK || cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) {
            ql_error_clear(); /* a prediction on a machine without a GPU */
            return most;
        }
        int64_t left = static_cast<int64_t>(free_bytes) - static_cast<int64_t>(total / 50); /* the graph, the context */
        return left < most ? left : most;
    }

    /* ---- tables on their way, on a stream of their own ---- */

    static ql_status block_open(ql_table_block *block, int64_t bytes)
    {
        *block = {};
        block->bytes = bytes;
        QL_TRY(ql_cuda_use_device());
        ql_status status = take_block(block);
        if (status != QL_OK) block_close(block);
        return status;
    }

    static ql_status block_send(ql_table_block *block)
    {
        cudaStream_t stream = static_cast<cudaStream_t>(block->stream);
        CUDA_TRY(cudaMemcpyAsync(block->device, block->host, static_cast<size_t>(block->bytes), cudaMemcpyHostToDevice,
                                 stream));
        CUDA_TRY(cudaEventRecord(static_cast<cudaEvent_t>(block->arrived), stream));
        return QL_OK;
    }

    /* From any thread, also one that never used the device: without a word it would make itself a context on GPU 0. */
    static void block_close(ql_table_block *block)
    {
        if (block->stream == nullptr) return;
        if (ql_cuda_use_device() != QL_OK) ql_error_clear();
        if (block->stream != nullptr) (void)cudaStreamSynchronize(static_cast<cudaStream_t>(block->stream));
        if (block->device != nullptr) (void)cudaFree(block->device);
        if (block->host != nullptr) (void)cudaFreeHost(block->host);
        if (block->arrived != nullptr) (void)cudaEventDestroy(static_cast<cudaEvent_t>(block->arrived));
        if (block->stream != nullptr) (void)cudaStreamDestroy(static_cast<cudaStream_t>(block->stream));
        *block = {};
    }

    /* What is launched from here on finds the tables. */
    void block_wait(const ql_table_block &block)
    {
        if (!failed())
            check(cudaStreamWaitEvent(stream, static_cast<cudaEvent_t>(block.arrived), 0), "cudaStreamWaitEvent");
    }

    ql_status open()
    {
        char bus_id[32] = "";
        QL_TRY(ql_cuda_available());
        QL_TRY(ql_cuda_use_device());
        CUDA_TRY(cudaGetDevice(&device_number));
        CUDA_TRY(cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, device_number));
        ql_cuda_report_binding(bus_id);
        ql_meter_open(&meter, nullptr, bus_id, ql_clock_s());
        CUDA_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        CUDA_TRY(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
        now = stream;
        CUDA_TRY(cudaEventCreateWithFlags(&forked, cudaEventDisableTiming));
        CUDA_TRY(cudaEventCreateWithFlags(&joined, cudaEventDisableTiming));
        CUDA_TRY(cudaEventCreateWithFlags(&uploaded, cudaEventDisableTiming));
        CUDA_TRY(cudaEventCreateWithFlags(&done, cudaEventDisableTiming | cudaEventBlockingSync));
        __atomic_fetch_add(&ql_gpu_machines, 1, __ATOMIC_RELAXED);
        counted = true;
        CUDA_TRY(cudaHostAlloc(&pinned, 2 * QL_PINNED, cudaHostAllocDefault));
        CUDA_TRY(cudaMalloc(&workspace, 2 * QL_LT_WORKSPACE)); /* one for each stream */
        return ql_lt_open(&lt);
    }

    ~ql_gpu_machine()
    {
        ql_meter_close(&meter);
        forget();
        ql_lt_close(&lt);
        if (workspace != nullptr) (void)cudaFree(workspace);
        if (pinned != nullptr) (void)cudaFreeHost(pinned);
        for (cudaEvent_t event : {forked, joined, uploaded})
            if (event != nullptr) (void)cudaEventDestroy(event);
        if (done != nullptr) (void)cudaEventDestroy(done);
        if (counted) __atomic_fetch_sub(&ql_gpu_machines, 1, __ATOMIC_RELAXED);
        if (side != nullptr) (void)cudaStreamDestroy(side);
        if (stream != nullptr) (void)cudaStreamDestroy(stream);
    }

    ql_status allocate(void **memory, size_t bytes)
    {
        CUDA_TRY(cudaMalloc(memory, bytes));
        CUDA_TRY(cudaMemsetAsync(*memory, 0, bytes, stream));
        return QL_OK;
    }

    void release(void *memory)
    {
        for (cudaStream_t one : {stream, side})
            if (one != nullptr) (void)cudaStreamSynchronize(one);
        (void)cudaFree(memory);
    }

    ql_status status() const { return first_error; }
    void keep(ql_status status)
    {
        if (!failed()) first_error = status;
    }

    void device(ql_engine_device *device)
    {
        cudaDeviceProp properties;
        if (cudaGetDeviceProperties(&properties, device_number) == cudaSuccess)
            (void)snprintf(device->name, sizeof device->name, "%.95s", properties.name);
        device->joules = ql_meter_joules(&meter, ql_clock_s());
        device->watts = ql_meter_watts(&meter, ql_clock_s());
    }

    /* The host's memory may be reused at return; small things go through pinned memory and do not wait for the device. */
    void upload(void *to, const void *from, size_t bytes)
    {
        if (failed() || bytes == 0) return;
        if (bytes > QL_PINNED) {
            check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync to the device");
            check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
            return;
        }
        check(cudaEventSynchronize(uploaded), "cudaEventSynchronize");
        memcpy(pinned, from, bytes);
        check(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync to the device");
        check(cudaEventRecord(uploaded, stream), "cudaEventRecord");
    }

    void download(void *to, const void *from, size_t bytes)
    {
        if (failed() || bytes == 0) return;
        void *landing = bytes > QL_PINNED ? to : static_cast<char *>(pinned) + QL_PINNED;
        if (waits_for_others && landing == to) wait_for_group(); /* a copy to ordinary memory waits without a limit */
        if (failed()) return;
        check(cudaMemcpyAsync(landing, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync to the host");
        if (!failed()) wait_for_device();
        if (!failed() && landing != to) memcpy(to, landing, bytes);
    }

    void zero(void *memory, size_t bytes)
    {
        if (!failed()) check(cudaMemsetAsync(memory, 0, bytes, now), "cudaMemsetAsync");
    }

    /* Launches of `launch` wait for all before them, run beside those behind them, and are over with meet. QL_CUDA_STREAMS=1: no such
     * thing, for measuring what it brings. */
    static bool has_aside()
    {
        const char *streams = getenv("QL_CUDA_STREAMS");
        return streams == nullptr || strcmp(streams, "1") != 0;
    }

    template <class Launch> void aside(const Launch &launch)
    {
        if (failed()) return;
        check(cudaEventRecord(forked, stream), "cudaEventRecord");
        check(cudaStreamWaitEvent(side, forked, 0), "cudaStreamWaitEvent");
        now = side;
        launch();
        now = stream;
    }

    void meet()
    {
        if (!failed()) check(cudaEventRecord(joined, side), "cudaEventRecord");
        if (!failed()) check(cudaStreamWaitEvent(stream, joined, 0), "cudaStreamWaitEvent");
    }

    void enter(const char *name) { (void)nvtxRangePushA(name); }
    void leave() { (void)nvtxRangePop(); }

    template <class Body> void each(int64_t count, const Body &body)
    {
        if (failed() || count <= 0) return;
        ql_each<<<blocks(count, QL_THREADS), QL_THREADS, 0, now>>>(count, body);
        check(cudaGetLastError(), "launch of a kernel over elements");
    }

    template <class Body> void rows(int64_t count, const Body &body)
    {
        if (failed() || count <= 0) return;
        ql_rows<<<blocks(count, QL_WARPS), QL_THREADS, 0, now>>>(count, body);
        check(cudaGetLastError(), "launch of a kernel over rows");
    }

    template <class Body> void tiles(int64_t count, const Body &body)
    {
        if (!failed() && count > 0) check(ql_tiles_launch(count, body, now), "launch of a kernel over tiles");
    }

    void gemm(const ql_gemm &g)
    {
        if (failed()) return;
        if (g.a.kind == QL_OPERAND_SPLIT ? by_tiles(g) : by_library(g)) return;
        if (!failed()) first_error = QL_FAIL(ENVIRONMENT, "no algorithm for a product of %d x %d x %d", g.m, g.n, g.k);
    }

    /* Runs a sequence: launch by launch at first, as a graph from the second time on (launch by launch where none can be
     * made). A sequence with operations of a group is recorded on all its ranks or on none: `all_have` tells whether, from
     * whether we could. It is called with the second call and no other, whatever has failed. */
    template <class Sequence, class Agree> void replay(int which, const Sequence &sequence, const Agree &all_have)
    {
        if (calls[which]++ == 1) {
            if (!failed()) record(&graph[which], sequence);
            if (!all_have(graph[which] != nullptr)) drop(&graph[which]);
        }
        if (failed()) return;
        ql_meter_sample(&meter, ql_clock_s());
        if (graph[which] == nullptr)
            sequence();
        else
            check(cudaGraphLaunch(graph[which], stream), "cudaGraphLaunch");
    }

    template <class Sequence> void replay(int which, const Sequence &sequence)
    {
        replay(which, sequence, [](bool mine) { return mine; });
    }

    /* All graphs; before what they contain goes: a communicator, whose end waits for theirs. One that still runs is freed when it ends
     * (cuGraphExecDestroy), so nobody waits here for a rank that is lost. */
    void forget()
    {
        for (cudaGraphExec_t &one : graph) drop(&one);
    }

    /* Whether a sequence may hold the operations of `connect`'s communicator. Collective knowledge: the same on all ranks. */
    bool records_groups() const { return nccl_recorded; }

    /* ---- groups ---- */

    ql_status take_host(float **array, int64_t count)
    {
        CUDA_TRY(cudaHostAlloc(reinterpret_cast<void **>(array), static_cast<size_t>(count) * sizeof(float),
                               cudaHostAllocDefault));
        return QL_OK;
    }

    static void give_host(float *array)
    {
        if (array != nullptr) (void)cudaFreeHost(array);
    }

    static void give_up(ql_comm *direct) { ql_nccl_give_up(direct); }

    /* Collective: NCCL where all ranks can, else nullptr (through the host), and a line that says why. */
    ql_status connect(ql_comm **direct, ql_comm *group)
    {
        char why[256] = "";
        ql_nccl_candidate mine = {}, *all = nullptr;
        mine.version = ql_nccl_version(why, sizeof why);
        mine.available = mine.version > 0;
        mine.records = ql_nccl_records(mine.version, driver_version());
        (void)gethostname(mine.host, sizeof mine.host - 1);
        ql_status status = ql_cuda_judge(cudaDeviceGetPCIBusId(mine.bus_id, sizeof mine.bus_id, device_number),
                                         "cudaDeviceGetPCIBusId", __FILE__, __LINE__);
        all = static_cast<ql_nccl_candidate *>(ql_memory_take(static_cast<size_t>(group->size), sizeof *all));
        if (all == nullptr) status = QL_FAIL(NO_MEMORY, "no memory for a group");
        *direct = nullptr;
        status = ql_comm_agree(group, status);
        if (status == QL_OK) status = group->kind->allgather(group, &mine, all, sizeof mine);
        nccl_recorded = status == QL_OK;
        for (int rank = 0; status == QL_OK && rank < group->size; ++rank) nccl_recorded &= all[rank].records;
        if (status == QL_OK && ql_nccl_choose(all, group->size, why, sizeof why))
            status = ql_nccl_open(direct, group, stream);
        else if (status == QL_OK && group->rank == 0)
            QL_INFO("engine cuda: %d ranks share a mesh through MPI and pinned host memory: %s", group->size, why);
        ql_free(all);
        waits_for_others = *direct != nullptr;
        return status;
    }

  private:
    cudaStream_t stream = nullptr, side = nullptr, now = nullptr; /* now: the one of both that launches go to */
    cudaEvent_t forked = nullptr, joined = nullptr, uploaded = nullptr, done = nullptr;
    bool counted = false, slow_said = false;
    cudaGraphExec_t graph[QL_SEQUENCES] = {};
    void *pinned = nullptr, *workspace = nullptr;
    ql_lt lt = {};
    ql_status first_error = QL_OK;
    int64_t calls[QL_SEQUENCES] = {};
    int device_number = 0;
    bool nccl_recorded = false, waits_for_others = false;
    ql_meter meter = {};

    static int driver_version()
    {
        int version = 0;
        return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
    }

    static void drop(cudaGraphExec_t *made)
    {
        if (*made != nullptr) (void)cudaGraphExecDestroy(*made);
        *made = nullptr;
    }

    static ql_status take_block(ql_table_block *block)
    {
        cudaStream_t copies = nullptr;
        cudaEvent_t arrived = nullptr;
        CUDA_TRY(cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking));
        block->stream = copies;
        CUDA_TRY(cudaEventCreateWithFlags(&arrived, cudaEventDisableTiming));
        block->arrived = arrived;
        CUDA_TRY(cudaHostAlloc(&block->host, static_cast<size_t>(block->bytes), cudaHostAllocDefault));
        CUDA_TRY(cudaMalloc(&block->device, static_cast<size_t>(block->bytes)));
        return QL_OK;
    }

    /* The device may wait for that of a rank that is lost: for a group's steps at most as long as for its calls. */
    void wait_for_group()
    {
        const double since = ql_clock_s();
        cudaError_t result = cudaErrorNotReady;
        check(cudaEventRecord(done, stream), "cudaEventRecord");
        while (!failed() && (result = cudaEventQuery(done)) == cudaErrorNotReady) {
            (void)cudaGetLastError(); /* or the next launch takes it for its own */
            if (ql_clock_s() - since > QL_NCCL_LIMIT_S)
                keep(QL_FAIL(ENVIRONMENT, "NCCL: steps with other ranks were not over after %d s",
                             static_cast<int>(QL_NCCL_LIMIT_S)));
        }
        check(result, "cudaEventQuery");
    }

    /* A thread alone spins, which costs a core and saves microseconds; several sleep, or they would take cores from each
     * other. */
    void wait_for_device()
    {
        if (waits_for_others) return wait_for_group();
        if (__atomic_load_n(&ql_gpu_machines, __ATOMIC_RELAXED) < 2) {
            check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
            return;
        }
        check(cudaEventRecord(done, stream), "cudaEventRecord");
        if (!failed()) check(cudaEventSynchronize(done), "cudaEventSynchronize");
    }

    bool failed() const { return first_error != QL_OK; }
    void check(cudaError_t result, const char *call)
    {
        if (!failed() && result != cudaSuccess) first_error = ql_cuda_judge(result, call, __FILE__, __LINE__);
    }
    /* False: not done, or failed. */
    bool by_tiles(const ql_gemm &g)
    {
        if (g.a.kind == QL_OPERAND_BF16 || !ql_tile_takes(g)) return false;
        check(ql_tile_multiply(g, now), "launch of a product");
        return !failed();
    }

    /* Where cuBLASLt has no algorithm with this epilogue: the product alone, then a kernel; where it has none at all: tiles,
     * which are no less accurate. */
    bool by_library(const ql_gemm &g)
    {
        bool done = false;
        lt.workspace = static_cast<char *>(workspace) + (now == side ? QL_LT_WORKSPACE : 0);
        first_error = ql_lt_multiply(&lt, g, now, &done);
        if (failed() || done) return done;
        if (g.addend == g.c || g.batch > 1) return by_tiles(g) || by_hand(g);
        ql_gemm plain = g;
        plain.addend = nullptr;
        plain.bias = nullptr;
        plain.relu = false;
        plain.addend_ld = 0;
        first_error = ql_lt_multiply(&lt, plain, now, &done);
        if (failed()) return false;
        if (!done) return by_tiles(g) || by_hand(g);
        each(static_cast<int64_t>(g.m) * g.n,
             ql_epilogue{g.c, g.addend, g.bias, g.ldc, g.addend_ld > 0 ? g.addend_ld : g.ldc, g.n, g.relu});
        return !failed();
    }

    /* What neither the library nor the tiles take (bfloat16 that cuBLASLt has no algorithm for): right, and slow. */
    bool by_hand(const ql_gemm &g)
    {
        if (failed()) return false;
        if (!slow_said)
            QL_WARNING("engine cuda: cuBLASLt has no algorithm for a product of %d x %d x %d: a plain kernel computes "
                       "it, slower",
                       g.m, g.n, g.k);
        slow_said = true;
        each(static_cast<int64_t>(g.batch) * g.m * g.n, ql_plain_product{g});
        return !failed();
    }

    static unsigned blocks(int64_t count, int size) { return static_cast<unsigned>((count + size - 1) / size); }

    template <class Sequence> void record(cudaGraphExec_t *made, const Sequence &sequence)
    {
        cudaGraph_t recorded = nullptr;
        size_t nodes = 0;
        cudaError_t result = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
        if (result == cudaSuccess) {
            sequence();
            result = cudaStreamEndCapture(stream, &recorded);
        }
        if (failed()) { /* what cannot be recorded may still run: a device that is lost says so again at the next launch */
            QL_DEBUG("engine cuda: while recording: %s", ql_error_text());
            ql_error_clear();
            first_error = QL_OK;
            if (result == cudaSuccess) result = cudaErrorStreamCaptureInvalidated;
        }
        if (result == cudaSuccess) result = cudaGraphGetNodes(recorded, nullptr, &nodes);
        if (result == cudaSuccess) result = cudaGraphInstantiateWithFlags(made, recorded, 0);
        if (recorded != nullptr) (void)cudaGraphDestroy(recorded);
        if (result == cudaSuccess) {
            QL_DEBUG("engine cuda: a step is a graph of %zu nodes", nodes);
            return;
        }
        (void)cudaGetLastError();
        *made = nullptr;
        QL_WARNING("engine cuda: a step could not be recorded (%s): it runs launch by launch, slower",
                   cudaGetErrorString(result));
    }
};

#endif
