#include "quad/map.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <cblas.h>
#include <cholmod.h>
#include <string.h>

/* Corners of a face in its chart's axes, input units. */
static void local_corners(const ql_map *map, int32_t f, double p[3][2])
{
    const ql_surface *s = map->surface;
    double n[3], x[3], y[3], phi = map->cut->phi[f];
    (void)ql_surface_normal(s, f, n);
    ql_sub(ql_at(s, s->faces[3 * f + 1]), ql_at(s, s->faces[3 * f]), x);
    (void)ql_normalise(x);
    ql_cross(n, x, y);
    for (int k = 0; k < 3; ++k) {
        double d[3];
        ql_sub(ql_at(s, s->faces[3 * f + k]), ql_at(s, s->faces[3 * f]), d);
        double a = ql_dot(d, x), b = ql_dot(d, y);
        p[k][0] = a * cos(phi) + b * sin(phi);
        p[k][1] = -a * sin(phi) + b * cos(phi);
    }
}

/* Stiffness of linear triangles, e_a . e_b / (4 area) with the area bounded below: positive semidefinite even for slivers. */
static void stiffness(double p[3][2], double k[3][3])
{
    double e[3][2], longest2 = 0;
    for (int a = 0; a < 3; ++a) { /* edge across from corner a */
        int b = (a + 1) % 3, c = (a + 2) % 3;
        e[a][0] = p[c][0] - p[b][0];
        e[a][1] = p[c][1] - p[b][1];
        longest2 = fmax(longest2, e[a][0] * e[a][0] + e[a][1] * e[a][1]);
    }
    double twice = fmax(fabs(e[0][0] * e[1][1] - e[0][1] * e[1][0]), 0.02 * longest2);
    for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b) k[a][b] = (e[a][0] * e[b][0] + e[a][1] * e[b][1]) / fmax(2 * twice, 1e-300);
}

typedef struct triplets {
    int32_t *i, *j;
    double *x;
    int64_t count, room;
} triplets;

static ql_status push(triplets *t, int32_t i, int32_t j, double x)
{
    if (t->count == t->room) {
        int64_t room = t->room + t->room / 2 + 4096;
        void *p = ql_memory_resize(t->i, (size_t)room, sizeof *t->i);
        if (p != NULL) t->i = p;
        void *q = ql_memory_resize(t->j, (size_t)room, sizeof *t->j);
        if (q != NULL) t->j = q;
        void *r = ql_memory_resize(t->x, (size_t)room, sizeof *t->x);
        if (r != NULL) t->x = r;
        if (p == NULL || q == NULL || r == NULL) return QL_FAIL(NO_MEMORY, "no memory for the map's matrix");
        t->room = room;
    }
    t->i[t->count] = i > j ? i : j;
    t->j[t->count] = i > j ? j : i;
    t->x[t->count++] = x;
    return QL_OK;
}

/* Lower part of the matrix over (y, w) and the right-hand side at edge = 1. */
static ql_status assemble(const ql_map *map, const double *weight, triplets *t, double *rhs)
{
    const ql_grid *grid = map->grid;
    for (int32_t f = 0; f < map->surface->face_count; ++f) {
        double p[3][2], k[3][3];
        local_corners(map, f, p);
        stiffness(p, k);
        double wished = map->cut->scale[f];
        for (int c = 0; c < 2; ++c) {
            double w = weight != NULL ? weight[2 * (int64_t)f + c] : 1;
            for (int a = 0; a < 3; ++a) {
                const int32_t *sa = grid->start + 6 * (int64_t)f + 2 * a + c;
                double wish = k[a][0] * p[0][c] + k[a][1] * p[1][c] + k[a][2] * p[2][c];
                for (int32_t i = sa[0]; i < sa[1]; ++i) {
                    rhs[grid->term[i].variable] += w * wished * wish * grid->term[i].sign;
                    for (int b = 0; b < 3; ++b) {
                        const int32_t *sb = grid->start + 6 * (int64_t)f + 2 * b + c;
                        for (int32_t j = sb[0]; j < sb[1]; ++j)
                            if (grid->term[i].variable >= grid->term[j].variable)
                                QL_TRY(push(t, grid->term[i].variable, grid->term[j].variable,
                                            w * k[a][b] * grid->term[i].sign * grid->term[j].sign));
                    }
                }
            }
        }
    }
    double ridge = 1e-9;
    for (int32_t v = 0; v < map->size; ++v) QL_TRY(push(t, v, v, ridge));
    return QL_OK;
}

