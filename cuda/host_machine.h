/* The machine that a test has: bodies in loops, products by OpenBLAS with the operands' rounding. Teams are single or, for
 * small meshes, 32 lanes that really wait for each other (warp.h). It proves everything of the engine but launches. */
#ifndef QL_CUDA_HOST_MACHINE_H
#define QL_CUDA_HOST_MACHINE_H

#include "tile_host.h"
#include "warp.h"

#include "host_engine.h"

#include <cblas.h>
#include <initializer_list>

/* What a test lets go wrong: the call number `fail_at` (from 0; < 0: none) of all machines ends with this status as on a
 * device that is lost; allocations above `memory` bytes fail although budget promised them. */
struct ql_host_faults {
    int64_t calls, fail_at;
    ql_status status;
    int64_t memory;
    int group; /* see host_engine.h */
    int64_t recorded;
    int aside; /* see host_engine.h */
    int64_t allocations;
};
inline ql_host_faults ql_faults = {0, -1, QL_OK, INT64_MAX, 0, 0, 0, 0};

/* A residual block's products by a thread alone (residual.h): by the machine's own. */
template <ql_operand_kind KIND, int INNER, int ROWS, ql_product PRODUCT> struct ql_single_core {
    const ql_residual_weights &weights;
    float *result; /* ROWS x INNER */
    int next;

    template <class Block>
    ql_single_core(const Block &, const ql_residual_weights &its_weights, float *memory)
        : weights(its_weights), result(memory), next(0)
    {
    }

    template <class Block, class Begin> void product(const Block &block, float *rows, const Begin &begin)
    {
        pairs(block, begin);
        const bool nt = PRODUCT == QL_PRODUCT_NT, first = next == 0;
        ql_operand w = first ? weights.mid : weights.wide;
        if (!first) w = w.from(static_cast<int64_t>(next - 1) * INNER * (nt ? w.ld : 1));
        const ql_operand a = {rows, INNER + 4, KIND == QL_OPERAND_BF16 ? QL_OPERAND_PLAIN : KIND}; /* rounded already */
        block.multiply({PRODUCT, ROWS, INNER, INNER, a, w, result, INNER, result, nullptr, false, 1, 0, 0, 0});
        ++next;
    }

    template <class Block, class Act> void pairs(const Block &, const Act &act)
    {
        for (int row = 0; row < ROWS; ++row)
            for (int k = 0; k < INNER; k += 2) act(row, k, result + row * INNER + k);
    }

    template <class Block> void sums_of_16(const Block &, float *to, int ld) const
    {
        for (int group = 0; group < ROWS / 16; ++group)
            for (int k = 0; k < INNER; ++k) {
                float sum = 0;
                for (int row = 16 * group; row < 16 * (group + 1); ++row) sum += result[row * INNER + k];
                to[group * ld + k] = sum;
            }
    }
};

template <class Machine> struct ql_block_single {
    static constexpr int WARPS = 1, LANES = 1;
    template <ql_operand_kind KIND, int INNER, int ROWS, ql_product PRODUCT>
    using core = ql_single_core<KIND, INNER, ROWS, PRODUCT>;
    Machine *machine;
    float *memory;
    static int thread() { return 0; }
    static int warp() { return 0; }
    static int lane() { return 0; }
    static void sync() {}
    static float exchange(float x, int) { return x; }
    float *shared() const { return memory; }
    void multiply(const ql_gemm &g) const { machine->one(g); }
};

