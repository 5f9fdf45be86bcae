/* Speed of the matrix products by themselves: the engine's own kernels at the shapes of a step, beside the peak of the
 * same core and OpenBLAS and libxsmm at the same shapes. Peak and product are measured in turn, so that a change of clock or a busy
 * neighbour touches both. */
#include "app/bench.h"
#include "app/kernels.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "engine/cpu/team.h"

#include <cblas.h>

#include <stdio.h>
#include <stdlib.h>

/* ---- peak ---- */

struct ql_bench_peak {
    ql_team *team;
    const ql_cpu_isa *isa;
    int64_t rounds; /* per thread and run */
    double flop;    /* of one thread's run */
};

static void peak_member(void *context, int member)
{
    ql_bench_peak *peak = context;
    double flop = peak->isa->peak(peak->rounds);
    if (member == 0) peak->flop = flop;
}

ql_status ql_bench_peak_create(ql_bench_peak **peak, int threads)
{
    *peak = NULL;
    ql_bench_peak *made;
    QL_TRY(QL_TAKE(made, 1));
    made->isa = ql_cpu_isa_find();
    ql_status status = ql_team_create(&made->team, threads);
    if (status != QL_OK) {
        ql_bench_peak_destroy(made);
        return status;
    }
    *peak = made;
    return QL_OK;
}

double ql_bench_peak_gflops(ql_bench_peak *peak, double seconds)
{
    double flop = 0, begin = ql_clock_s(), now;
    peak->rounds = 100000;
    do {
        ql_team_run(peak->team, peak_member, peak);
        flop += peak->flop * ql_team_size(peak->team);
        now = ql_clock_s();
    } while (now - begin < seconds);
    return flop / (now - begin) * 1e-9;
}

void ql_bench_peak_destroy(ql_bench_peak *peak)
{
    if (peak == NULL) return;
    ql_team_destroy(peak->team);
    ql_free(peak);
}

/* ---- products ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ql_bench_median(double *values, int64_t count)
{
    if (count == 0) return 0;
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 == 1 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

typedef struct shape {
    const char *name;
    int32_t rows, in, out;
    bool gradient; /* out x in from `rows` rows */
} shape;

static const shape shapes[] = {
    {"layer 256 to 256, 96 rows", 96, 256, 256, false},    {"layer 256 to 256, 24 rows", 24, 256, 256, false},
    {"gradient 256 x 256, 120 rows", 120, 256, 256, true}, {"layer 512 to 128, 96 rows", 96, 512, 128, false},
    {"layer 128 to 512, 96 rows", 96, 128, 512, false},    {"layer 128 to 128, 96 rows", 96, 128, 128, false},
    {"gradient 128 x 512, 96 rows", 96, 512, 128, true},   {"layer 256 to 64, 96 rows", 96, 256, 64, false},
    {"layer 64 to 256, 96 rows", 96, 64, 256, false},      {"layer 64 to 64, 96 rows", 96, 64, 64, false},
    {"gradient 64 x 256, 96 rows", 96, 256, 64, true},
};

typedef struct bench {
    const ql_cpu_isa *isa;
    float *x, *y, *packed, *gradient;
    ql_bench_product xsmm; /* of the shape at hand, or NULL */
} bench;

enum { LD_MOST = 512 + QL_PAD, ROWS_MOST = 128 };

static void multiply_own(const bench *b, const shape *s)
{
    const int32_t ldx = s->in + QL_PAD, ldy = s->out + QL_PAD;
    if (s->gradient)
        b->isa->multiply_gradient(s->rows, s->out, s->in, b->y, ldy, b->x, ldx, b->gradient);
    else
        b->isa->multiply(s->rows, s->in, s->out, b->x, ldx, b->packed, b->y, ldy);
}

static void multiply_blas(const bench *b, const shape *s)
{
    const int32_t ldx = s->in + QL_PAD, ldy = s->out + QL_PAD;
    if (s->gradient)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, s->out, s->in, s->rows, 1.0f, b->y, ldy, b->x, ldx, 1.0f,
                    b->gradient, s->in);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, s->rows, s->out, s->in, 1.0f, b->x, ldx, b->packed, s->in,
                    0.0f, b->y, ldy);
}

static void multiply_xsmm(const bench *b, const shape *s)
{
    if (s->gradient)
        b->xsmm(b->x, b->y, b->gradient);
    else
        b->xsmm(b->packed, b->x, b->y);
}

