/* Engine cuda's arithmetic on the host, for tests only: never in the program's list of engines. */
#include "count_machine.h"
#include "engine_core.h"
#include "host_machine.h"
#include "tile_host.h"

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
            host<lanes>::engine::at_once, true, false, nullptr, host<lanes>::engine::advance                           \
    }

extern "C" const ql_engine_class ql_engine_cuda_on_host =
    QL_HOST_ENGINE("cuda-on-host", "engine cuda's bodies in loops on the host", false);
extern "C" const ql_engine_class ql_engine_cuda_in_lanes =
    QL_HOST_ENGINE("cuda-in-lanes", "the same with teams of 32 lanes, slow", true);

extern "C" void ql_cuda_host_faults(int64_t fail_at, ql_status status, int64_t memory)
{
    ql_faults.calls = 0;
    ql_faults.fail_at = fail_at;
    ql_faults.status = status;
    ql_faults.memory = memory > 0 ? memory : INT64_MAX;
}

extern "C" void ql_cuda_host_group(int way) { ql_faults.group = way; }

extern "C" void ql_cuda_host_aside(int when) { ql_faults.aside = when; }

extern "C" int64_t ql_cuda_host_recorded(void) { return ql_faults.recorded; }

extern "C" int64_t ql_cuda_host_allocations(void) { return ql_faults.allocations; }

extern "C" int64_t ql_cuda_host_calls(void) { return ql_faults.calls; }

/* Addresses are made up: nothing reads through them. */
extern "C" ql_status ql_cuda_traffic_of(ql_traffic traffic[QL_TRAFFIC_MOST], int *count, ql_launch_limits *limits,
                                        const ql_engine_setup *setup, int64_t budget)
{
    ql_cuda_engine<ql_count_machine> e = {};
    ql_plan plan;
    QL_TRY(ql_plan_make(&plan, setup, ql_share{0, 1}, budget));
    ql_arena arena = {reinterpret_cast<unsigned char *>(static_cast<uintptr_t>(1) << 20),
                      static_cast<size_t>(plan.bytes), 0};
    e.setup = *setup;
    if (!ql_network_lay_out(&e.n, &plan, &arena)) return QL_FAIL(INTERNAL, "engine cuda: arena too small");
    e.launch_alone();
    *count = e.m.ranges;
    *limits = ql_launch_limits{e.m.most_blocks, e.m.unaligned, e.m.refused};
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

extern "C" ql_status ql_cuda_draws_of(float *points, int count, int first, float drop[], const ql_engine_setup *setup,
                                      int64_t step)
{
    typedef ql_cuda_engine<ql_host_machine<false>> engine;
    const ql_table_places places = ql_table_places_of(setup);
    const ql_loss_weights weights = ql_loss_weights_at(setup->train, step);
    engine e = {};
    ql_step its = {};
    float *block = static_cast<float *>(ql_memory_take(static_cast<size_t>(places.words), sizeof(float)));
    if (block == nullptr) return QL_FAIL(NO_MEMORY, "no memory for tables");
    e.setup = *setup;
    e.fill_step(&its, step, &weights);
    memcpy(drop, its.drop, sizeof its.drop);
    ql_tables_write(block, &places, setup);
    const ql_draw_off draw = {ql_tables_view(block, &places, setup), &its, points, first};
    for (int i = 0; i < count; ++i) draw(i);
    ql_free(block);
    return QL_OK;
}

/* ---- products by tiles ---- */

static float next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(*state >> 33)) / 1073741824.0f - 1.0f;
}

template <class Shape> static bool multiply_in_tiles(const ql_gemm &g)
{
    switch (g.product) {
    case QL_PRODUCT_NT: return ql_tile_product_on_host<QL_PRODUCT_NT, Shape>(g);
    case QL_PRODUCT_NN: return ql_tile_product_on_host<QL_PRODUCT_NN, Shape>(g);
    case QL_PRODUCT_TN: return ql_tile_product_on_host<QL_PRODUCT_TN, Shape>(g);
    }
    return false;
}

