/* Allotment, order and the choice of the deadline (see allot.h). Granting and its simulation: allot_queue.c. */
#include "sweep/allot.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Deadlines to try, as fractions of the lower bound; and how much longer than predicted a single mesh may well take (3.5 deviations
 * of 10 %: of thousands of meshes one does). */
static const double FRACTIONS[] = {1, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2};
enum { FRACTION_COUNT = sizeof FRACTIONS / sizeof *FRACTIONS };
static const double LATENESS = 0.35;

typedef struct alloter {
    const ql_allot_problem *problem;
    int levels;
    int32_t size[QL_ALLOT_LEVELS]; /* ascending: 1, 2, 4, ..., ranks */
    double *least_s;               /* of each mesh: least k t(i, k) */
    double *first_s;               /* of each mesh: t with the group of least k t ... */
    int32_t *first;                /* ... and that group; 0: impossible with every group */
    int64_t *by_length;            /* meshes, descending first_s */
    double *rest_s;                /* sums of least_s from a position of by_length to the end; count + 1 */
} alloter;

static double seconds_of(const alloter *a, int64_t mesh, int level)
{
    return a->problem->seconds(a->problem->context, mesh, a->size[level]);
}

/* The group of least work with t <= deadline; when there is none, the fastest. Ties go to the smaller group. Level -1: impossible
 * with every group. */
static int choose_level(const alloter *a, int64_t mesh, double deadline_s, double *seconds)
{
    int best = -1, fastest = -1;
    double best_work = INFINITY, fastest_s = INFINITY;
    *seconds = 0;
    for (int level = 0; level < a->levels; ++level) {
        double t = seconds_of(a, mesh, level);
        if (t <= deadline_s && t * a->size[level] < best_work) {
            best = level;
            best_work = t * a->size[level];
            *seconds = t;
        }
        if (t < fastest_s) {
            fastest = level;
            fastest_s = t;
        }
    }
    if (best < 0 && fastest >= 0) *seconds = fastest_s;
    return best >= 0 ? best : fastest;
}

/* ---- order ---- */

typedef struct place {
    int32_t group;
    double seconds;
    int64_t mesh;
} place;

/* Larger groups first, in a group size longer meshes first. */
static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->group != y->group) return x->group > y->group ? -1 : 1;
    if (x->seconds != y->seconds) return x->seconds > y->seconds ? -1 : 1;
    return x->mesh < y->mesh ? -1 : x->mesh > y->mesh;
}

/* Larger groups first. Meshes that stay with the group of least work come by length already; of larger groups there are few. */
static void put_in_order(const alloter *a, ql_allotment *allotment, place *room)
{
    int64_t at = 0;
    for (int level = a->levels - 1; level >= 0; --level) {
        int64_t from = at;
        for (int64_t p = 0; p < allotment->count; ++p) {
            int64_t mesh = a->by_length[p];
            if (allotment->group[mesh] == a->size[level])
                room[at++] = (place){a->size[level], allotment->seconds[mesh], mesh};
        }
        if (level > 0) qsort(room + from, (size_t)(at - from), sizeof *room, compare_places);
    }
    for (int64_t p = 0; p < allotment->count; ++p) allotment->order[p] = room[p].mesh;
}

/* ---- lower bound ---- */

static void sort_by_length(alloter *a, place *room)
{
    int64_t count = a->problem->count;
    for (int64_t i = 0; i < count; ++i) {
        int level = choose_level(a, i, INFINITY, &a->first_s[i]);
        a->first[i] = level >= 0 ? a->size[level] : 0;
        a->least_s[i] = a->first_s[i] * a->first[i];
        room[i] = (place){0, a->first_s[i], i};
    }
    qsort(room, (size_t)count, sizeof *room, compare_places);
    for (int64_t p = count - 1; p >= 0; --p) {
        a->by_length[p] = room[p].mesh;
        a->rest_s[p] = a->rest_s[p + 1] + a->least_s[room[p].mesh];
    }
}

/* Whether groups exist with which every mesh takes at most w and all together at most ranks * w rank-seconds. */
static bool fits(const alloter *a, double w)
{
    double area = 0, room = w * a->problem->ranks;
    for (int64_t p = 0; p < a->problem->count && area <= room; ++p) {
        int64_t mesh = a->by_length[p];
        double seconds;
        if (a->first_s[mesh] <= w) return area + a->rest_s[p] <= room;
        int level = choose_level(a, mesh, w, &seconds);
        if (seconds > w) return false;
        area += seconds * a->size[level];
    }
    return area <= room;
}

static double find_bound(const alloter *a)
{
    double low = a->rest_s[0] / a->problem->ranks, high = low;
    if (!(low > 0) || fits(a, low)) return low;
    do high *= 2;
    while (!fits(a, high));
    while (high - low > 1e-9 * high) {
        double middle = 0.5 * (low + high);
        if (fits(a, middle))
            high = middle;
        else
            low = middle;
    }
    return low;
}

/* ---- choice of the deadline ---- */

