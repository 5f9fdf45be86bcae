#include "quad/lattice.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct form {
    int32_t count;
    int32_t *variable; /* ascending */
    int64_t *coefficient;
} form;

struct ql_lattice {
    int32_t given, count, room;
    uint8_t *prefer; /* per variable; variables made by Euclid's steps have 0 */
    form *value;     /* what a variable was replaced by */
    uint8_t *gone;   /* replaced */
    int64_t *dense;  /* work: coefficients by variable */
    int32_t *touched;
    uint8_t *mark;
};

static void *grown(void *block, int32_t room, size_t size) { return ql_memory_resize(block, (size_t)room, size); }

static ql_status make_room(ql_lattice *l)
{
    if (l->count < l->room) return QL_OK;
    int32_t room = l->room + l->room / 2 + 64;
    void *p;
#define GROW(member)                                                                                                   \
    if ((p = grown(l->member, room, sizeof *l->member)) == NULL)                                                       \
        return QL_FAIL(NO_MEMORY, "no memory for the lattice");                                                        \
    l->member = p
    GROW(prefer);
    GROW(value);
    GROW(gone);
    GROW(dense);
    GROW(touched);
    GROW(mark);
#undef GROW
    l->room = room;
    return QL_OK;
}

ql_status ql_lattice_create(ql_lattice **out, int32_t variables, const uint8_t *prefer)
{
    QL_TRY(QL_TAKE(*out, 1));
    ql_lattice *l = *out;
    l->given = variables;
    l->count = 0;
    ql_status status = QL_OK;
    while (status == QL_OK && l->room < variables + 1) {
        l->count = l->room;
        status = make_room(l);
    }
    l->count = variables;
    if (status == QL_OK && prefer != NULL && variables > 0) memcpy(l->prefer, prefer, (size_t)variables);
    if (status != QL_OK) {
        ql_lattice_destroy(l);
        *out = NULL;
    }
    return status;
}

void ql_lattice_destroy(ql_lattice *l)
{
    if (l == NULL) return;
    for (int32_t i = 0; i < l->room; ++i) {
        ql_free(l->value[i].variable);
        ql_free(l->value[i].coefficient);
    }
    ql_free(l->prefer);
    ql_free(l->value);
    ql_free(l->gone);
    ql_free(l->dense);
    ql_free(l->touched);
    ql_free(l->mark);
    ql_free(l);
}

static void scatter(ql_lattice *l, int32_t *n, int32_t variable, int64_t coefficient)
{
    if (!l->mark[variable]) {
        l->mark[variable] = 1;
        l->touched[(*n)++] = variable;
        l->dense[variable] = 0;
    }
    l->dense[variable] += coefficient;
}

/* Replaces until only free variables are left in the work row. */
static void reduce(ql_lattice *l, int32_t *n)
{
    for (int again = 1; again;) {
        again = 0;
        for (int32_t i = 0; i < *n; ++i) {
            int32_t v = l->touched[i];
            int64_t c = l->dense[v];
            if (!l->gone[v] || c == 0) continue;
            l->dense[v] = 0;
            again = 1;
            for (int32_t k = 0; k < l->value[v].count; ++k)
                scatter(l, n, l->value[v].variable[k], c * l->value[v].coefficient[k]);
        }
    }
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* variable <- sum of factor_i * v_i over the work row, where factor comes from `scaled` coefficients. */
static ql_status substitute(ql_lattice *l, int32_t pivot, int32_t n, const int64_t *factor)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; ++i) count += l->touched[i] != pivot && factor[i] != 0;
    form *value = &l->value[pivot];
    QL_TRY(QL_TAKE(value->variable, count + 1));
    QL_TRY(QL_TAKE(value->coefficient, count + 1));
    for (int32_t i = 0; i < n; ++i)
        if (l->touched[i] != pivot && factor[i] != 0) {
            value->variable[value->count] = l->touched[i];
            value->coefficient[value->count++] = factor[i];
        }
    l->gone[pivot] = 1;
    return QL_OK;
}

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

/* The variable to eliminate: smallest coefficient, then preferred ones. */
static int32_t choose(const ql_lattice *l, int32_t n)
{
    int32_t best = -1;
    for (int32_t i = 0; i < n; ++i) {
        int32_t v = l->touched[i];
        int64_t c = magnitude(l->dense[v]);
        if (c == 0) continue;
        int64_t b = best < 0 ? 0 : magnitude(l->dense[best]);
        if (best < 0 || c < b || (c == b && l->prefer[v] > l->prefer[best])) best = v;
    }
    return best;
}

static ql_status eliminate(ql_lattice *l, int32_t n)
{
    int64_t *factor = NULL;
    QL_TRY(QL_TAKE(factor, l->room + 2));
    ql_status status = QL_OK;
    while (status == QL_OK) {
        int64_t common = 0;
        for (int32_t i = 0; i < n; ++i) common = gcd(common, l->dense[l->touched[i]]);
        if (common == 0) break;
        for (int32_t i = 0; i < n; ++i) l->dense[l->touched[i]] /= common;
        int32_t pivot = choose(l, n);
        int64_t c = l->dense[pivot];
        if (magnitude(c) == 1) {
            for (int32_t i = 0; i < n; ++i) factor[i] = -c * l->dense[l->touched[i]];
            status = substitute(l, pivot, n, factor);
            break;
        }
        /* pivot = fresh - sum of floor(a_k / c) v_k leaves smaller coefficients */
        if (l->count >= l->room) {
            status = make_room(l);
            if (status != QL_OK) break;
            int64_t *more = ql_memory_resize(factor, (size_t)l->room + 2, sizeof *factor);
            if (more == NULL) {
                status = QL_FAIL(NO_MEMORY, "no memory for the lattice");
                break;
            }
            factor = more;
        }
        int32_t fresh = l->count++;
        for (int32_t i = 0; i < n; ++i) {
            int32_t v = l->touched[i];
            int64_t quotient = v == pivot ? 0 : l->dense[v] / c;
            factor[i] = -quotient;
            if (v != pivot) l->dense[v] -= quotient * c;
        }
        l->mark[fresh] = 1;
        l->dense[fresh] = c;
        l->touched[n] = fresh;
        factor[n++] = 1;
        status = substitute(l, pivot, n, factor);
        l->dense[pivot] = 0;
    }
    ql_free(factor);
    return status;
}

ql_status ql_lattice_add(ql_lattice *l, const int32_t *variable, const int64_t *coefficient, int32_t count)
{
    int32_t n = 0;
    for (int32_t i = 0; i < count; ++i) scatter(l, &n, variable[i], coefficient[i]);
    reduce(l, &n);
    ql_status status = eliminate(l, n);
    memset(l->mark, 0, (size_t)l->room);
    return status;
}

ql_status ql_lattice_solve(ql_lattice *l, double **matrix, int32_t *free_count)
{
    int32_t *column = NULL, columns = 0;
    QL_TRY(QL_TAKE(column, l->count + 1));
    for (int32_t v = 0; v < l->count; ++v)
        if (!l->gone[v]) column[v] = columns++;
    ql_status status = QL_TAKE(*matrix, (int64_t)l->given * columns + 1);
    for (int32_t v = 0; status == QL_OK && v < l->given; ++v) {
        int32_t n = 0;
        scatter(l, &n, v, 1);
        reduce(l, &n);
        for (int32_t i = 0; i < n; ++i) {
            int32_t u = l->touched[i];
            if (!l->gone[u]) (*matrix)[(int64_t)v * columns + column[u]] = (double)l->dense[u];
            l->mark[u] = 0;
        }
    }
    *free_count = columns;
    ql_free(column);
    return status;
}