static double rate_of(const bench *b, const shape *s, void (*multiply)(const bench *, const shape *), double seconds)
{
    double best = 0, begin = ql_clock_s(), flop = 2.0 * s->rows * s->in * s->out;
    const int repeats = 1 + (int)(2e7 / flop);
    do {
        double since = ql_clock_s();
        for (int k = 0; k < repeats; ++k) multiply(b, s);
        double rate = flop * repeats / (ql_clock_s() - since) * 1e-9;
        best = rate > best ? rate : best;
    } while (ql_clock_s() - begin < seconds);
    return best;
}

/* The best of many short windows, as for the products. */
static double best_peak(ql_bench_peak *peak, double seconds)
{
    double best = 0, begin = ql_clock_s();
    do {
        double rate = ql_bench_peak_gflops(peak, 0);
        best = rate > best ? rate : best;
    } while (ql_clock_s() - begin < seconds);
    return best;
}

static void report_shape(ql_json *out, bool json, const shape *s, double own, double blas, double xsmm, double peak)
{
    if (!json) {
        (void)printf("%-30s %8.1f GFLOP/s  %5.1f %% of peak   OpenBLAS %8.1f", s->name, own, 100 * own / peak, blas);
        if (xsmm > 0) (void)printf("   libxsmm %8.1f", xsmm);
        (void)printf("\n");
        return;
    }
    ql_json_object(out, NULL);
    ql_json_string(out, "shape", s->name);
    ql_json_real(out, "gflops", own);
    ql_json_real(out, "fraction_of_peak", own / peak);
    ql_json_real(out, "openblas_gflops", blas);
    if (xsmm > 0) ql_json_real(out, "libxsmm_gflops", xsmm);
    ql_json_close_object(out);
}

static ql_status measure(bench *b, double seconds, bool json)
{
    ql_bench_peak *peak;
    QL_TRY(ql_bench_peak_create(&peak, 1));
    openblas_set_num_threads(1);
    ql_json out = {0};
    ql_json_object(&out, NULL);
    ql_json_string(&out, "kernels", b->isa->name);
    ql_json_string(&out, "openblas_kernels", openblas_get_corename());
    ql_kernels_json(&out);
    ql_json_array(&out, "products");
    ql_kernel_advice advice;
    ql_kernels_look(&advice);
    if (!json) (void)printf("kernels %s (OpenBLAS %s), one thread\n", b->isa->name, openblas_get_corename());
    for (int k = 0; !json && k < advice.count; ++k) (void)printf("%s\n", advice.line[k]);
    double best = 0;
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; ++k) {
        double top = best_peak(peak, 0.25 * seconds), own = rate_of(b, &shapes[k], multiply_own, seconds);
        double again = best_peak(peak, 0.25 * seconds);
        double blas = rate_of(b, &shapes[k], multiply_blas, 0.5 * seconds);
        b->xsmm = ql_bench_xsmm(shapes[k].gradient, shapes[k].rows, shapes[k].in, shapes[k].out);
        double xsmm = b->xsmm != NULL ? rate_of(b, &shapes[k], multiply_xsmm, 0.5 * seconds) : 0;
        top = again > top ? again : top;
        best = top > best ? top : best;
        report_shape(&out, json, &shapes[k], own, blas, xsmm, top);
    }
    ql_json_close_array(&out);
    ql_json_real(&out, "peak_gflops", best);
    ql_json_close_object(&out);
    ql_status status = ql_json_end(&out);
    if (status == QL_OK && json)
        (void)printf("%s\n", out.text);
    else if (!json)
        (void)printf("peak %.1f GFLOP/s (multiply-adds in registers)\n", best);
    ql_json_destroy(&out);
    ql_bench_peak_destroy(peak);
    return status;
}

ql_status ql_bench_gemm(double seconds, bool json)
{
    bench b = {.isa = ql_cpu_isa_find()};
    ql_status status = QL_TAKE(b.x, ROWS_MOST * LD_MOST);
    if (status == QL_OK) status = QL_TAKE(b.y, ROWS_MOST * LD_MOST);
    if (status == QL_OK) status = QL_TAKE(b.packed, 512 * 512);
    if (status == QL_OK) status = QL_TAKE(b.gradient, 512 * 512);
    for (int k = 0; status == QL_OK && k < ROWS_MOST * LD_MOST; ++k) {
        b.x[k] = (float)(k % 7) * 0.1f;
        b.y[k] = (float)(k % 5) * 0.1f;
    }
    if (status == QL_OK) status = measure(&b, seconds, json);
    ql_free(b.x);
    ql_free(b.y);
    ql_free(b.packed);
    ql_free(b.gradient);
    return status;
}
