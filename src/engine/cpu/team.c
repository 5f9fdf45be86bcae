/* Threads of engine cpu (see team.h). */
#include "engine/cpu/team.h"

#include "base/machine.h"
#include "base/memory.h"
#include "engine/cpu/places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SPINS = 2000 };

struct ql_team {
    int members, started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_uint phase; /* counts barriers passed */
    int arrived;
    bool quit;
    ql_team_work work;
    void *context;
    struct ql_team_thread {
        pthread_t thread;
        ql_team *team;
        int member;
    } * thread;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void ql_team_barrier(ql_team *team)
{
    if (team->members == 1) return;
    (void)pthread_mutex_lock(&team->mutex);
    unsigned phase = atomic_load(&team->phase);
    if (++team->arrived == team->members) {
        team->arrived = 0;
        atomic_store(&team->phase, phase + 1);
        (void)pthread_cond_broadcast(&team->changed);
        (void)pthread_mutex_unlock(&team->mutex);
        return;
    }
    (void)pthread_mutex_unlock(&team->mutex);
    for (int k = 0; k < SPINS; ++k) {
        if (atomic_load(&team->phase) != phase) return;
        relax();
    }
    (void)pthread_mutex_lock(&team->mutex);
    while (atomic_load(&team->phase) == phase) (void)pthread_cond_wait(&team->changed, &team->mutex);
    (void)pthread_mutex_unlock(&team->mutex);
}

static void *serve(void *argument)
{
    struct ql_team_thread *self = argument;
    ql_team *team = self->team;
    for (;;) {
        ql_team_barrier(team); /* a run begins */
        if (team->quit) return NULL;
        team->work(team->context, self->member);
        ql_team_barrier(team); /* and ends */
    }
}

void ql_team_run(ql_team *team, ql_team_work work, void *context)
{
    team->work = work;
    team->context = context;
    ql_team_barrier(team);
    work(context, 0);
    ql_team_barrier(team);
}

static ql_status start_threads(ql_team *team)
{
    const bool bind = team->members > 1 && team->members == ql_places_count();
    for (int k = 1; k < team->members; ++k) {
        team->thread[k] = (struct ql_team_thread){.team = team, .member = k};
        int error = pthread_create(&team->thread[k].thread, NULL, serve, &team->thread[k]);
        if (error != 0) {
            team->members = k; /* those that run */
            return QL_FAIL(ENVIRONMENT, "cannot start thread %d (engine.threads); limits: see ulimit -u", k);
        }
        if (bind) ql_places_bind(team->thread[k].thread, k);
    }
    return QL_OK;
}

ql_status ql_team_create(ql_team **team, int members)
{
    *team = NULL;
    ql_team *made;
    QL_TRY(QL_TAKE(made, 1));
    made->members = members;
    (void)pthread_mutex_init(&made->mutex, NULL);
    (void)pthread_cond_init(&made->changed, NULL);
    ql_status status = QL_TAKE(made->thread, members);
    if (status == QL_OK) status = start_threads(made);
    if (status != QL_OK) {
        ql_team_destroy(made);
        return status;
    }
    *team = made;
    return QL_OK;
}

void ql_team_destroy(ql_team *team)
{
    if (team == NULL) return;
    if (team->thread != NULL) {
        team->quit = true;
        ql_team_barrier(team);
        for (int k = 1; k < team->members; ++k) (void)pthread_join(team->thread[k].thread, NULL);
    }
    (void)pthread_cond_destroy(&team->changed);
    (void)pthread_mutex_destroy(&team->mutex);
    ql_free(team->thread);
    ql_free(team);
}

int ql_team_size(const ql_team *team) { return team->members; }

int ql_team_cores(void)
{
    ql_machine machine;
    ql_machine_look(&machine);
    return ql_machine_threads(&machine);
}
