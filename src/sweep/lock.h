/* Who works in a run directory: a file in RUN_DIR/locks per job, so that an accidental double start is refused.
 *
 * A lock names host, process, start of the process, job and shard. It is dead when its process is gone (same host) or when
 * its heartbeat has stopped for QL_LOCK_SILENT_S (other hosts; a file's time is compared with that of a fresh file on the
 * same file system, so clocks need not agree). Dead locks are taken over. Disjoint shards (same N, another I) live beside
 * each other. The look and the taking happen under flock on locks/guard, which the kernel gives back when a process dies.
 * A requeued job may start while its former life still runs on a node that was cut off: it waits for the heartbeat to stop, but
 * only for QL_LOCK_FORMER_SILENT_S (three beats missed), since the scheduler says that that life is over. Should it live after
 * all, it sees at its next beat that the lock is no longer its own, and stops.
 * On the same host a start waits QL_LOCK_GRACE_S for processes that are just dying (ranks outlive a killed mpirun a little).
 */
#ifndef QL_SWEEP_LOCK_H
#define QL_SWEEP_LOCK_H

#include "base/file.h"
#include "base/process.h"

enum {
    QL_LOCK_BEAT_S = 10,
    QL_LOCK_SILENT_S = 90,
    QL_LOCK_FORMER_SILENT_S = 30,
    QL_LOCK_GRACE_S = 3,
    QL_LOCK_TOKEN_SIZE = 64
};

typedef struct ql_shard {
    int64_t index, count; /* 1 of 1: the whole collection */
} ql_shard;

typedef struct ql_lock_owner {
    char host[QL_HOST_SIZE], job[QL_JOB_SIZE], since[32], token[QL_LOCK_TOKEN_SIZE];
    int64_t pid;
    uint64_t start;
    ql_place place;
    ql_shard shard;
    bool alive;
    double silent_s; /* since its last heartbeat */
} ql_lock_owner;

typedef struct ql_lock {
    char path[QL_PATH_SIZE]; /* "" = not held */
    char token[QL_LOCK_TOKEN_SIZE];
} ql_lock;

/* Takes the lock of this shard. QL_STATUS_BUSY names the owner; dead owners are told by a warning. */
ql_status ql_lock_take(ql_lock *lock, const char *run_directory, ql_shard shard);

/* Shows that the owner lives; every QL_LOCK_BEAT_S. QL_STATUS_BUSY: another job has taken over, stop without writing. */
ql_status ql_lock_beat(const ql_lock *lock);

void ql_lock_release(ql_lock *lock); /* fine when not held */

/* Our part is done: whether nobody else works in the run directory, so that what concerns all parts is ours to do; then the lock
 * stays. Otherwise it is given back, and of several that end at the same moment just the last one is told so. */
ql_status ql_lock_retire(ql_lock *lock, const char *run_directory, bool *last);

/* How many live jobs work in a run directory; the first one's owner in `owner` (or NULL). */
ql_status ql_lock_count(const char *run_directory, int64_t *count, ql_lock_owner *owner);

#endif