static cholmod_sparse *to_sparse(const triplets *t, int32_t size, cholmod_common *common)
{
    cholmod_triplet view = {.nrow = (size_t)size,
                            .ncol = (size_t)size,
                            .nzmax = (size_t)t->count,
                            .nnz = (size_t)t->count,
                            .i = t->i,
                            .j = t->j,
                            .x = t->x,
                            .stype = -1,
                            .itype = CHOLMOD_INT,
                            .xtype = CHOLMOD_REAL,
                            .dtype = CHOLMOD_DOUBLE};
    return cholmod_triplet_to_sparse(&view, (size_t)t->count, common);
}

/* Fill-reducing order of the real variables alone, then the integers as they come. */
static ql_status choose_order(ql_map *map, cholmod_sparse *all, cholmod_common *common)
{
    int32_t reals = map->grid->reals, n = 0;
    triplets part = {0};
    ql_status status = QL_OK;
    const int *p = all->p, *i = all->i;
    for (int32_t j = 0; status == QL_OK && j < reals; ++j)
        for (int k = p[j]; status == QL_OK && k < p[j + 1] && i[k] < reals; ++k) status = push(&part, i[k], j, 1);
    cholmod_sparse *a = status == QL_OK && reals > 0 ? to_sparse(&part, reals, common) : NULL;
    cholmod_factor *symbolic = a != NULL ? cholmod_analyze(a, common) : NULL;
    if (status == QL_OK && reals > 0 && symbolic == NULL) status = QL_FAIL(NO_MEMORY, "map: symbolic analysis failed");
    if (status == QL_OK) {
        const int *perm = symbolic != NULL ? symbolic->Perm : NULL;
        for (n = 0; n < reals; ++n) map->order[n] = perm[n];
        for (; n < map->size; ++n) map->order[n] = n;
    }
    cholmod_free_factor(&symbolic, common);
    cholmod_free_sparse(&a, common);
    ql_free(part.i);
    ql_free(part.j);
    ql_free(part.x);
    return status;
}

/* Copies the simplicial factor. */
static ql_status keep_factor(ql_map *map, const cholmod_factor *factor)
{
    const int *p = factor->p, *i = factor->i, *nz = factor->nz;
    const double *x = factor->x;
    int64_t total = 0;
    for (int32_t j = 0; j < map->size; ++j) total += nz[j];
    QL_TRY(QL_TAKE(map->column, map->size + 1));
    QL_TRY(QL_TAKE(map->row, total + 1));
    QL_TRY(QL_TAKE(map->entry, total + 1));
    for (int32_t j = 0; j < map->size; ++j) {
        int64_t at = map->column[j];
        memcpy(map->row + at, i + p[j], (size_t)nz[j] * sizeof *i);
        memcpy(map->entry + at, x + p[j], (size_t)nz[j] * sizeof *x);
        map->column[j + 1] = at + nz[j];
    }
    return QL_OK;
}

static ql_status factorise(ql_map *map, const triplets *t, cholmod_common *common)
{
    cholmod_sparse *a = to_sparse(t, map->size, common);
    if (a == NULL) return QL_FAIL(NO_MEMORY, "no memory for the map's matrix of %d rows", map->size);
    ql_status status = QL_OK;
    if (map->order == NULL) {
        status = QL_TAKE(map->order, map->size + 1);
        if (status == QL_OK) status = choose_order(map, a, common);
    }
    cholmod_factor *factor = NULL;
    if (status == QL_OK) {
        common->nmethods = 1;
        common->method[0].ordering = CHOLMOD_GIVEN;
        common->postorder = 0;
        factor = cholmod_analyze_p(a, map->order, NULL, 0, common);
        int good = factor != NULL && cholmod_factorize(a, factor, common) && common->status == CHOLMOD_OK &&
                   cholmod_change_factor(CHOLMOD_REAL, 1, 0, 1, 1, factor, common);
        if (!good) status = QL_FAIL(NUMERIC, "map: factorisation failed (CHOLMOD status %d)", common->status);
    }
    if (status == QL_OK) status = keep_factor(map, factor);
    cholmod_free_factor(&factor, common);
    cholmod_free_sparse(&a, common);
    return status;
}

