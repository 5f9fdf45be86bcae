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

QL_ALWAYS void tile_clear(tile *t, const int rows)
{
    QL_UNROLL
    for (int i = 0; i < rows; ++i) QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] = (ql_vector){0};
}

/* Adds the products of one inner index: factor i at a[i a_row], the other factor's row at b. */
QL_ALWAYS void tile_step(tile *t, const int rows, const bool pairs, const float *const a[], int at, const float *b)
{
    ql_vector row[QL_VECTORS];
    QL_UNROLL
    for (int v = 0; v < QL_VECTORS; ++v) row[v] = ql_load(b + v * QL_LANES);
    QL_UNROLL
    for (int i = 0; i < rows; ++i) {
#ifdef QL_BF16
        if (pairs) {
            ql_vector pair = ql_splat_pair(a[i] + at);
            QL_UNROLL
            for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] = ql_add_pairs(t->sum[i][v], row[v], pair);
            continue;
        }
#else
        (void)pairs;
#endif
        ql_vector factor = ql_splat(a[i][at]);
        QL_UNROLL
        for (int v = 0; v < QL_VECTORS; ++v) t->sum[i][v] += factor * row[v];
    }
}

QL_ALWAYS void advance(const int rows, const float *a[], int by)
{
    QL_UNROLL
    for (int i = 0; i < rows; ++i) {
        a[i] += by;
        QL_OPAQUE_POINTER(a[i]);
    }
}

/* First factor by rows: row i at x + i ld, each with its own pointer; second one a panel. */
QL_ALWAYS void tile_multiply_rows(tile *t, const int rows, const bool pairs, int32_t inner, const float *x,
                                  ptrdiff_t ld, const float *b, ahead next)
{
    const float *a[QL_TILE_ROWS];
    QL_UNROLL
    for (int i = 0; i < rows; ++i) a[i] = x + i * ld;
    advance(rows, a, 0);
    tile_clear(t, rows);
    int32_t k = 0;
    for (; k + BLOCK <= inner; k += BLOCK, next.at += next.step) {
        for (int line = 0; line < next.lines; ++line) __builtin_prefetch(next.at + line * LINE, 0, 2);
        QL_UNROLL
        for (int j = 0; j < BLOCK; ++j) tile_step(t, rows, pairs, a, j, b + j * QL_PANEL);
        advance(rows, a, BLOCK);
        b += BLOCK * QL_PANEL;
        QL_OPAQUE_POINTER(b);
    }
    for (; k < inner; ++k, b += QL_PANEL) {
        tile_step(t, rows, pairs, a, 0, b);
        advance(rows, a, 1);
    }
}

