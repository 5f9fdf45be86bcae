/* A team of threads that waits without spinning for long: several ranks may share the cores.
 *
 * A team with a member for each core that the process may use has them bound to the cores; a smaller one is left to the
 * system, which knows what else runs here, since two jobs that took the same first cores would halve each other's speed. The
 * calling thread is member 0 and not bound, so that what it starts is not: the core left over is its.
 * Between two runs and at a barrier a thread spins for some microseconds and then sleeps.
 */
#ifndef QL_ENGINE_CPU_TEAM_H
#define QL_ENGINE_CPU_TEAM_H

#include "base/status.h"

typedef struct ql_team ql_team;

typedef void (*ql_team_work)(void *context, int member);

ql_status ql_team_create(ql_team **team, int members);
void ql_team_destroy(ql_team *team); /* NULL-safe */

/* Runs work(context, member) on every member; returns when all have returned. */
void ql_team_run(ql_team *team, ql_team_work work, void *context);

/* Inside a run: waits until every member has arrived. */
void ql_team_barrier(ql_team *team);

int ql_team_size(const ql_team *team);

/* Threads worth starting: cores (not hardware threads) that this process may use, within a control group's quota. */
int ql_team_cores(void);

#endif
