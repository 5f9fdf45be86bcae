/* The machine that only counts: launches, bytes to and from device memory, operations of the products. The same sequences
 * run over it as over a GPU, so a plan's traffic and the length of its graph are known without one. */
#ifndef QL_CUDA_COUNT_MACHINE_H
#define QL_CUDA_COUNT_MACHINE_H

#include "residual.h"

class ql_count_machine
{
  public:
    struct tally {
        const char *name; /* of the range */
        int64_t launches;
        double bytes, flop;
    };
    enum { MOST = 8 };
    tally range[MOST] = {};
    int64_t most_blocks = 0; /* of a launch of bodies */
    int64_t unaligned = 0;   /* products that break what cuBLASLt is promised: 16 bytes, rows and slices too */
    int64_t refused = 0;     /* products of 3xtf32 that the tiles' kernels cannot take: alignment, grid */
    int ranges = 1;          /* the first: outside of all */

    void enter(const char *name)
    {
        for (now = 1; now < ranges && strcmp(range[now].name, name) != 0;) ++now;
        if (now == ranges && ranges < MOST) range[ranges++].name = name;
    }
    void leave() { now = 0; }

    static bool has_aside() { return true; }
    template <class Launch> void aside(const Launch &launch) { launch(); }
    void meet() {}

    void zero(void *, size_t bytes) { add(1, static_cast<double>(bytes), 0); }
    template <class Body> void each(int64_t count, const Body &body)
    {
        see_blocks((count + 255) / 256);
        add(1, static_cast<double>(count) * body.bytes(), 0);
    }
    template <class Body> void rows(int64_t count, const Body &body)
    {
        see_blocks((count + 7) / 8);
        add(1, static_cast<double>(count) * body.bytes(), 0);
    }

    template <class Body> void tiles(int64_t count, const Body &body)
    {
        see_blocks(count);
        unaligned += !body.aligned();
        add(1, static_cast<double>(count) * body.bytes(), static_cast<double>(count) * body.flop());
    }

    void gemm(const ql_gemm &g)
    {
        const double m = g.m, n = g.n, k = g.k, batch = g.batch;
        const double a = m * k * g.a.size(), b = n * k * g.b.size(), c = m * n * 4;
        const double addend = g.addend != nullptr ? 4 * m * n : 0;
        refused += g.a.kind == QL_OPERAND_SPLIT && !ql_tile_takes(g);
        unaligned += !aligned(g);
        add(1, batch * (a + b + c + addend), 2 * batch * m * n * k);
    }

    static void give_host(float *) {} /* a group is not counted */
    static void give_up(ql_comm *) {}

  private:
    int now = 0;

    void see_blocks(int64_t blocks) { most_blocks = blocks > most_blocks ? blocks : most_blocks; }

    static bool aligned(const ql_gemm &g)
    {
        const auto address = [](const void *p) { return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(p)); };
        const auto bytes = [](int64_t elements, int size) { return static_cast<uint64_t>(elements * size); };
        const int64_t addend_ld = g.addend_ld > 0 ? g.addend_ld : g.ldc;
        const uint64_t all = address(g.a.data) | address(g.b.data) | address(g.c) | address(g.addend) |
                             address(g.bias) | bytes(g.a.ld | g.stride_a, g.a.size()) |
                             bytes(g.b.ld | g.stride_b, g.b.size()) | bytes(g.ldc | g.stride_c | addend_ld, 4);
        return all % 16 == 0;
    }

    void add(int64_t launches, double bytes, double flop)
    {
        range[now].launches += launches;
        range[now].bytes += bytes;
        range[now].flop += flop;
    }
};

#endif