/* Groups such that every mesh takes at most the deadline, where that can be; and the order that follows. */
static void allot_for(const alloter *a, ql_allotment *allotment, double deadline_s, place *room)
{
    allotment->deadline_s = deadline_s;
    for (int64_t p = 0; p < allotment->count; ++p) {
        int64_t mesh = a->by_length[p];
        allotment->seconds[mesh] = a->first_s[mesh];
        allotment->group[mesh] = a->first[mesh] > 0 ? a->first[mesh] : a->size[0];
        if (a->first_s[mesh] > deadline_s)
            allotment->group[mesh] = a->size[choose_level(a, mesh, deadline_s, &allotment->seconds[mesh])];
    }
    put_in_order(a, allotment, room);
}

/* When the last mesh ends if it is late, whichever it is. */
static ql_status pessimistic_end(const ql_allotment *allotment, double *end_s)
{
    ql_allot_outcome outcome;
    QL_TRY(ql_allot_simulate(&outcome, allotment, 0, 0, allotment->start_s, allotment->end_s));
    *end_s = 0;
    for (int64_t i = 0; i < allotment->count; ++i)
        *end_s = fmax(*end_s, allotment->end_s[i] + LATENESS * allotment->seconds[i]);
    return QL_OK;
}

static ql_status choose_deadline(const alloter *a, ql_allotment *allotment, place *room)
{
    double best_s = INFINITY, best_deadline_s = 0, bound = allotment->lower_bound_s;
    for (int f = 0; f < FRACTION_COUNT; ++f) {
        double end_s;
        /* the bound is a hair below the deadline that fits */
        allot_for(a, allotment, FRACTIONS[f] * bound * (1 + 1e-8), room);
        QL_TRY(pessimistic_end(allotment, &end_s));
        if (end_s < best_s * (1 - 1e-9)) {
            best_s = end_s;
            best_deadline_s = allotment->deadline_s;
        }
        if (a->first_s[a->by_length[0]] <= allotment->deadline_s * FRACTIONS[FRACTION_COUNT - 1]) break;
    }
    allot_for(a, allotment, best_deadline_s, room);
    return QL_OK;
}

static ql_status predict(ql_allotment *allotment)
{
    ql_allot_outcome outcome;
    QL_TRY(ql_allot_simulate(&outcome, allotment, 0, 0, allotment->start_s, allotment->end_s));
    allotment->makespan_s = outcome.makespan_s;
    allotment->forming_s = outcome.forming_s;
    allotment->efficiency = outcome.makespan_s > 0 ? allotment->work_s / (allotment->ranks * outcome.makespan_s) : 1;
    return QL_OK;
}

/* ---- all of it ---- */

static ql_status take_arrays(alloter *a, ql_allotment *allotment, place **room)
{
    int64_t count = allotment->count;
    QL_TRY(QL_TAKE(a->least_s, count));
    QL_TRY(QL_TAKE(a->first_s, count));
    QL_TRY(QL_TAKE(a->first, count));
    QL_TRY(QL_TAKE(a->by_length, count));
    QL_TRY(QL_TAKE(a->rest_s, count + 1));
    QL_TRY(QL_TAKE(*room, count));
    QL_TRY(QL_TAKE(allotment->group, count));
    QL_TRY(QL_TAKE(allotment->order, count));
    QL_TRY(QL_TAKE(allotment->seconds, count));
    QL_TRY(QL_TAKE(allotment->least_s, count));
    QL_TRY(QL_TAKE(allotment->start_s, count));
    return QL_TAKE(allotment->end_s, count);
}

static void find_sizes(alloter *a)
{
    int only = a->problem->only, ranks = a->problem->ranks;
    for (int64_t size = 1; size < ranks && (only == 0 || size == 1); size *= 2) a->size[a->levels++] = (int32_t)size;
    int largest = only > 0 && only < ranks ? only : ranks;
    if (largest > 1 || a->levels == 0) a->size[a->levels++] = largest;
}

static ql_status make(alloter *a, ql_allotment *allotment, place *room)
{
    find_sizes(a);
    sort_by_length(a, room);
    for (int64_t i = 0; i < allotment->count; ++i) allotment->least_s[i] = a->least_s[i];
    allotment->work_s = a->rest_s[0];
    if (allotment->count == 0) {
        allotment->efficiency = 1;
        return QL_OK;
    }
    allotment->lower_bound_s = find_bound(a);
    QL_TRY(choose_deadline(a, allotment, room));
    return predict(allotment);
}

ql_status ql_allot_make(ql_allotment *allotment, const ql_allot_problem *problem)
{
    alloter a = {.problem = problem};
    place *room = NULL;
    *allotment = (ql_allotment){.count = problem->count, .ranks = problem->ranks};
    ql_status status = take_arrays(&a, allotment, &room);
    if (status == QL_OK) status = make(&a, allotment, room);
    ql_free(a.least_s);
    ql_free(a.first_s);
    ql_free(a.first);
    ql_free(a.by_length);
    ql_free(a.rest_s);
    ql_free(room);
    if (status != QL_OK) ql_allot_destroy(allotment);
    return status;
}

void ql_allot_destroy(ql_allotment *allotment)
{
    if (allotment == NULL) return;
    ql_free(allotment->group);
    ql_free(allotment->order);
    ql_free(allotment->seconds);
    ql_free(allotment->least_s);
    ql_free(allotment->start_s);
    ql_free(allotment->end_s);
    *allotment = (ql_allotment){0};
}