/* First factor by columns: inner index k at x + k ldx, rows next to each other; second one by rows of ldb. */
QL_ALWAYS void tile_multiply_columns(tile *t, const int rows, const bool pairs, int32_t inner, const float *x,
                                     ptrdiff_t ldx, const float *b, ptrdiff_t ldb)
{
    const float *a[QL_TILE_ROWS];
    tile_clear(t, rows);
    const float *end = x + inner * ldx;
    while (x != end) {
        QL_UNROLL
        for (int i = 0; i < rows; ++i) a[i] = x + i;
        tile_step(t, rows, pairs, a, 0, b);
        x += ldx;
        b += ldb;
        QL_OPAQUE_POINTER(x);
        QL_OPAQUE_POINTER(b);
    }
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
QL_ALWAYS void tile_rows(const int rows, const bool pairs, int32_t inner, const float *x, ptrdiff_t ldx,
                         const float *panel, const ql_gemm_out *out, ptrdiff_t row, ptrdiff_t column, ahead next)
{
    tile t;
    tile_multiply_rows(&t, rows, pairs, inner, x + row * ldx, ldx, panel, next);
    tile_finish(&t, rows, out, row, column);
}

/* ... and by columns (gradients of weights). What is added to is far away: it is fetched first. */
QL_ALWAYS void tile_gradient(const int rows, const bool pairs, int32_t inner, const float *left, ptrdiff_t ldl,
                             const float *right, ptrdiff_t ldr, const ql_gemm_out *out, ptrdiff_t row, ptrdiff_t column)
{
    tile t;
    float *y = out->y + row * out->ldy + column;
    QL_UNROLL
    for (int i = 0; i < rows; ++i) {
        __builtin_prefetch(y + i * out->ldy, 1, 3);
        __builtin_prefetch(y + i * out->ldy + QL_PANEL - 1, 1, 3);
    }
    tile_multiply_columns(&t, rows, pairs, inner, left + row, ldl, right + column, ldr);
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

#ifdef QL_WIDE_TILE
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

/* Here and below `inner` counts what the loops see: numbers or pairs. */
QL_ALWAYS void multiply_rows(const bool pairs, int32_t rows, int32_t inner, int32_t columns, const float *x,
                             ptrdiff_t ldx, const float *packed, const ql_gemm_out *out)
{
    for (ptrdiff_t column = 0; column < columns; column += QL_PANEL) {
        const float *panel = packed + column * inner;
        ahead next = panel_ahead(panel, inner, rows);
        if (column + QL_PANEL >= columns) next.lines = 0;
        for (ptrdiff_t row = 0; row < rows;) {
            int height = next_height(rows - row);
            switch (height) {
#define CASE(n)                                                                                                        \
    case n: tile_rows(n, pairs, inner, x, ldx, panel, out, row, column, next); break;
                EACH_HEIGHT(CASE)
#undef CASE
            }
            row += height;
            next.at += next.step * (inner / BLOCK);
        }
    }
}

QL_ALWAYS void multiply_gradient(const bool pairs, int32_t inner, int32_t out, int32_t in, const float *left,
                                 ptrdiff_t ldl, const float *right, ptrdiff_t ldr, float *gradient, ptrdiff_t ldg)
{
    const ql_gemm_out to = {.y = gradient, .ldy = ldg};
    for (ptrdiff_t column = 0; column < in; column += QL_PANEL)
        for (ptrdiff_t row = 0; row < out;) {
            int height = next_height(out - row);
            switch (height) {
#define CASE(n)                                                                                                        \
    case n: tile_gradient(n, pairs, inner, left, ldl, right, ldr, &to, row, column); break;
                EACH_HEIGHT(CASE)
#undef CASE
            }
            row += height;
        }
}

double ql_gemm_rows(int32_t rows, int32_t inner, int32_t columns, const float *x, ptrdiff_t ldx, const float *packed,
                    const ql_gemm_out *out)
{
    multiply_rows(false, rows, inner, columns, x, ldx, packed, out);
    return 2.0 * rows * inner * columns;
}

double ql_gemm_gradient(int32_t rows, int32_t out, int32_t in, const float *left, ptrdiff_t ldl, const float *right,
                        ptrdiff_t ldr, float *gradient, ptrdiff_t ldg)
{
    multiply_gradient(false, rows, out, in, left, ldl, right, ldr, gradient, ldg);
    return 2.0 * rows * out * in;
}

#ifdef QL_BF16
double ql_gemm_rows_bf16(int32_t rows, int32_t inner, int32_t columns, const float *x, ptrdiff_t ldx, float *scratch,
                         const float *packed, const ql_gemm_out *out)
{
    const ptrdiff_t ld = inner / 2 + QL_PAD;
    for (int32_t i = 0; i < rows; ++i)
        for (int32_t k = 0; k < inner; k += QL_LANES) ql_store_bf16(scratch + i * ld + k / 2, ql_load(x + i * ldx + k));
    multiply_rows(true, rows, inner / 2, columns, scratch, ld, packed, out);
    return 2.0 * rows * inner * columns;
}

/* Rows 2 i and 2 i + 1 side by side in one row of pairs; a last single row is paired with zeros. */
static void pair_rows(int32_t rows, int32_t columns, const float *x, ptrdiff_t ldx, float *pairs, ptrdiff_t ld)
{
    for (int32_t i = 0; i < rows; i += 2, pairs += ld) {
        const float *first = x + i * ldx, *second = first + ldx;
        for (int32_t k = 0; k < columns; k += QL_LANES)
            ql_store(pairs + k, ql_pair(ql_load(first + k), i + 1 < rows ? ql_load(second + k) : (ql_vector){0}));
    }
}

double ql_gemm_gradient_bf16(int32_t rows, int32_t out, int32_t in, const float *left, ptrdiff_t ldl,
                             const float *right, ptrdiff_t ldr, float *scratch, float *gradient, ptrdiff_t ldg)
{
    const ptrdiff_t ld_out = out + QL_PAD, ld_in = in + QL_PAD;
    const int32_t inner = (rows + 1) / 2;
    float *again = scratch + inner * ld_out;
    pair_rows(rows, out, left, ldl, scratch, ld_out);
    pair_rows(rows, in, right, ldr, again, ld_in);
    multiply_gradient(true, inner, out, in, scratch, ld_out, again, ld_in, gradient, ldg);
    return 2.0 * rows * out * in;
}
#endif
