/* `bench train --at-once N`: how fast N engines are beside each other, each driven by a thread of its own, as the meshes of a
 * run are (sweep/several.h). */
#include "app/bench.h"

#include "base/clock.h"
#include "base/memory.h"
#include "model/initial.h"
#include "model/layout.h"

#include <pthread.h>
#include <string.h>

enum { WARM_STEPS = 3 }; /* launch by launch, recording, the first as recorded */

typedef struct crowd {
    const ql_engine_class *kind;
    const ql_engine_setup *setup;
    int64_t steps;
    pthread_mutex_t mutex; /* of the rest */
    pthread_cond_t changed;
    int ready;
    bool go;
} crowd;

typedef struct member {
    crowd *all;
    pthread_t thread;
    ql_engine *engine;
    ql_status status;
    char text[512];
    double began_s, ended_s;
} member;

static ql_status start(member *m)
{
    float *parameters = NULL, *zeros = NULL;
    QL_TRY(ql_engine_create(&m->engine, m->all->kind, m->all->setup));
    ql_status status = QL_TAKE(parameters, QL_PARAMETER_COUNT);
    if (status == QL_OK) status = QL_TAKE(zeros, QL_PARAMETER_COUNT);
    if (status == QL_OK) {
        ql_initial_parameters(m->all->setup->key, parameters);
        ql_engine_state state = {QL_FLOAT32, parameters, zeros, zeros};
        status = m->all->kind->set_state(m->engine, &state);
    }
    ql_free(parameters);
    ql_free(zeros);
    return status;
}

static ql_status step(member *m, int64_t from, int64_t to)
{
    double terms[QL_ENGINE_AHEAD][QL_LOSS_COUNT], norms[QL_ENGINE_AHEAD];
    for (int64_t number = from; number < to;) {
        ql_loss_weights weights[QL_ENGINE_AHEAD];
        int count = 0;
        for (; count < QL_ENGINE_AHEAD && number + count < to; ++count)
            weights[count] = ql_loss_weights_at(m->all->setup->train, number + count);
        QL_TRY(ql_engine_steps(m->engine, number, count, weights, terms, norms));
        number += count;
    }
    return QL_OK;
}

static void wait_for_all(crowd *all)
{
    (void)pthread_mutex_lock(&all->mutex);
    all->ready++;
    (void)pthread_cond_broadcast(&all->changed);
    while (!all->go) (void)pthread_cond_wait(&all->changed, &all->mutex);
    (void)pthread_mutex_unlock(&all->mutex);
}

static void *run(void *context)
{
    member *m = context;
    m->status = start(m);
    if (m->status == QL_OK) m->status = step(m, 0, WARM_STEPS);
    wait_for_all(m->all);
    m->began_s = ql_clock_s();
    if (m->status == QL_OK) m->status = step(m, WARM_STEPS, WARM_STEPS + m->all->steps);
    m->ended_s = ql_clock_s();
    if (m->status != QL_OK) (void)snprintf(m->text, sizeof m->text, "%.*s", (int)sizeof m->text - 1, ql_error_text());
    m->all->kind->destroy(m->engine); /* by the thread that made it */
    return NULL;
}

/* All at the line, then off. */
static void start_them(crowd *all, int count)
{
    (void)pthread_mutex_lock(&all->mutex);
    while (all->ready < count) (void)pthread_cond_wait(&all->changed, &all->mutex);
    all->go = true;
    (void)pthread_cond_broadcast(&all->changed);
    (void)pthread_mutex_unlock(&all->mutex);
}

ql_status ql_bench_several(const ql_engine_class *kind, const ql_engine_setup *setup, int count, int64_t steps,
                           double *seconds)
{
    crowd all = {.kind = kind, .setup = setup, .steps = steps};
    member *members = NULL;
    double first = 0, last = 0;
    int started = 0;
    QL_TRY(QL_TAKE(members, count));
    (void)pthread_mutex_init(&all.mutex, NULL);
    (void)pthread_cond_init(&all.changed, NULL);
    for (int k = 0; k < count; ++k) members[k].all = &all;
    while (started < count && pthread_create(&members[started].thread, NULL, run, &members[started]) == 0) ++started;
    ql_status status = started == count ? QL_OK : QL_FAIL(ENVIRONMENT, "cannot start %d threads", count);
    start_them(&all, started);
    for (int k = 0; k < started; ++k) {
        (void)pthread_join(members[k].thread, NULL);
        if (k == 0 || members[k].began_s < first) first = members[k].began_s;
        if (k == 0 || members[k].ended_s > last) last = members[k].ended_s;
        if (members[k].status != QL_OK && status == QL_OK)
            status = ql_error_set(members[k].status, __FILE__, __LINE__, "%s", members[k].text);
    }
    (void)pthread_cond_destroy(&all.changed);
    (void)pthread_mutex_destroy(&all.mutex);
    ql_free(members);
    *seconds = last - first;
    return status;
}
