/* Meshes that kill the process. Work on a mesh is counted before it begins and forgotten when it got going (first step
 * taken), so what stays counted are deaths without a word. They weigh differently: a crash (fatal signal, told by a mark) or
 * a death for lack of memory (the kernel's count of such kills has risen, or cannot be told and the mesh is large) counts
 * fully; a process that was killed from outside says nothing about the mesh, so it takes ten times as many of those. */
#ifndef QL_SWEEP_ATTEMPT_H
#define QL_SWEEP_ATTEMPT_H

#include "base/file.h"
#include "store/rundir.h"

typedef struct ql_attempt {
    char id[QL_ID_SIZE];
    char mark[QL_PATH_SIZE]; /* made when the process crashes; for ql_signals_set_mark */
    int64_t number;          /* 1 the first time */
    bool suspect;            /* crashed before: stays counted until it is finished or got farther */
} ql_attempt;

/* Before work on a mesh begins. QL_STATUS_MESH: it killed the process as often as `max_attempts` allows. */
ql_status ql_attempt_begin(ql_attempt *attempt, const char *run_directory, const char *id, int64_t faces,
                           int64_t resume_step, int64_t max_attempts);

/* The work got going; and the work is over in good order (finished, failed with a reason, stopped). */
ql_status ql_attempt_going(const ql_attempt *attempt, const char *run_directory);
ql_status ql_attempt_over(const ql_attempt *attempt, const char *run_directory);

#endif
