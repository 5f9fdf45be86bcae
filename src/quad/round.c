#include "quad/round.h"

#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

ql_status ql_conditions_add(ql_conditions *c, const int32_t *variable, const double *coefficient, int32_t terms,
                            double least)
{
    if (c->count + 2 > c->room) {
        int32_t room = 2 * c->room + 64;
        void *p = ql_memory_resize(c->start, (size_t)room, sizeof *c->start);
        if (p != NULL) c->start = p;
        void *q = ql_memory_resize(c->least, (size_t)room, sizeof *c->least);
        if (q != NULL) c->least = q;
        if (p == NULL || q == NULL) return QL_FAIL(NO_MEMORY, "no memory for conditions");
        c->room = room;
    }
    if (c->terms + terms > c->term_room) {
        int32_t room = 2 * c->term_room + terms + 64;
        void *p = ql_memory_resize(c->variable, (size_t)room, sizeof *c->variable);
        if (p != NULL) c->variable = p;
        void *q = ql_memory_resize(c->coefficient, (size_t)room, sizeof *c->coefficient);
        if (q != NULL) c->coefficient = q;
        if (p == NULL || q == NULL) return QL_FAIL(NO_MEMORY, "no memory for conditions");
        c->term_room = room;
    }
    c->start[c->count] = c->terms;
    c->least[c->count++] = least;
    for (int32_t k = 0; k < terms; ++k) {
        c->variable[c->terms] = variable[k];
        c->coefficient[c->terms++] = coefficient[k];
    }
    c->start[c->count] = c->terms;
    return QL_OK;
}

void ql_conditions_destroy(ql_conditions *c)
{
    if (c == NULL) return;
    ql_free(c->start);
    ql_free(c->least);
    ql_free(c->variable);
    ql_free(c->coefficient);
    memset(c, 0, sizeof *c);
}

/* Inverse of a symmetric positive definite matrix, in place, by Gauss-Jordan without pivoting. */
static void invert(double *a, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        double *rk = a + (int64_t)k * n, d = rk[k];
        if (!(fabs(d) > 1e-13)) d = 1e-13;
        double inv = 1 / d;
        rk[k] = 1;
        for (int32_t j = 0; j < n; ++j) rk[j] *= inv;
        for (int32_t i = 0; i < n; ++i) {
            if (i == k) continue;
            double *ri = a + (int64_t)i * n, f = ri[k];
            if (f == 0) continue;
            ri[k] = 0;
            for (int32_t j = 0; j < n; ++j) ri[j] -= f * rk[j];
        }
    }
}

typedef struct search {
    const double *schur, *linear;
    const ql_conditions *conditions;
    int32_t n;
    double *z, *slope;       /* slope = S z - b */
    double *missing;         /* per condition: least - left side */
    int32_t *touch_start;    /* per variable (+1): the conditions that it is in */
    int32_t *touch;          /* index into the conditions' terms */
    int32_t *term_condition; /* condition of a term */
    int64_t work, worked;    /* that pairs of steps have cost so far; that earlier searches have */
    int64_t singles;         /* that single steps have cost */
} search;

/* Thousands of integers with as many broken conditions would try steps for hours: from here on no more pairs, single steps that mend
 * or descend, or steps that break others. Counts of looks at a condition and not times, so that results do not depend on the
 * machine. */
static const int64_t PAIR_WORK = 30000000, SINGLE_WORK = 60000000, BREAKOUT_WORK = 100000000;

static void slopes(search *s)
{
    for (int32_t i = 0; i < s->n; ++i) {
        double sum = -s->linear[i];
        for (int32_t j = 0; j < s->n; ++j) sum += s->schur[(int64_t)i * s->n + j] * s->z[j];
        s->slope[i] = sum;
    }
}

