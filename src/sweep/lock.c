/* Locks of a run directory (see lock.h). A lock file holds lines "name value". */
#include "sweep/lock.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TEXT = 2048 };

static const double POLL_S = 0.25;

/* The heart beats on the messenger's thread, while ours may give the lock back. */
static pthread_mutex_t holding = PTHREAD_MUTEX_INITIALIZER;

/* ---- the text of a lock ---- */

static void describe_self(ql_lock_owner *self, ql_shard shard)
{
    *self = (ql_lock_owner){.pid = (int64_t)getpid(), .shard = shard, .place = ql_process_place(), .alive = true};
    self->start = ql_process_start(self->pid);
    (void)ql_process_host(self->host);
    (void)ql_process_job(self->job);
    (void)ql_clock_stamp(self->since);
    (void)snprintf(self->token, sizeof self->token, "%08" PRIx32 "%08" PRIx32 "-%lld-%" PRIu64, self->place.host,
                   self->place.boot, (long long)self->pid, self->start);
}

static int write_text(const ql_lock_owner *owner, char text[LOCK_TEXT])
{
    return snprintf(text, LOCK_TEXT,
                    "token %s\nhost %s\npid %lld\nstart %" PRIu64 "\nplace %" PRIu32 "\nboot %" PRIu32
                    "\nshard %lld/%lld\nsince %s\njob %s\n",
                    owner->token, owner->host, (long long)owner->pid, owner->start, owner->place.host,
                    owner->place.boot, (long long)owner->shard.index, (long long)owner->shard.count, owner->since,
                    owner->job);
}

static void read_line(ql_lock_owner *owner, const char *name, const char *value)
{
    long long pid, index, count;
    if (strcmp(name, "token") == 0) (void)snprintf(owner->token, sizeof owner->token, "%s", value);
    if (strcmp(name, "host") == 0) (void)snprintf(owner->host, sizeof owner->host, "%s", value);
    if (strcmp(name, "job") == 0) (void)snprintf(owner->job, sizeof owner->job, "%s", value);
    if (strcmp(name, "since") == 0) (void)snprintf(owner->since, sizeof owner->since, "%s", value);
    if (strcmp(name, "pid") == 0 && sscanf(value, "%lld", &pid) == 1) owner->pid = pid;
    if (strcmp(name, "start") == 0) (void)sscanf(value, "%" SCNu64, &owner->start);
    if (strcmp(name, "place") == 0) (void)sscanf(value, "%" SCNu32, &owner->place.host);
    if (strcmp(name, "boot") == 0) (void)sscanf(value, "%" SCNu32, &owner->place.boot);
    if (strcmp(name, "shard") == 0 && sscanf(value, "%lld/%lld", &index, &count) == 2)
        owner->shard = (ql_shard){index, count};
}

/* Lines of `text`, which is cut up. */
static void read_text(ql_lock_owner *owner, char *text)
{
    *owner = (ql_lock_owner){.shard = {1, 1}};
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *space = strchr(line, ' ');
        if (space == NULL) continue;
        *space = '\0';
        read_line(owner, line, space + 1);
    }
}

/* ---- who lives ---- */

