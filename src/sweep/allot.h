/* How many ranks train each mesh, in which order, and when that ends: moldable scheduling.
 *
 * Given t(i, k), the seconds of mesh i on k ranks, and m ranks:
 *
 * 1. Allotment (Turek, Wolf, Yu 1992; Ludwig, Tiwari 1994): the smallest w with  sum_i a(i, w) <= m w,  where a(i, w) is the
 *    least k t(i, k) among group sizes with t(i, k) <= w. No schedule with these group sizes is shorter than w: in one of
 *    length L < w every mesh takes at most L, so the ranks' time is at least sum_i a(i, L) > m L. Group sizes are the powers
 *    of two up to m, and m.
 * 2. Order: larger groups first, in a group size the longer meshes first (Graham 1969).
 * 3. Granting, at run time and in the simulation alike (ql_allot_queue): the head of the list begins as soon as its k
 *    ranks are free. A waiting head does not let meshes behind it take the ranks it waits for, except the m mod k ranks that
 *    groups of k cannot use anyway.
 *
 * Bound. When m is a power of two every group that runs while a head with k waits has a multiple of k ranks, so the free ones
 * are a multiple of k smaller than k: none. No rank idles before the list is empty, hence
 *     makespan <= sum_i k t / m + (1 - 1/m) max_i t <= (2 - 1/m) w.
 * For other m fewer ranks than half of them idle before that: makespan <= 2 sum_i k t / m + max_i t <= 3 w.
 *
 * Meshes as long as w leave nothing to fill up with when they took longer than predicted. So the same allotment is also
 * tried with deadlines of a fraction of w, and the one is taken whose end is earliest when a single mesh is 35 % late,
 * whichever it is (docs/scheduling.md); at most 0.35 w is added to the bounds above by that.
 *
 * Deterministic: the same on every rank for the same input. O(n log n + n log m) with n meshes. */
#ifndef QL_SWEEP_ALLOT_H
#define QL_SWEEP_ALLOT_H

#include "base/status.h"

#include <stdbool.h>

#include <stdint.h>

enum { QL_ALLOT_LEVELS = 34 }; /* group sizes 1, 2, 4, ..., and m */

/* The question. Neither shape nor unit matters to it but seconds. */
typedef struct ql_allot_problem {
    int64_t count; /* of meshes */
    int ranks;
    int only; /* group sizes are 1 and this (at most `ranks`); 0: all of them */
    /* Seconds of a mesh on `group` ranks; infinite: impossible (memory, more ranks than faces). A mesh that is impossible with
     * every group is granted to the smallest one, which finds out why. */
    double (*seconds)(const void *context, int64_t mesh, int group);
    const void *context;
} ql_allot_problem;

/* The answer; arrays of `count`. */
typedef struct ql_allotment {
    int64_t count;
    int ranks;
    int32_t *group;          /* of each mesh: how many ranks */
    int64_t *order;          /* meshes in the order of granting */
    double *seconds;         /* of each mesh with its group */
    double *least_s;         /* of each mesh: the least rank-seconds, k t(i, k), of all groups */
    double *start_s, *end_s; /* of each mesh, if predictions are exact */
    double makespan_s;       /* if predictions are exact */
    double lower_bound_s;    /* w: no schedule is shorter */
    double work_s;           /* sum of least_s */
    double efficiency;       /* work / (ranks * makespan) */
    double forming_s;        /* rank-seconds that ranks wait for a group to fill while there is work */
    double deadline_s;       /* the fraction of w that was best */
} ql_allotment;

ql_status ql_allot_make(ql_allotment *allotment, const ql_allot_problem *problem);
void ql_allot_destroy(ql_allotment *allotment); /* NULL-safe */

/* ---- granting ---- */

/* What is still to be begun, by group size. The allotment is borrowed. */
typedef struct ql_allot_queue {
    const ql_allotment *allotment;
    int levels;
    int32_t group[QL_ALLOT_LEVELS];                      /* descending */
    int64_t next[QL_ALLOT_LEVELS], end[QL_ALLOT_LEVELS]; /* positions in the order */
} ql_allot_queue;

void ql_allot_queue_begin(ql_allot_queue *queue, const ql_allotment *allotment);

/* With `free` ranks waiting: the position in the order of the mesh to begin now, on allotment->group[order[position]] of them;
 * -1: those ranks wait (for a group to fill, or because nothing is left: ql_allot_queue_left). Ask again until -1. */
int64_t ql_allot_queue_next(ql_allot_queue *queue, int free);
int64_t ql_allot_queue_left(const ql_allot_queue *queue);

/* ---- simulation ---- */

typedef struct ql_allot_outcome {
    double makespan_s, work_s, efficiency; /* with the true times; work: allotted work by the least k t, erred alike */
    double forming_s;                      /* as above */
    double busy_s;                         /* rank-seconds in groups */
} ql_allot_outcome;

/* Runs the allotment with true times = predicted ones * (log-normal factor of mean 1 and relative deviation `noise`, fixed
 * by `seed` and the mesh). start_s, end_s (count each) get the times, or are NULL. */
ql_status ql_allot_simulate(ql_allot_outcome *outcome, const ql_allotment *allotment, double noise, uint64_t seed,
                            double *start_s, double *end_s);

#endif