/* Left sides of all conditions, and which conditions a variable is in. */
static ql_status index_conditions(search *s)
{
    const ql_conditions *c = s->conditions;
    int32_t count = c == NULL ? 0 : c->count, terms = c == NULL ? 0 : c->terms;
    QL_TRY(QL_TAKE(s->missing, count + 1));
    QL_TRY(QL_TAKE(s->touch_start, s->n + 2));
    QL_TRY(QL_TAKE(s->touch, terms + 1));
    QL_TRY(QL_TAKE(s->term_condition, terms + 1));
    for (int32_t i = 0; i < count; ++i) {
        s->missing[i] = c->least[i];
        for (int32_t k = c->start[i]; k < c->start[i + 1]; ++k) {
            s->missing[i] -= c->coefficient[k] * s->z[c->variable[k]];
            s->term_condition[k] = i;
            s->touch_start[c->variable[k] + 2]++;
        }
    }
    for (int32_t v = 0; v < s->n; ++v) s->touch_start[v + 2] += s->touch_start[v + 1];
    for (int32_t k = 0; k < terms; ++k) s->touch[s->touch_start[c->variable[k] + 1]++] = k;
    return QL_OK;
}

/* What a step of z[k] does to the conditions alone. */
static void shift_missing(search *s, int32_t k, double step)
{
    for (int32_t i = s->touch_start[k]; i < s->touch_start[k + 1]; ++i)
        s->missing[s->term_condition[s->touch[i]]] -= step * s->conditions->coefficient[s->touch[i]];
}

static void move(search *s, int32_t k, double step)
{
    s->z[k] += step;
    for (int32_t j = 0; j < s->n; ++j) s->slope[j] += step * s->schur[(int64_t)k * s->n + j];
    shift_missing(s, k, step);
}

/* How far all conditions are from holding, in all. */
static double shortfall(const search *s, int32_t *broken)
{
    double total = 0;
    *broken = 0;
    for (int32_t i = 0; s->conditions != NULL && i < s->conditions->count; ++i) {
        if (s->missing[i] <= 1e-9) continue;
        ++*broken;
        total += s->missing[i];
    }
    return total;
}

/* Change of the shortfall when z[k] moves by step. */
static double shortfall_change(search *s, int32_t k, double step)
{
    double change = 0;
    s->singles += 1 + s->touch_start[k + 1] - s->touch_start[k];
    for (int32_t i = s->touch_start[k]; i < s->touch_start[k + 1]; ++i) {
        double missing = s->missing[s->term_condition[s->touch[i]]];
        change += fmax(0, missing - s->conditions->coefficient[s->touch[i]] * step) - fmax(0, missing);
    }
    return change;
}

/* The best single or double step for a broken condition: least energy per shortfall mended. Pairs move a second variable of
 * any condition that the first step breaks. */
static bool mend(search *s)
{
    const ql_conditions *c = s->conditions;
    double best = INFINITY, best_step[2] = {0, 0};
    int32_t pick[2] = {-1, -1};
    for (int32_t i = 0; i < c->count && s->singles < SINGLE_WORK; ++i) {
        if (s->missing[i] <= 1e-9) continue;
        for (int32_t t = c->start[i]; t < c->start[i + 1]; ++t) {
            int32_t k = c->variable[t], n = s->n;
            double step = c->coefficient[t] > 0 ? 1 : -1;
            double cost = 0.5 * s->schur[(int64_t)k * n + k] + step * s->slope[k],
                   change = shortfall_change(s, k, step);
            if (change < -1e-9 && (cost > 0 ? cost / -change : cost * -change) < best) {
                best = cost > 0 ? cost / -change : cost * -change;
                pick[0] = k;
                pick[1] = -1;
                best_step[0] = step;
            }
            if (s->work > PAIR_WORK) continue;
            shift_missing(s, k, step);
            for (int32_t q = s->touch_start[k]; q < s->touch_start[k + 1]; ++q) { /* neighbours through conditions */
                int32_t other = s->term_condition[s->touch[q]];
                if (s->missing[other] <= 1e-9) continue;
                for (int32_t r = c->start[other]; r < c->start[other + 1]; ++r) {
                    int32_t m = c->variable[r];
                    double second = c->coefficient[r] > 0 ? 1 : -1;
                    if (m == k) continue;
                    double both = cost + 0.5 * s->schur[(int64_t)m * n + m] + second * s->slope[m] +
                                  step * second * s->schur[(int64_t)k * n + m];
                    ++s->work;
                    if ((both > 0 ? 0.3 * both : both) >= best) continue;
                    s->work += s->touch_start[m + 1] - s->touch_start[m];
                    double total = change + shortfall_change(s, m, second);
                    double score = both > 0 ? both / -total : both * -total;
                    if (total >= -1e-9 || score >= best) continue;
                    best = score;
                    pick[0] = k;
                    pick[1] = m;
                    best_step[0] = step;
                    best_step[1] = second;
                }
            }
            shift_missing(s, k, -step);
        }
    }
    for (int side = 0; side < 2; ++side)
        if (pick[side] >= 0) move(s, pick[side], best_step[side]);
    return pick[0] >= 0;
}