/* reduced = L^-1 P rhs. */
static void forward(const ql_map *map, const double *rhs)
{
    double *c = map->reduced;
    for (int32_t j = 0; j < map->size; ++j) c[j] = rhs[map->order[j]];
    for (int32_t j = 0; j < map->size; ++j) {
        int64_t at = map->column[j];
        c[j] /= map->entry[at];
        for (int64_t k = at + 1; k < map->column[j + 1]; ++k) c[map->row[k]] -= map->entry[k] * c[j];
    }
}

/* g = Lww' D, row by row: most of D is zeros. */
static ql_status multiply_lattice(const ql_map *map, double *g)
{
    const ql_grid *grid = map->grid;
    int32_t nw = grid->integers, nz = grid->free_integers, first = grid->reals;
    int32_t *column = NULL;
    int64_t *start = NULL, terms = 0;
    for (int64_t i = 0; i < (int64_t)nw * nz; ++i) terms += grid->lattice[i] != 0;
    QL_TRY(QL_TAKE(start, nw + 1));
    ql_status status = QL_TAKE(column, terms + 1);
    for (int32_t j = 0; status == QL_OK && j < nw; ++j) {
        start[j + 1] = start[j];
        for (int32_t q = 0; q < nz; ++q)
            if (grid->lattice[(int64_t)j * nz + q] != 0) column[start[j + 1]++] = q;
    }
    for (int32_t j = 0; status == QL_OK && j < nw; ++j)
        for (int64_t k = map->column[first + j]; k < map->column[first + j + 1]; ++k) {
            int32_t row = map->row[k] - first;
            const double *d = grid->lattice + (int64_t)row * nz;
            double l = map->entry[k], *out = g + (int64_t)j * nz;
            for (int64_t t = start[row]; t < start[row + 1]; ++t) out[column[t]] += l * d[column[t]];
        }
    ql_free(start);
    ql_free(column);
    return status;
}

/* schur = G' G and linear = G' c with G = Lww' D. */
static ql_status condense(ql_map *map)
{
    const ql_grid *grid = map->grid;
    int32_t nw = grid->integers, nz = grid->free_integers, first = grid->reals;
    double *g = NULL;
    QL_TRY(QL_TAKE(map->schur, (int64_t)nz * nz + 1));
    QL_TRY(QL_TAKE(map->linear, nz + 1));
    QL_TRY(QL_TAKE(g, (int64_t)nw * nz + 1));
    ql_status status = multiply_lattice(map, g);
    if (status == QL_OK && nz > 0 && nw > 0) {
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, nz, nz, nw, 1, g, nz, g, nz, 0, map->schur, nz);
        cblas_dgemv(CblasRowMajor, CblasTrans, nw, nz, 1, g, nz, map->reduced + first, 1, 0, map->linear, 1);
    }
    ql_free(g);
    return status;
}

/* What depends on the weights: the factor and all that is computed from it. */
static void forget(ql_map *map)
{
    ql_free(map->column);
    ql_free(map->row);
    ql_free(map->entry);
    ql_free(map->reduced);
    ql_free(map->schur);
    ql_free(map->linear);
    map->column = NULL;
    map->row = NULL;
    map->entry = map->reduced = map->schur = map->linear = NULL;
}

ql_status ql_map_reweigh(ql_map *map, const double *weight)
{
    triplets t = {0};
    double *rhs = NULL;
    cholmod_common common;
    forget(map);
    cholmod_start(&common);
    common.print = 0;
    ql_status status = QL_TAKE(rhs, map->size + 1);
    if (status == QL_OK) status = QL_TAKE(map->reduced, map->size + 1);
    if (status == QL_OK) status = assemble(map, weight, &t, rhs);
    if (status == QL_OK) status = factorise(map, &t, &common);
    if (status == QL_OK) {
        forward(map, rhs);
        status = condense(map);
    }
    cholmod_finish(&common);
    ql_free(t.i);
    ql_free(t.j);
    ql_free(t.x);
    ql_free(rhs);
    return status;
}