/* Now, as the file system of this folder sees it. */
static double file_system_now(const char *folder)
{
    char path[QL_PATH_SIZE], name[64];
    struct stat info;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec;
    (void)snprintf(name, sizeof name, ".now-%lld-%08" PRIx32, (long long)getpid(), ql_process_place().host);
    if (ql_path_join(path, folder, name) != QL_OK) return seconds;
    int file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (file < 0) return seconds;
    if (write(file, "x", 1) == 1 && fstat(file, &info) == 0)
        seconds = (double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec;
    (void)close(file);
    (void)unlink(path);
    return seconds;
}

/* False when the file is gone. */
static bool read_owner(ql_lock_owner *owner, const char *path, double now)
{
    struct stat info;
    char *text = NULL;
    size_t size = 0;
    /* read first: opening makes NFS ask for the time of the last heartbeat instead of remembering it */
    if (ql_file_read_whole(path, LOCK_TEXT, &text, &size) != QL_OK) return ql_path_exists(path);
    read_text(owner, text);
    ql_free(text);
    if (stat(path, &info) != 0) return false;
    owner->silent_s = now - ((double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec);
    ql_place here = ql_process_place();
    if (owner->place.host == here.host)
        owner->alive = owner->place.boot == here.boot && ql_process_is_alive(owner->pid, owner->start);
    else
        owner->alive = owner->silent_s < QL_LOCK_SILENT_S;
    return true;
}

static bool overlap(ql_shard a, ql_shard b) { return a.count != b.count || a.index == b.index; }

/* How often a job was requeued: 0 of "4711", 2 of "4711+r2". */
static int64_t restarts_of(const char *job)
{
    const char *count = strstr(job, "+r");
    return count != NULL ? strtoll(count + 2, NULL, 10) : 0;
}

/* The same batch job before it was requeued ("4711" and "4711+r1"): the scheduler has ended it, or lost sight of its node. */
static bool is_former_life(const ql_lock_owner *owner, const ql_lock_owner *self)
{
    size_t a = strcspn(owner->job, "+"), b = strcspn(self->job, "+");
    return a > 0 && a == b && strncmp(owner->job, self->job, a) == 0 &&
           restarts_of(owner->job) < restarts_of(self->job);
}

/* A former life needs not be waited for as long as a stranger: Slurm says that it is over, so it lives only where its node was
 * cut off, and there its heart beats. */
static bool is_over(const ql_lock_owner *owner, const ql_lock_owner *self)
{
    return owner->place.host != self->place.host && is_former_life(owner, self) &&
           owner->silent_s >= QL_LOCK_FORMER_SILENT_S;
}

typedef struct scan {
    int64_t alive;
    ql_lock_owner first; /* alive */
    char dead[16][QL_PATH_SIZE];
    ql_lock_owner dead_owner[16];
    int dead_count;
} scan;

/* Owners in `folder`; only those in the way of `self` when it is not NULL. */
static ql_status scan_folder(scan *found, const char *folder, const ql_lock_owner *self)
{
    DIR *directory = opendir(folder);
    if (directory == NULL && errno == ENOENT) return QL_OK;
    if (directory == NULL) return QL_FAIL(IO, "%s: %s", folder, strerror(errno));
    double now = file_system_now(folder);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[QL_PATH_SIZE];
        ql_lock_owner owner;
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".lock") != 0 || entry->d_name[0] == '.') continue;
        if (ql_path_join(path, folder, entry->d_name) != QL_OK || !read_owner(&owner, path, now)) continue;
        if (self != NULL && !overlap(owner.shard, self->shard)) continue;
        if (self != NULL && is_over(&owner, self)) owner.alive = false;
        if (owner.alive && found->alive++ == 0) found->first = owner;
        if (owner.alive || found->dead_count == 16) continue;
        (void)strcpy(found->dead[found->dead_count], path);
        found->dead_owner[found->dead_count++] = owner;
    }
    (void)closedir(directory);
    return QL_OK;
}

/* ---- taking ---- */

static ql_status busy(const char *run_directory, const ql_lock_owner *owner)
{
    char job[QL_JOB_SIZE + 16] = "";
    if (owner->job[0] != '\0') (void)snprintf(job, sizeof job, ", job %s", owner->job);
    return QL_FAIL(
        BUSY,
        "%s is in use by process %lld on %s%s since %s; wait for it, stop it with `quadloom halt %s`, or work "
        "beside it with disjoint parts (--shard I/N for both)",
        run_directory, (long long)owner->pid, owner->host, job, owner->since, run_directory);
}

/* Under the guard: refuses, or removes the dead and writes our own. *patience_s: how long the owner in the way may still be
 * waited for. */
static ql_status take_guarded(ql_lock *lock, const char *run_directory, const char *folder, const ql_lock_owner *self,
                              double *patience_s)
{
    scan *found;
    char text[LOCK_TEXT], name[64];
    QL_TRY(QL_TAKE(found, 1));
    ql_status status = scan_folder(found, folder, self);
    *patience_s = found->alive == 0                             ? 0
                  : is_former_life(&found->first, self)         ? 2 * QL_LOCK_SILENT_S
                  : found->first.place.host == self->place.host ? QL_LOCK_GRACE_S
                                                                : 0;
    if (status == QL_OK && found->alive > 0) status = busy(run_directory, &found->first);
    for (int i = 0; status == QL_OK && i < found->dead_count; ++i) {
        QL_WARNING("taking over from process %lld on %s, which is gone", (long long)found->dead_owner[i].pid,
                   found->dead_owner[i].host);
        status = ql_file_remove(found->dead[i]);
    }
    ql_free(found);
    QL_TRY(status);
    if (self->shard.count == 1)
        (void)snprintf(name, sizeof name, "all.lock");
    else
        (void)snprintf(name, sizeof name, "%lld-of-%lld.lock", (long long)self->shard.index,
                       (long long)self->shard.count);
    QL_TRY(ql_path_join(lock->path, folder, name));
    (void)snprintf(lock->token, sizeof lock->token, "%s", self->token);
    int length = write_text(self, text);
    status = ql_file_write_whole(lock->path, text, (size_t)length);
    if (status != QL_OK) lock->path[0] = '\0';
    return status;
}

