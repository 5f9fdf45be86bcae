/* Tiles of a product on the host, for tests (see tile_product.h): the threads of a block as coroutines. Copies arrive when
 * they are waited for and no sooner, a warp multiplies when its lanes have all come, a barrier opens when all threads have;
 * until then warps run one after the other, so that a missing barrier or wait shows in the result. */
#ifndef QL_CUDA_TILE_HOST_H
#define QL_CUDA_TILE_HOST_H

#include "residual.h"

#include <stdlib.h>
#include <ucontext.h>

enum { QL_BLOCK_MOST = 256, QL_BLOCK_STACK = 64 * 1024, QL_COPIES_MOST = 32 };

enum ql_thread_state {
    QL_THREAD_RUNS,
    QL_THREAD_AT_BARRIER,
    QL_THREAD_MULTIPLIES,
    QL_THREAD_EXCHANGES,
    QL_THREAD_OVER
};

struct ql_host_block {
    struct pending {
        float *to;
        float what[4];
        int group;
    };
    struct thread_of {
        ucontext_t context;
        ql_thread_state state;
        int groups, count; /* commits so far; copies on their way */
        pending copies[QL_COPIES_MOST];
        float *c; /* wm x wn fragments */
        const float *a_hi, *a_lo, *b_hi, *b_lo;
        int passes, wm, wn;
        float exchanged;
        int with; /* lane ^ this */
    };
    ucontext_t scheduler;
    thread_of threads[QL_BLOCK_MOST];
    unsigned char stacks[QL_BLOCK_MOST][QL_BLOCK_STACK];
    int count;
    float *memory;
    void (*run)(ql_host_block *block, int thread);
    const ql_gemm *gemm; /* of a product */
    int first_m, first_n, batch;
    const void *body; /* of a body over tiles */
    int64_t tile;
};

struct ql_block_on_host {
    static constexpr int WARPS = QL_RESIDUAL_WARPS, LANES = 32;
    template <ql_operand_kind KIND, int INNER, int ROWS, ql_product PRODUCT>
    using core = ql_residual_core<KIND, INNER, ROWS, PRODUCT>;
    ql_host_block *block;
    int mine;

    int thread() const { return mine; }
    int warp() const { return mine / 32; }
    int lane() const { return mine % 32; }
    float *shared() const { return block->memory; }
    void sync() const { yield(QL_THREAD_AT_BARRIER); }
    void copy(float *to, const float *from, bool wanted) const
    {
        ql_host_block::thread_of &me = block->threads[mine];
        if (me.count == QL_COPIES_MOST || reinterpret_cast<uintptr_t>(from) % 16 != 0 ||
            reinterpret_cast<uintptr_t>(to) % 16 != 0)
            abort(); /* on the device: misaligned address */
        ql_host_block::pending *p = &me.copies[me.count++];
        p->to = to;
        p->group = me.groups;
        memset(p->what, 0, sizeof p->what);
        if (wanted) memcpy(p->what, from, sizeof p->what); /* two bfloat16 are no float */
    }
    void commit() const { block->threads[mine].groups++; }
    void wait() const
    {
        ql_host_block::thread_of &me = block->threads[mine];
        int kept = 0;
        for (int p = 0; p < me.count; ++p) {
            if (me.copies[p].group < me.groups - (QL_TILE_STAGES - 2))
                memcpy(me.copies[p].to, me.copies[p].what, sizeof me.copies[p].what);
            else
                me.copies[kept++] = me.copies[p];
        }
        me.count = kept;
    }
    void multiply(float c[4], const float a_hi[4], const float a_lo[4], const float b_hi[2], const float b_lo[2]) const
    {
        come(3, 1, 1, c, a_hi, a_lo, b_hi, b_lo);
    }
    template <int PASSES, int WM, int WN>
    void multiply_all(float c[WM][WN][4], const float a_hi[WM][4], const float a_lo[WM][4], const float b_hi[WN][2],
                      const float b_lo[WN][2]) const
    {
        come(PASSES, WM, WN, c[0][0], a_hi[0], a_lo[0], b_hi[0], b_lo[0]);
    }
    float exchange(float x, int step) const
    {
        ql_host_block::thread_of &me = block->threads[mine];
        me.exchanged = x;
        me.with = step;
        yield(QL_THREAD_EXCHANGES);
        return me.exchanged;
    }