ql_status ql_map_create(ql_map *map, const ql_surface *surface, const ql_cut *cut, const ql_grid *grid)
{
    memset(map, 0, sizeof *map);
    map->surface = surface;
    map->cut = cut;
    map->grid = grid;
    map->size = grid->reals + grid->integers;
    ql_status status = ql_map_reweigh(map, NULL);
    if (status != QL_OK) ql_map_destroy(map);
    return status;
}

void ql_map_destroy(ql_map *map)
{
    if (map == NULL) return;
    forget(map);
    ql_free(map->order);
    memset(map, 0, sizeof *map);
}

ql_status ql_map_solve(const ql_map *map, double edge, const double *z, double *value)
{
    const ql_grid *grid = map->grid;
    double *x = NULL;
    QL_TRY(QL_TAKE(x, map->size + 1));
    for (int32_t i = 0; i < grid->integers; ++i) {
        double sum = 0;
        for (int32_t q = 0; q < grid->free_integers; ++q)
            sum += grid->lattice[(int64_t)i * grid->free_integers + q] * z[q];
        x[grid->reals + i] = sum;
    }
    for (int32_t j = grid->reals - 1; j >= 0; --j) {
        int64_t at = map->column[j];
        double sum = map->reduced[j] / edge;
        for (int64_t k = at + 1; k < map->column[j + 1]; ++k) sum -= map->entry[k] * x[map->row[k]];
        x[j] = sum / map->entry[at];
    }
    for (int32_t j = 0; j < map->size; ++j) value[map->order[j]] = x[j];
    ql_free(x);
    return QL_OK;
}

void ql_map_corners(const ql_map *map, const double *value, double *uv)
{
    const ql_grid *grid = map->grid;
    for (int64_t i = 0; i < 6 * (int64_t)map->surface->face_count; ++i) {
        uv[i] = 0;
        for (int32_t k = grid->start[i]; k < grid->start[i + 1]; ++k)
            uv[i] += grid->term[k].sign * value[grid->term[k].variable];
    }
}

ql_status ql_map_fixed(const ql_map *map, const double *value, int64_t *uv)
{
    const ql_grid *grid = map->grid;
    for (int32_t v = 0; v < map->size; ++v)
        if (!(fabs(value[v]) < 1e8)) return QL_FAIL(NUMERIC, "map: coordinate %g is out of range", value[v]);
    for (int64_t i = 0; i < 6 * (int64_t)map->surface->face_count; ++i) {
        uv[i] = 0;
        for (int32_t k = grid->start[i]; k < grid->start[i + 1]; ++k)
            uv[i] += grid->term[k].sign * llround(value[grid->term[k].variable] * (double)QL_FIXED_ONE);
    }
    return QL_OK;
}

ql_status ql_map_relaxed(const ql_map *map, double edge, double *z)
{
    int32_t n = map->grid->free_integers;
    double *a = NULL;
    QL_TRY(QL_TAKE(a, (int64_t)n * n + 1));
    memcpy(a, map->schur, (size_t)n * (size_t)n * sizeof *a);
    ql_status status = QL_OK;
    for (int32_t j = 0; status == QL_OK && j < n; ++j) { /* dense Cholesky in place */
        double d = a[(int64_t)j * n + j] * (1 + 1e-12);
        for (int32_t k = 0; k < j; ++k) d -= a[(int64_t)j * n + k] * a[(int64_t)j * n + k];
        d = sqrt(fmax(d, 1e-14));
        a[(int64_t)j * n + j] = d;
        for (int32_t i = j + 1; i < n; ++i) {
            double sum = a[(int64_t)i * n + j];
            for (int32_t k = 0; k < j; ++k) sum -= a[(int64_t)i * n + k] * a[(int64_t)j * n + k];
            a[(int64_t)i * n + j] = sum / d;
        }
    }
    for (int32_t i = 0; i < n; ++i) {
        z[i] = map->linear[i] / edge;
        for (int32_t k = 0; k < i; ++k) z[i] -= a[(int64_t)i * n + k] * z[k];
        z[i] /= a[(int64_t)i * n + i];
    }
    for (int32_t i = n - 1; i >= 0; --i) {
        for (int32_t k = i + 1; k < n; ++k) z[i] -= a[(int64_t)k * n + i] * z[k];
        z[i] /= a[(int64_t)i * n + i];
    }
    ql_free(a);
    return status;
}