/* Until it is closed. */
static ql_status open_guard(const char *guard, int *file)
{
    *file = open(guard, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (*file < 0) return QL_FAIL(IO, "%s: %s", guard, strerror(errno));
    (void)flock(*file, LOCK_EX); /* where the file system has none, double starts in the same instant pass */
    return QL_OK;
}

ql_status ql_lock_take(ql_lock *lock, const char *run_directory, ql_shard shard)
{
    char folder[QL_PATH_SIZE], guard[QL_PATH_SIZE];
    ql_lock_owner self;
    *lock = (ql_lock){0};
    QL_TRY(ql_path_join(folder, run_directory, "locks"));
    QL_TRY(ql_directory_make(folder));
    QL_TRY(ql_path_join(guard, folder, "guard"));
    describe_self(&self, shard);
    double began = ql_clock_s();
    for (bool told = false;; told = true) {
        double patience_s = 0;
        int file;
        QL_TRY(open_guard(guard, &file));
        ql_status status = take_guarded(lock, run_directory, folder, &self, &patience_s);
        (void)close(file);
        if (status != QL_STATUS_BUSY || ql_clock_s() - began >= patience_s) return status;
        if (!told && patience_s > QL_LOCK_GRACE_S)
            QL_WARNING("%s; it is this job before it was requeued: waiting for its end", ql_error_text());
        const struct timespec nap = {0, (long)(POLL_S * 1e9)};
        (void)nanosleep(&nap, NULL);
    }
}

/* Whether the lock file is still ours. */
static bool is_ours(const ql_lock *lock)
{
    char *text = NULL;
    size_t size = 0;
    ql_lock_owner owner;
    if (ql_file_read_whole(lock->path, LOCK_TEXT, &text, &size) != QL_OK) return ql_path_exists(lock->path);
    read_text(&owner, text);
    ql_free(text);
    return strcmp(owner.token, lock->token) == 0;
}

ql_status ql_lock_beat(const ql_lock *lock)
{
    (void)pthread_mutex_lock(&holding);
    const bool held = lock->path[0] != '\0', ours = held && is_ours(lock);
    if (ours) (void)utimensat(AT_FDCWD, lock->path, NULL, 0);
    (void)pthread_mutex_unlock(&holding);
    return held && !ours ? QL_FAIL(BUSY, "%s was taken over by another job", lock->path) : QL_OK;
}

void ql_lock_release(ql_lock *lock)
{
    (void)pthread_mutex_lock(&holding);
    if (lock->path[0] != '\0' && is_ours(lock)) (void)unlink(lock->path);
    lock->path[0] = '\0';
    (void)pthread_mutex_unlock(&holding);
}

ql_status ql_lock_count(const char *run_directory, int64_t *count, ql_lock_owner *owner)
{
    char folder[QL_PATH_SIZE];
    scan *found;
    QL_TRY(ql_path_join(folder, run_directory, "locks"));
    QL_TRY(QL_TAKE(found, 1));
    ql_status status = scan_folder(found, folder, NULL);
    *count = found->alive;
    if (owner != NULL) *owner = found->first;
    ql_free(found);
    return status;
}

ql_status ql_lock_retire(ql_lock *lock, const char *run_directory, bool *last)
{
    char guard[QL_PATH_SIZE];
    int64_t alive = 0;
    int file;
    *last = true;
    QL_TRY(ql_path_join(guard, run_directory, "locks/guard"));
    QL_TRY(open_guard(guard, &file));
    ql_status status = ql_lock_count(run_directory, &alive, NULL);
    *last = alive <= 1;
    if (status == QL_OK && !*last) ql_lock_release(lock);
    (void)close(file);
    return status;
}
