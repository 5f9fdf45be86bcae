/* Granting by the rule of allot.h, and its simulation over a heap of the times at which groups dissolve. */
#include "base/memory.h"
#include "base/random.h"
#include "sweep/allot.h"

#include <math.h>

/* ---- the queue ---- */

void ql_allot_queue_begin(ql_allot_queue *queue, const ql_allotment *allotment)
{
    *queue = (ql_allot_queue){.allotment = allotment};
    for (int64_t p = 0; p < allotment->count; ++p) {
        int32_t group = allotment->group[allotment->order[p]];
        if (queue->levels == 0 || queue->group[queue->levels - 1] != group) {
            queue->group[queue->levels] = group;
            queue->next[queue->levels++] = p;
        }
        queue->end[queue->levels - 1] = p + 1;
    }
}

int64_t ql_allot_queue_next(ql_allot_queue *queue, int free)
{
    int head = 0;
    while (head < queue->levels && queue->next[head] == queue->end[head]) ++head;
    if (head == queue->levels || free < 1) return -1;
    int32_t group = queue->group[head];
    if (group <= free) return queue->next[head]++;
    if (free > queue->allotment->ranks % group) return -1;
    for (int level = head + 1; level < queue->levels; ++level)
        if (queue->group[level] <= free && queue->next[level] < queue->end[level]) return queue->next[level]++;
    return -1;
}

int64_t ql_allot_queue_left(const ql_allot_queue *queue)
{
    int64_t left = 0;
    for (int level = 0; level < queue->levels; ++level) left += queue->end[level] - queue->next[level];
    return left;
}

/* ---- simulation ---- */

typedef struct running {
    double end_s;
    int32_t group;
} running;

typedef struct schedule {
    running *heap; /* the first one ends first */
    int count, free;
    double now_s;
} schedule;

static void begin(schedule *s, double seconds, int32_t group)
{
    int at = s->count++;
    double end_s = s->now_s + seconds;
    for (; at > 0 && s->heap[(at - 1) / 2].end_s > end_s; at = (at - 1) / 2) s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = (running){end_s, group};
    s->free -= group;
}

/* To the time at which the next group dissolves. */
static void advance(schedule *s)
{
    running last = s->heap[--s->count];
    int at = 0;
    s->now_s = s->heap[0].end_s;
    s->free += s->heap[0].group;
    for (int child = 1; child < s->count; child = 2 * at + 1) {
        if (child + 1 < s->count && s->heap[child + 1].end_s < s->heap[child].end_s) ++child;
        if (s->heap[child].end_s >= last.end_s) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
}

/* Factor of mean 1 and relative deviation `noise`: exp(sigma z - sigma^2 / 2), z by Box and Muller. */
static double error_of(double noise, ql_key key, int64_t mesh)
{
    if (!(noise > 0)) return 1;
    ql_random4 word = ql_random_at(key, QL_STREAM_TEST, 0, (uint64_t)mesh);
    double sigma = sqrt(log1p(noise * noise));
    double z = sqrt(-2 * log(ql_uniform_open(word.r[0]))) * cos(6.283185307179586 * ql_uniform_open(word.r[1]));
    return exp(sigma * z - 0.5 * sigma * sigma);
}

static void run(schedule *s, ql_allot_outcome *outcome, const ql_allotment *allotment, double noise, uint64_t seed,
                double *start_s, double *end_s)
{
    ql_key key = ql_key_make(seed, 0);
    ql_allot_queue queue;
    ql_allot_queue_begin(&queue, allotment);
    for (int64_t left = allotment->count;;) {
        for (int64_t p; (p = ql_allot_queue_next(&queue, s->free)) >= 0; --left) {
            int64_t mesh = allotment->order[p];
            double error = error_of(noise, key, mesh), seconds = allotment->seconds[mesh] * error;
            if (start_s != NULL) start_s[mesh] = s->now_s;
            if (end_s != NULL) end_s[mesh] = s->now_s + seconds;
            outcome->work_s += allotment->least_s[mesh] * error;
            outcome->busy_s += seconds * allotment->group[mesh];
            begin(s, seconds, allotment->group[mesh]);
        }
        if (s->count == 0) break;
        double before_s = s->now_s;
        int idle = left > 0 ? s->free : 0;
        advance(s);
        outcome->forming_s += idle * (s->now_s - before_s);
    }
    outcome->makespan_s = s->now_s;
}

ql_status ql_allot_simulate(ql_allot_outcome *outcome, const ql_allotment *allotment, double noise, uint64_t seed,
                            double *start_s, double *end_s)
{
    int64_t most = allotment->count < allotment->ranks ? allotment->count : allotment->ranks;
    schedule s = {.free = allotment->ranks};
    *outcome = (ql_allot_outcome){.efficiency = 1};
    QL_TRY(QL_TAKE(s.heap, most + 1));
    run(&s, outcome, allotment, noise, seed, start_s, end_s);
    ql_free(s.heap);
    if (outcome->makespan_s > 0) outcome->efficiency = outcome->work_s / (allotment->ranks * outcome->makespan_s);
    return QL_OK;
}