/* Weighted shortfall that a step of z[k] removes (negative: it removes some). */
static double weighted_change(const search *s, const double *weight, int32_t k, double step)
{
    double change = 0;
    for (int32_t i = s->touch_start[k]; i < s->touch_start[k + 1]; ++i) {
        int32_t c = s->term_condition[s->touch[i]];
        double missing = s->missing[c];
        change += weight[c] * (fmax(0, missing - s->conditions->coefficient[s->touch[i]] * step) - fmax(0, missing));
    }
    return change;
}

/* The step for some broken condition that lowers the weighted shortfall most, energy counted at `rate`; false = none does. */
static bool best_weighted(search *s, const double *weight, double rate, int32_t *pick, double *pick_step)
{
    const ql_conditions *c = s->conditions;
    double best = -1e-9;
    *pick = -1;
    for (int32_t i = 0; i < c->count && s->work < BREAKOUT_WORK; ++i) {
        if (s->missing[i] <= 1e-9) continue;
        for (int32_t t = c->start[i]; t < c->start[i + 1]; ++t) {
            int32_t k = c->variable[t];
            double step = c->coefficient[t] > 0 ? 1 : -1;
            s->work += s->touch_start[k + 1] - s->touch_start[k];
            double change = weighted_change(s, weight, k, step);
            double cost = 0.5 * s->schur[(int64_t)k * s->n + k] + step * s->slope[k];
            if (change >= -1e-9 || change + rate * cost >= best) continue;
            best = change + rate * cost;
            *pick = k;
            *pick_step = step;
        }
    }
    return *pick >= 0;
}

/* Where steps one or two at a time end with conditions broken: those gain weight until a step that breaks others for them pays
 * (breakout local search, Morris 1993). The best state met is kept. */
static ql_status break_out(search *s, int32_t *broken)
{
    int32_t count = s->conditions->count;
    double *weight = NULL, *kept = NULL, mean = 0;
    ql_status status = QL_TAKE(weight, count + 1);
    if (status == QL_OK) status = QL_TAKE(kept, s->n);
    if (status == QL_OK) {
        double least = shortfall(s, broken);
        for (int32_t i = 0; i < s->n; ++i) mean += s->schur[(int64_t)i * s->n + i] / s->n;
        for (int32_t i = 0; i < count; ++i) weight[i] = 1;
        memcpy(kept, s->z, (size_t)s->n * sizeof *kept);
        s->worked = s->work;
        s->work = 0;
        for (int32_t step = 0; *broken > 0 && step < 20 * s->n + 2000 && s->work < BREAKOUT_WORK; ++step) {
            int32_t pick;
            double pick_step = 0;
            if (!best_weighted(s, weight, 0.1 / fmax(mean, 1e-300), &pick, &pick_step)) {
                for (int32_t i = 0; i < count; ++i) weight[i] += s->missing[i] > 1e-9;
                continue;
            }
            move(s, pick, pick_step);
            s->work += s->n;
            double now = shortfall(s, broken);
            if (now >= least) continue;
            least = now;
            memcpy(kept, s->z, (size_t)s->n * sizeof *kept);
        }
        for (int32_t k = 0; k < s->n; ++k)
            if (kept[k] != s->z[k]) move(s, k, kept[k] - s->z[k]);
        (void)shortfall(s, broken);
    }
    ql_free(weight);
    ql_free(kept);
    return status;
}