template <bool LANES> class ql_host_machine
{
  public:
    ~ql_host_machine()
    {
        ql_free(shared);
        for (buffer *one : {&a_rounded, &b_rounded, &a_low, &b_low}) ql_free(one->values);
        ql_free(lanes);
    }
    static ql_status available() { return QL_OK; }
    static int64_t budget(const ql_engine_options *options)
    {
        return options->memory_mb > 0 ? options->memory_mb * 1000000 : INT64_MAX;
    }
    static ql_status block_open(ql_table_block *block, int64_t bytes)
    {
        *block = {};
        block->bytes = bytes;
        count_allocations(2);
        block->host = ql_memory_take(static_cast<size_t>(bytes), 1);
        block->device = ql_memory_take(static_cast<size_t>(bytes), 1);
        if (block->host != nullptr && block->device != nullptr) return QL_OK;
        block_close(block);
        return QL_FAIL(NO_MEMORY, "no memory for tables");
    }
    static ql_status block_send(ql_table_block *block)
    {
        memcpy(block->device, block->host, static_cast<size_t>(block->bytes));
        return QL_OK;
    }
    static void block_close(ql_table_block *block)
    {
        ql_free(block->host);
        ql_free(block->device);
        *block = {};
    }
    void block_wait(ql_table_block &block)
    {
        ql_free(block.host);
        block.host = nullptr;
        (void)goes_on();
    }
    void device(ql_engine_device *device) const
    {
        (void)snprintf(device->name, sizeof device->name, "host, for tests");
        device->joules = device->watts = -1;
    }
    ql_status open()
    {
        if (!goes_on()) return first_error;
        shared = static_cast<float *>(ql_memory_take(QL_SHARED, sizeof *shared));
        if (shared == nullptr) return QL_FAIL(NO_MEMORY, "no memory for a block's");
        if (!LANES) return QL_OK;
        lanes = static_cast<ql_lanes *>(ql_memory_take(1, sizeof *lanes));
        return lanes != nullptr ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for the stacks of 32 lanes");
    }
    ql_status allocate(void **memory, size_t bytes)
    {
        if (!goes_on()) return first_error;
        if (static_cast<int64_t>(bytes) > ql_faults.memory) return QL_FAIL(NO_MEMORY, "injected");
        count_allocations(1);
        *memory = ql_memory_take(bytes, 1);
        return *memory != nullptr ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for %zu bytes", bytes);
    }
    void release(void *memory) { ql_free(memory); }
    ql_status status() const { return first_error; }
    void keep(ql_status status)
    {
        if (first_error == QL_OK) first_error = status;
    }

    void upload(void *to, const void *from, size_t bytes)
    {
        if (goes_on()) memcpy(to, from, bytes);
    }
    void download(void *to, const void *from, size_t bytes)
    {
        if (goes_on()) memcpy(to, from, bytes);
    }
    void zero(void *memory, size_t bytes)
    {
        if (goes_on()) memset(memory, 0, bytes);
    }
    /* What goes beside the rest runs before it here, or after it: a test has both, since a device does it in any order. */
    static bool has_aside() { return ql_faults.aside != QL_ASIDE_NEVER; }
    template <class Launch> void aside(const Launch &launch)
    {
        later = &launch;
        run_later = [](const void *what) { (*static_cast<const Launch *>(what))(); };
        if (ql_faults.aside != QL_ASIDE_LATE) meet();
    }
    void meet()
    {
        if (later != nullptr) run_later(later);
        later = nullptr;
    }
    void enter(const char *) {}
    void leave() {}
    template <class Sequence> void replay(int, const Sequence &sequence) { sequence(); }
    /* As on the device: decided with the second call, together. */
    template <class Sequence, class Agree> void replay(int which, const Sequence &sequence, const Agree &all_have)
    {
        if (calls[which]++ == 1) has_graph[which] = all_have(ql_faults.group != QL_GROUP_UNRECORDED);
        sequence();
        ql_faults.recorded += has_graph[which];
    }
    void forget() {}
    bool records_groups() const { return ql_faults.group != QL_GROUP_PARTS; }

    /* What a group needs: host memory that the device reaches; here groups go through the host. */
    ql_status take_host(float **array, int64_t count)
    {
        count_allocations(1);
        *array = static_cast<float *>(ql_memory_take(static_cast<size_t>(count), sizeof(float)));
        return *array != nullptr ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for a group's buffers");
    }
    static void give_host(float *array) { ql_free(array); }
    static void give_up(ql_comm *) {}
    /* Its "device" memory is the host's: any communicator can be the one between devices. */
    ql_status connect(ql_comm **direct, ql_comm *group)
    {
        *direct = nullptr;
        if (ql_faults.group == QL_GROUP_HOST) return QL_OK;
        int members[16];
        for (int rank = 0; rank < 16; ++rank) members[rank] = rank;
        if (group->size > 16) return QL_FAIL(INTERNAL, "more ranks than a test has");
        return group->kind->group(group, members, group->size, 77, direct);
    }

    template <class Body> void each(int64_t count, const Body &body)
    {
        if (!goes_on()) return;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < count; ++i) body(i);
    }

    template <class Body> void rows(int64_t count, const Body &body)
    {
        if (!goes_on()) return;
        if (LANES) {
            for (int64_t i = 0; i < count; ++i) ql_run_lanes(*lanes, i, body);
            return;
        }
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < count; ++i) body(i, ql_team_single());
    }

    template <class Body> void tiles(int64_t count, const Body &body)
    {
        static_assert(Body::FLOATS <= QL_SHARED, "a tile's memory");
        if (!goes_on()) return;
        if (LANES && !ql_tiles_on_host(count, body))
            first_error = QL_FAIL(NO_MEMORY, "no memory for a block's threads");
        for (int64_t tile = 0; !LANES && tile < count; ++tile)
            body(ql_block_single<ql_host_machine>{this, shared}, tile);
    }

    void gemm(const ql_gemm &g)
    {
        if (!goes_on()) return;
        if (g.a.kind == QL_OPERAND_SPLIT && !ql_tile_takes(g)) first_error = QL_FAIL(INTERNAL, "product not aligned");
        for (int64_t s = 0; s < g.batch; ++s) {
            ql_gemm slice = g;
            slice.a = g.a.from(s * g.stride_a);
            slice.b = g.b.from(s * g.stride_b);
            slice.c = g.c + s * g.stride_c;
            one(slice);
        }
    }

  private:
    friend ql_block_single<ql_host_machine>;
    enum { QL_SHARED = 99 * 256 }; /* floats: a single thread has its result where the device has slices of weights */

    /* What would be the device's memory or pinned on a GPU. */
    static void count_allocations(int64_t count)
    {
        (void)__atomic_fetch_add(&ql_faults.allocations, count, __ATOMIC_RELAXED);
    }

    ql_status first_error = QL_OK;
    enum { SEQUENCES = 5 };
    int64_t calls[SEQUENCES] = {};
    bool has_graph[SEQUENCES] = {};
    ql_lanes *lanes = nullptr;
    float *shared = nullptr;
    const void *later = nullptr; /* of the caller, which waits for it with meet */
    void (*run_later)(const void *what) = nullptr;

    /* As the device's machine: the first error is kept, and then nothing more is done. */
    bool goes_on()
    {
        if (first_error != QL_OK) return false;
        if (__atomic_fetch_add(&ql_faults.calls, 1, __ATOMIC_RELAXED) != ql_faults.fail_at) return true;
        first_error = ql_error_set(ql_faults.status, __FILE__, __LINE__, "injected failure of the device");
        return false;
    }

    struct buffer {
        float *values;
        size_t size;
    };
    buffer a_rounded = {nullptr, 0}, b_rounded = {nullptr, 0}, a_low = {nullptr, 0}, b_low = {nullptr, 0};

    /* The operand as the tensor cores see it: float32 of the same shape. low: what SPLIT's first half leaves. */
    static const float *rounded(const ql_operand &op, int rows, int columns, buffer &to, bool low = false)
    {
        if (op.kind == QL_OPERAND_PLAIN) return static_cast<const float *>(op.data);
        size_t size = static_cast<size_t>(rows) * static_cast<size_t>(op.ld);
        if (size > to.size) {
            ql_free(to.values);
            to.values = static_cast<float *>(ql_memory_take(size, sizeof(float)));
            to.size = to.values != nullptr ? size : 0;
        }
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < columns; ++c) {
                const float x = op.get(r * op.ld + c), high = op.kind == QL_OPERAND_BF16 ? x : ql_round_tf32(x);
                to.values[r * op.ld + c] = low ? ql_round_tf32(x - high) : high;
            }
        return to.values;
    }

    static void multiply(const ql_gemm &g, const float *a, const float *b, float beta)
    {
        cblas_sgemm(CblasRowMajor, g.product == QL_PRODUCT_TN ? CblasTrans : CblasNoTrans,
                    g.product == QL_PRODUCT_NT ? CblasTrans : CblasNoTrans, g.m, g.n, g.k, 1.0f, a, g.a.ld, b, g.b.ld,
                    beta, g.c, g.ldc);
    }

    void one(const ql_gemm &g)
    {
        const bool tn = g.product == QL_PRODUCT_TN, nt = g.product == QL_PRODUCT_NT;
        const float *a = rounded(g.a, tn ? g.k : g.m, tn ? g.m : g.k, a_rounded);
        const float *b = rounded(g.b, nt ? g.n : g.k, nt ? g.k : g.n, b_rounded);
        int addend_ld = g.addend_ld > 0 ? g.addend_ld : g.ldc;
        if (g.addend != nullptr && g.addend != g.c)
            for (int64_t r = 0; r < g.m; ++r)
                memcpy(g.c + r * g.ldc, g.addend + r * addend_ld, static_cast<size_t>(g.n) * sizeof(float));
        multiply(g, a, b, g.addend != nullptr ? 1.0f : 0.0f);
        if (g.a.kind == QL_OPERAND_SPLIT) {
            multiply(g, a, rounded(g.b, nt ? g.n : g.k, nt ? g.k : g.n, b_low, true), 1.0f);
            multiply(g, rounded(g.a, tn ? g.k : g.m, tn ? g.m : g.k, a_low, true), b, 1.0f);
        }
        if (g.bias == nullptr && !g.relu) return;
        for (int64_t r = 0; r < g.m; ++r)
            for (int64_t k = 0; k < g.n; ++k) {
                float x = g.c[r * g.ldc + k] + (g.bias != nullptr ? g.bias[k] : 0.0f);
                g.c[r * g.ldc + k] = g.relu && !(x > 0) ? 0.0f : x;
            }
    }
};

#endif