/* Element (row, column) of the product in double precision. */
static double exact(const ql_gemm &g, const float *before, int64_t row, int64_t column, int64_t batch)
{
    const float *a = static_cast<const float *>(g.a.data) + batch * g.stride_a;
    const float *b = static_cast<const float *>(g.b.data) + batch * g.stride_b;
    double sum = g.addend != nullptr ? static_cast<double>(before[row * g.ldc + column]) : 0;
    for (int64_t k = 0; k < g.k; ++k)
        sum += static_cast<double>(g.product == QL_PRODUCT_TN ? a[k * g.a.ld + row] : a[row * g.a.ld + k]) *
               static_cast<double>(g.product == QL_PRODUCT_NT ? b[column * g.b.ld + k] : b[k * g.b.ld + column]);
    if (g.bias != nullptr) sum += static_cast<double>(g.bias[column]);
    return g.relu && sum < 0 ? 0 : sum;
}

/* Matrices of random numbers with rows longer than they need be; what lies between rows of the result must stay. */
extern "C" ql_status ql_cuda_tile_error(double *error, const ql_tile_case *which)
{
    const bool tn = which->product == QL_PRODUCT_TN, nt = which->product == QL_PRODUCT_NT;
    const int m = which->m, n = which->n, k = which->k, batch = which->batch;
    const int lda = (tn ? m : k) + 4, ldb = (nt ? k : n) + 8, ldc = n + 2;
    const int64_t size_a = static_cast<int64_t>(tn ? k : m) * lda, size_b = static_cast<int64_t>(nt ? n : k) * ldb;
    const int64_t size_c = static_cast<int64_t>(m) * ldc, all = batch * (size_a + size_b + 2 * size_c) + n + 64;
    float *numbers = static_cast<float *>(ql_memory_take(static_cast<size_t>(all), sizeof(float)));
    if (numbers == nullptr) return QL_FAIL(NO_MEMORY, "no memory for a product");
    uint64_t state = static_cast<uint64_t>(m) * 1000003u + static_cast<uint64_t>(n * 1009 + k);
    for (int64_t i = 0; i < all; ++i) numbers[i] = next_random(&state);
    float *a = numbers, *b = a + batch * size_a, *c = b + batch * size_b, *before = c + batch * size_c;
    memcpy(before, c, static_cast<size_t>(batch * size_c) * sizeof(float));
    ql_gemm g = {static_cast<ql_product>(which->product),
                 m,
                 n,
                 k,
                 ql_operand_of(a, lda, QL_OPERAND_SPLIT),
                 ql_operand_of(b, ldb, QL_OPERAND_SPLIT),
                 c,
                 ldc,
                 which->epilogue ? c : nullptr,
                 which->epilogue ? before + batch * size_c : nullptr,
                 which->epilogue,
                 batch,
                 size_a,
                 size_b,
                 size_c,
                 0};
    bool sound = ql_tile_takes(g);
    if (which->way == QL_WAY_PLAIN)
        for (int64_t i = 0; i < static_cast<int64_t>(batch) * m * n; ++i) ql_plain_product{g}(i);
    else
        sound = sound && (which->way == QL_WAY_LARGE ? multiply_in_tiles<ql_tile_large>(g)
                                                     : multiply_in_tiles<ql_tile_small>(g));
    *error = 0;
    for (int64_t s = 0; s < batch && sound; ++s)
        for (int64_t row = 0; row < m; ++row)
            for (int64_t column = 0; column < ldc; ++column) {
                const int64_t at = s * size_c + row * ldc + column;
                const double truth =
                    column < n ? exact(g, before + s * size_c, row, column, s) : static_cast<double>(before[at]);
                const double gap = fabs(static_cast<double>(c[at]) - truth);
                if (!(gap <= *error)) *error = gap;
            }
    ql_free(numbers);
    return sound ? QL_OK : QL_FAIL(INTERNAL, "a product that tiles do not take, or no memory");
}