/* Single steps that lower the energy and break nothing more. */
static void descend(search *s)
{
    int64_t limit = s->singles + SINGLE_WORK;
    for (int sweep = 0; sweep < 200 + 4 * s->n && s->singles < limit; ++sweep) {
        double best = -1e-9, best_step = 0;
        int32_t pick = -1;
        for (int32_t k = 0; k < s->n; ++k)
            for (double step = -1; step <= 1; step += 2) {
                double cost = 0.5 * s->schur[(int64_t)k * s->n + k] + step * s->slope[k];
                if (cost >= best || shortfall_change(s, k, step) > 1e-9) continue;
                best = cost;
                best_step = step;
                pick = k;
            }
        if (pick < 0) return;
        move(s, pick, best_step);
    }
}

static ql_status greedy(const double *schur, const double *linear, int32_t n, double *z)
{
    double *q = NULL, *x = NULL;
    uint8_t *fixed = NULL;
    ql_status status = QL_TAKE(q, (int64_t)n * n + 1);
    if (status == QL_OK) status = QL_TAKE(x, n + 1);
    if (status == QL_OK) status = QL_TAKE(fixed, n + 1);
    if (status == QL_OK) {
        double mean = 0;
        for (int32_t i = 0; i < n; ++i) mean += schur[(int64_t)i * n + i] / n;
        memcpy(q, schur, (size_t)n * (size_t)n * sizeof *q);
        for (int32_t i = 0; i < n; ++i) q[(int64_t)i * n + i] += 1e-8 * mean + 1e-12;
        invert(q, n);
        for (int32_t i = 0; i < n; ++i)
            for (int32_t j = 0; j < n; ++j) x[i] += q[(int64_t)i * n + j] * linear[j];
        for (int32_t round = 0; round < n; ++round) {
            int32_t pick = -1;
            double best = INFINITY;
            for (int32_t i = 0; i < n; ++i) {
                double off = fabs(x[i] - nearbyint(x[i]));
                if (!fixed[i] && off < best) {
                    best = off;
                    pick = i;
                }
            }
            const double *row = q + (int64_t)pick * n;
            double target = nearbyint(x[pick]), d = row[pick], step = d > 0 ? (target - x[pick]) / d : 0;
            for (int32_t i = 0; i < n; ++i)
                if (!fixed[i]) x[i] += step * row[i];
            x[pick] = z[pick] = target;
            fixed[pick] = 1;
            for (int32_t i = 0; d > 0 && i < n; ++i) {
                if (fixed[i] || row[i] == 0) continue;
                double f = row[i] / d, *ri = q + (int64_t)i * n;
                for (int32_t j = 0; j < n; ++j) ri[j] -= f * row[j];
            }
        }
    }
    ql_free(q);
    ql_free(x);
    ql_free(fixed);
    return status;
}

ql_status ql_round(const double *schur, const double *linear, int32_t n, const ql_conditions *conditions, double *z,
                   int32_t *broken, int64_t *work)
{
    *broken = 0;
    *work = 2 * (int64_t)n * n * n;
    if (n == 0) return QL_OK;
    search s = {.schur = schur, .linear = linear, .conditions = conditions, .n = n, .z = z};
    QL_TRY(greedy(schur, linear, n, z));
    ql_status status = QL_TAKE(s.slope, n);
    if (status == QL_OK) status = index_conditions(&s);
    if (status == QL_OK) {
        slopes(&s);
        for (int32_t step = 0; step < 2 * n + 100 && s.singles < SINGLE_WORK && shortfall(&s, broken) > 0; ++step)
            if (!mend(&s)) break;
        if (shortfall(&s, broken) > 0) status = break_out(&s, broken);
        descend(&s);
        (void)shortfall(&s, broken);
        *work += 10 * (s.work + s.worked + s.singles);
    }
    ql_free(s.slope);
    ql_free(s.missing);
    ql_free(s.touch_start);
    ql_free(s.touch);
    ql_free(s.term_condition);
    return status;
}