  private:
    void come(int passes, int wm, int wn, float *c, const float *a_hi, const float *a_lo, const float *b_hi,
              const float *b_lo) const
    {
        ql_host_block::thread_of &me = block->threads[mine];
        me.passes = passes;
        me.wm = wm;
        me.wn = wn;
        me.c = c;
        me.a_hi = a_hi;
        me.a_lo = a_lo;
        me.b_hi = b_hi;
        me.b_lo = b_lo;
        yield(QL_THREAD_MULTIPLIES);
    }
    void yield(ql_thread_state state) const
    {
        block->threads[mine].state = state;
        (void)swapcontext(&block->threads[mine].context, &block->scheduler);
    }
};

/* mma.m16n8k8 of a warp, thrice or (the first halves) once, of fragment (i, j); which lane holds what: PTX ISA, "Matrix Fragments
 * for mma.m16n8k8". */
inline void ql_warp_multiplies(ql_host_block::thread_of *lane, int i, int j)
{
    float a[2][16][8], b[2][8][8];
    for (int l = 0; l < 32; ++l) {
        const int group = l / 4, t = l % 4;
        for (int e = 0; e < 4; ++e) {
            a[0][group + (e & 1) * 8][t + (e >> 1) * 4] = lane[l].a_hi[4 * i + e];
            a[1][group + (e & 1) * 8][t + (e >> 1) * 4] = lane[l].a_lo[4 * i + e];
        }
        for (int e = 0; e < 2; ++e) {
            b[0][t + 4 * e][group] = lane[l].b_hi[2 * j + e];
            b[1][t + 4 * e][group] = lane[l].b_lo[2 * j + e];
        }
    }
    static const int passes[3][2] = {{1, 0}, {0, 1}, {0, 0}};
    for (int l = 0; l < 32; ++l)
        for (int e = 0; e < 4; ++e) {
            const int row = l / 4 + (e >> 1) * 8, column = 2 * (l % 4) + (e & 1);
            for (int pass = 3 - lane[l].passes; pass < 3; ++pass) {
                float sum = 0;
                for (int k = 0; k < 8; ++k) sum += a[passes[pass][0]][row][k] * b[passes[pass][1]][k][column];
                lane[l].c[(i * lane[l].wn + j) * 4 + e] += sum;
            }
        }
}

/* What a warp's lanes have come together for. */
inline void ql_warp_meets(ql_host_block::thread_of *lane)
{
    float of[32];
    if (lane[0].state == QL_THREAD_EXCHANGES) {
        for (int l = 0; l < 32; ++l) of[l] = lane[l ^ lane[l].with].exchanged;
        for (int l = 0; l < 32; ++l) lane[l].exchanged = of[l];
        return;
    }
    for (int i = 0; i < lane[0].wm; ++i)
        for (int j = 0; j < lane[0].wn; ++j) ql_warp_multiplies(lane, i, j);
}

inline void ql_block_thread_main(unsigned high, unsigned low, int thread)
{
    ql_host_block *block = reinterpret_cast<ql_host_block *>((static_cast<uint64_t>(high) << 32) | low);
    block->run(block, thread);
    block->threads[thread].state = QL_THREAD_OVER;
}

template <ql_product PRODUCT, class Shape> void ql_block_run(ql_host_block *block, int thread)
{
    ql_tile<PRODUCT, Shape> tile;
    tile.compute(ql_block_on_host{block, thread}, *block->gemm, block->first_m, block->first_n, block->batch);
}

/* Runs a warp until its lanes all wait for the block, or are over. */
inline ql_thread_state ql_block_run_warp(ql_host_block *block, ql_host_block::thread_of *lane)
{
    for (;;) {
        for (int l = 0; l < 32; ++l)
            if (lane[l].state == QL_THREAD_RUNS) (void)swapcontext(&block->scheduler, &lane[l].context);
        for (int l = 1; l < 32; ++l)
            if (lane[l].state != lane[0].state) abort(); /* a warp's lanes went different ways: a hang on the device */
        if (lane[0].state != QL_THREAD_MULTIPLIES && lane[0].state != QL_THREAD_EXCHANGES) return lane[0].state;
        ql_warp_meets(lane);
        for (int l = 0; l < 32; ++l) lane[l].state = QL_THREAD_RUNS;
    }
}

