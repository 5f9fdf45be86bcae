/* Matrix products (see gemm.h). One register tile of QL_TILE_ROWS x QL_PANEL serves both forms: a number of the first factor is
 * broadcast and multiplied with a row of the second one. Sums run over the inner index in order, from zero; what is
 * added to comes last, so small contributions to large numbers are summed first. */
#include "engine/cpu/gemm.h"

#include "engine/cpu/simd.h"

typedef struct tile {
    ql_vector sum[QL_TILE_ROWS][QL_VECTORS];
} tile;

/* What the caches should fetch while a tile is computed: `lines` cache lines after every BLOCK inner indices. */
typedef struct ahead {
    const float *at;
    ptrdiff_t step; /* floats from one block to the next */
    int lines;
} ahead;

enum { BLOCK = 8, LINE = 16 /* floats */ };

QL_ALWAYS void tile_step(tile *t, const int rows, const float *a, ptrdiff_t a_row, const float *b)
{
    ql_vector row[QL_VECTORS];
    QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) row[v] = ql_load(b + v * QL_LANES);
    QL_UNROLL
    for (int i = 0; i < rows; ++i) {
        ql_vector factor = ql_splat(a[i * a_row]);
        QL_UNROLL
        for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] += factor * row[v];
    }
}

/* Row i of the first factor starts at a + i a_row, its next inner index is a_step further; likewise b. */
QL_ALWAYS void tile_multiply(tile *t, const int rows, int32_t inner, const float *a, ptrdiff_t a_row, ptrdiff_t a_step,
                             const float *b, ptrdiff_t b_step, ahead next)
{
    QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] = (ql_vector){0};
    int32_t k = 0;
    for (; k + BLOCK <= inner; k += BLOCK, next.at += next.step) {
        for (int line = 0; line < next.lines; ++line) __builtin_prefetch(next.at + line * LINE, 0, 2);
        for (int j = 0; j < BLOCK; ++j, a += a_step, b += b_step) tile_step(t, rows, a, a_row, b);
    }
    for (; k < inner; ++k, a += a_step, b += b_step) tile_step(t, rows, a, a_row, b);
}

QL_ALWAYS void tile_finish(tile *t, const int rows, const ql_gemm_out *out, ptrdiff_t row, ptrdiff_t column)
{
    if (out->bias != NULL) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) {
        ql_vector bias = ql_load(out->bias + column + v * QL_LANES);
        QL_UNROLL
        for (int i = 0; i < rows; ++i) t->sum[i][v] += bias;
    }
    if (out->add != NULL) QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v)
        t->sum[i][v] += ql_load(out->add + (row + i) * out->ldadd + column + v * QL_LANES);
    if (out->relu) QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] = ql_positive(t->sum[i][v]);
    QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) ql_store(out->y + (row + i) * out->ldy + column + v * QL_LANES, t->sum[i][v]);
}

/* The first factor by rows (products with weights) ... */
QL_ALWAYS void tile_rows(const int rows, int32_t inner, const float *x, ptrdiff_t ldx, const float *panel,
                         const ql_gemm_out *out, ptrdiff_t row, ptrdiff_t column, ahead next)
{
    tile t;
    tile_multiply(&t, rows, inner, x + row * ldx, ldx, 1, panel, QL_PANEL, next);
    tile_finish(&t, rows, out, row, column);
}

/* ... and by columns (gradients of weights). What is added to is far away: it is fetched first. */
QL_ALWAYS void tile_gradient(const int rows, int32_t inner, const float *left, ptrdiff_t ldl, const float *right,
                             ptrdiff_t ldr, const ql_gemm_out *out, ptrdiff_t row, ptrdiff_t column, ahead next)
{
    tile t;
    float *y = out->y + row * out->ldy + column;
    QL_UNROLL
    for (int i = 0; i < rows; ++i) {
        __builtin_prefetch(y + i * out->ldy, 1, 3);
        __builtin_prefetch(y + i * out->ldy + QL_PANEL - 1, 1, 3);
    }
    tile_multiply(&t, rows, inner, left + row, 1, ldl, right + column, ldr, next);
    QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) ql_add_to(y + i * out->ldy + v * QL_LANES, t.sum[i][v]);
}

/* Height of the next tile when `left` rows are left: two equal halves rather than a full one and a small rest. */
static inline int next_height(ptrdiff_t left)
{
    if (left >= 2 * QL_TILE_ROWS || left == QL_TILE_ROWS) return QL_TILE_ROWS;
    return (int)(left > QL_TILE_ROWS ? (left + 1) / 2 : left);
}

#if defined(__AVX512F__)
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#else
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

/* While a panel is used, the next one is fetched, in equal parts by all tiles. */
static ahead panel_ahead(const float *panel, int32_t inner, int32_t rows)
{
    const ptrdiff_t panel_floats = (ptrdiff_t)inner * QL_PANEL, tiles = (rows + QL_TILE_ROWS - 1) / QL_TILE_ROWS;
    const ptrdiff_t blocks = tiles * (inner / BLOCK);
    if (blocks == 0) return (ahead){panel, 0, 0};
    const ptrdiff_t step = panel_floats / blocks;
    return (ahead){panel + panel_floats, step, (int)((step + LINE - 1) / LINE)};
}

double ql_gemm_rows(int32_t rows, int32_t inner, int32_t columns, const float *x, ptrdiff_t ldx, const float *packed,
                    const ql_gemm_out *out)
{
    for (ptrdiff_t column = 0; column < columns; column += QL_PANEL) {
        const float *panel = packed + column * inner;
        ahead next = panel_ahead(panel, inner, rows);
        if (column + QL_PANEL >= columns) next.lines = 0;
        for (ptrdiff_t row = 0; row < rows;) {
            int height = next_height(rows - row);
            switch (height) {
#define CASE(n)                                                                                                        \
    case n: tile_rows(n, inner, x, ldx, panel, out, row, column, next); break;
                EACH_HEIGHT(CASE)
#undef CASE
            }
            row += height;
            next.at += next.step * (inner / BLOCK);
        }
    }
    return 2.0 * rows * inner * columns;
}

double ql_gemm_gradient(int32_t rows, int32_t out, int32_t in, const float *left, ptrdiff_t ldl, const float *right,
                        ptrdiff_t ldr, float *gradient, ptrdiff_t ldg)
{
    const ql_gemm_out to = {.y = gradient, .ldy = ldg};
    const ahead nothing = {right, 0, 0};
    for (ptrdiff_t column = 0; column < in; column += QL_PANEL)
        for (ptrdiff_t row = 0; row < out;) {
            int height = next_height(out - row);
            switch (height) {
#define CASE(n)                                                                                                        \
    case n: tile_gradient(n, rows, left, ldl, right, ldr, &to, row, column, nothing); break;
                EACH_HEIGHT(CASE)
#undef CASE
            }
            row += height;
        }
    return 2.0 * rows * out * in;
}