inline void ql_block_schedule(ql_host_block *block)
{
    for (bool on = true; on;) {
        for (int first = 0; first < block->count; first += 32) {
            const ql_thread_state state = ql_block_run_warp(block, &block->threads[first]);
            if (first > 0 && (state == QL_THREAD_OVER) == on) abort(); /* some wait at a barrier, others have ended */
            on = state != QL_THREAD_OVER;
        }
        for (int t = 0; on && t < block->count; ++t) block->threads[t].state = QL_THREAD_RUNS;
    }
}

inline void ql_block_begin(ql_host_block *block, int thread)
{
    const uint64_t address = reinterpret_cast<uint64_t>(block);
    ql_host_block::thread_of *its = &block->threads[thread];
    its->state = QL_THREAD_RUNS;
    its->groups = its->count = 0;
    (void)getcontext(&its->context);
    its->context.uc_stack.ss_sp = block->stacks[thread];
    its->context.uc_stack.ss_size = QL_BLOCK_STACK;
    its->context.uc_link = &block->scheduler;
    makecontext(&its->context, reinterpret_cast<void (*)()>(ql_block_thread_main), 3,
                static_cast<unsigned>(address >> 32), static_cast<unsigned>(address), thread);
}

/* The whole product, tile by tile. False: no memory. */
template <ql_product PRODUCT, class Shape> bool ql_tile_product_on_host(const ql_gemm &g)
{
    ql_host_block *block = static_cast<ql_host_block *>(ql_memory_take(1, sizeof *block));
    const int floats = ql_tile<PRODUCT, Shape>::BYTES / 4;
    float *memory = static_cast<float *>(ql_memory_take(static_cast<size_t>(floats), sizeof(float)));
    const bool sound = block != nullptr && memory != nullptr;
    const int down = (g.m + Shape::BM - 1) / Shape::BM, across = (g.n + Shape::BN - 1) / Shape::BN;
    for (int tile = 0; sound && tile < g.batch * down * across; ++tile) {
        for (int f = 0; f < floats; ++f) memory[f] = NAN; /* what nobody copied must not count */
        block->count = Shape::THREADS;
        block->memory = memory;
        block->run = ql_block_run<PRODUCT, Shape>;
        block->gemm = &g;
        block->first_m = tile / across % down * Shape::BM;
        block->first_n = tile % across * Shape::BN;
        block->batch = tile / across / down;
        for (int thread = 0; thread < Shape::THREADS; ++thread) ql_block_begin(block, thread);
        ql_block_schedule(block);
    }
    ql_free(block);
    ql_free(memory);
    return sound;
}

template <class Body> void ql_tiles_run(ql_host_block *block, int thread)
{
    (*static_cast<const Body *>(block->body))(ql_block_on_host{block, thread}, block->tile);
}

/* A body over tiles. False: no memory. */
template <class Body> bool ql_tiles_on_host(int64_t count, const Body &body)
{
    ql_host_block *block = static_cast<ql_host_block *>(ql_memory_take(1, sizeof *block));
    float *memory = static_cast<float *>(ql_memory_take(Body::FLOATS, sizeof(float)));
    const bool sound = block != nullptr && memory != nullptr;
    for (int64_t tile = 0; sound && tile < count; ++tile) {
        for (int f = 0; f < Body::FLOATS; ++f) memory[f] = NAN;
        block->count = 32 * ql_block_on_host::WARPS;
        block->memory = memory;
        block->run = ql_tiles_run<Body>;
        block->body = &body;
        block->tile = tile;
        for (int thread = 0; thread < block->count; ++thread) ql_block_begin(block, thread);
        ql_block_schedule(block);
    }
    ql_free(block);
    ql_free(memory);
    return sound;
}

#endif
