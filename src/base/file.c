/* Files written whole or not at all, and paths (see file.h).
 *
 * A temporary name is "NAME.tmp-HOST-BOOT-PID-START-COUNT" (all but PID hexadecimal): host and boot as
 * hashes, START the start time of the process. So no two writers ever share one, not even a requeued job
 * beside its former life on a node that was cut off, and a sweep can tell whether the writer of a stale one
 * is gone. */
#include "base/file.h"

#include "base/memory.h"
#include "base/process.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOREIGN_AGE_S = 7 * 24 * 3600 };

/* ---- crash injection ---- */

static atomic_int_fast64_t crash_countdown;
static pthread_once_t crash_once = PTHREAD_ONCE_INIT;

static void read_crash_variable(void)
{
    const char *text = getenv("QL_TEST_CRASH_AT");
    if (text != NULL) atomic_store(&crash_countdown, strtoll(text, NULL, 10));
}

void ql_file_crash_at(int64_t n)
{
    (void)pthread_once(&crash_once, read_crash_variable);
    atomic_store(&crash_countdown, n);
}

void ql_file_write_point(void)
{
    (void)pthread_once(&crash_once, read_crash_variable);
    if (atomic_load(&crash_countdown) > 0 && atomic_fetch_sub(&crash_countdown, 1) == 1) (void)raise(SIGKILL);
}

/* ---- errors ---- */

/* What a person can do about an error of the system. */
static const char *remedy(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return "; free some space or choose another directory";
    case EFBIG: return "; raise the limit on file sizes (ulimit -f)";
    case EACCES:
    case EPERM: return "; check the permissions of the file and of its directory";
    case EROFS: return "; choose a directory that can be written";
    case EMFILE: return "; raise the limit on open files (ulimit -n)";
    default: return "";
    }
}

#define IO_FAILURE(path, error) QL_FAIL(IO, "%s: %s%s", (path), strerror(error), remedy(error))

/* ---- paths ---- */

ql_status ql_path_join(char out[QL_PATH_SIZE], const char *directory, const char *name)
{
    size_t length = strlen(directory);
    const char *slash = length == 0 || directory[length - 1] == '/' ? "" : "/";
    int written = snprintf(out, QL_PATH_SIZE, "%s%s%s", directory, slash, name);
    if (written < 0 || written >= QL_PATH_SIZE)
        return QL_FAIL(IO, "path too long (limit %d bytes): %.60s.../%.60s", QL_PATH_SIZE - 1, directory, name);
    return QL_OK;
}

const char *ql_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

size_t ql_path_stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
}

/* Directory of a path, "." when it has none. */
static ql_status directory_of(char out[QL_PATH_SIZE], const char *path)
{
    size_t length = (size_t)(ql_path_name(path) - path);
    if (length >= QL_PATH_SIZE) return QL_FAIL(IO, "path too long: %.60s...", path);
    memcpy(out, path, length);
    while (length > 1 && out[length - 1] == '/') --length;
    if (length == 0) out[length++] = '.';
    out[length] = '\0';
    return QL_OK;
}

bool ql_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool ql_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* mkdir of one level; another rank may be faster. */
static ql_status make_level(const char *path)
{
    if (mkdir(path, 0777) == 0) return QL_OK;
    int error = errno;
    if (ql_path_is_directory(path)) return QL_OK;
    if (error == EEXIST) return QL_FAIL(IO, "%s: is a file, a directory is needed", path);
    return QL_CHAIN(IO_FAILURE(path, error), "creating a directory");
}

ql_status ql_directory_make(const char *path)
{
    char level[QL_PATH_SIZE];
    QL_TRY(ql_path_join(level, "", path));
    if (level[0] == '\0') return QL_FAIL(IO, "the name of a directory is empty");
    for (char *c = level + 1; *c != '\0'; ++c) {
        if (*c != '/') continue;
        *c = '\0';
        QL_TRY(make_level(level));
        *c = '/';
    }
    return make_level(level);
}

/* ---- temporary names ---- */

typedef struct temporary_id {
    ql_place place;
    long long pid;
    unsigned long long start;
} temporary_id;

ql_status ql_file_temporary_name(char out[QL_PATH_SIZE], const char *path)
{
    static atomic_uint_fast32_t counter;
    enum { SUFFIX = 96 };
    char suffix[SUFFIX];
    ql_place place = ql_process_place();
    long long pid = getpid();
    int length = snprintf(suffix, sizeof suffix, ".tmp-%08x-%08x-%lld-%llx-%lx", place.host, place.boot, pid,
                          (unsigned long long)ql_process_start(pid), (unsigned long)atomic_fetch_add(&counter, 1));
    const char *name = ql_path_name(path);
    size_t directory = (size_t)(name - path), keep = strlen(name), room = NAME_MAX - (size_t)length;
    if (keep == 0) return QL_FAIL(IO, "%s: names a directory, not a file", path);
    if (keep > NAME_MAX) return QL_FAIL(IO, "%.60s...: file name longer than %d bytes", name, NAME_MAX);
    if (keep > room) keep = room; /* the suffix alone makes it unique */
    int written = snprintf(out, QL_PATH_SIZE, "%.*s%.*s%s", (int)directory, path, (int)keep, name, suffix);
    if (written < 0 || written >= QL_PATH_SIZE) return QL_FAIL(IO, "path too long: %.60s...", path);
    return QL_OK;
}

/* Whether a file name was made by the function above, and by whom. */
static bool parse_temporary(const char *name, temporary_id *id)
{
    const char *found = NULL, *next = name;
    while ((next = strstr(next, ".tmp-")) != NULL) found = next++;
    if (found == NULL) return false;
    unsigned long count;
    int used = 0;
    int fields = sscanf(found, ".tmp-%8x-%8x-%lld-%llx-%lx%n", &id->place.host, &id->place.boot, &id->pid, &id->start,
                        &count, &used);
    return fields == 5 && found[used] == '\0';
}

static bool is_stale(int directory, const char *name, const temporary_id *id)
{
    ql_place here = ql_process_place();
    if (id->place.host == here.host) return id->place.boot != here.boot || !ql_process_is_alive(id->pid, id->start);
    struct stat info; /* of another host: its process cannot be asked */
    return fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - info.st_mtime > FOREIGN_AGE_S;
}

ql_status ql_directory_sweep_temporaries(const char *directory)
{
    DIR *listing = opendir(directory);
    if (listing == NULL) return QL_CHAIN(IO_FAILURE(directory, errno), "listing a directory");
    struct dirent *entry;
    temporary_id id;
    while ((entry = readdir(listing)) != NULL) {
        if (!parse_temporary(entry->d_name, &id) || !is_stale(dirfd(listing), entry->d_name, &id)) continue;
        (void)unlinkat(dirfd(listing), entry->d_name, 0); /* another rank may sweep the same directory */
    }
    (void)closedir(listing);
    return QL_OK;
}

/* ---- writing ---- */

/* fsync of what `path` names; systems that cannot sync a directory say EINVAL or ENOTSUP. */
static ql_status sync_path(const char *path, int flags)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (file < 0) return IO_FAILURE(path, errno);
    int error = fsync(file) == 0 ? 0 : errno;
    (void)close(file);
    if (error != 0 && !((flags & O_DIRECTORY) != 0 && (error == EINVAL || error == ENOTSUP)))
        return IO_FAILURE(path, error);
    return QL_OK;
}

static ql_status commit_steps(const char *temporary, const char *path)
{
    char directory[QL_PATH_SIZE];
    QL_TRY(directory_of(directory, path));
    ql_file_write_point();
    QL_TRY(sync_path(temporary, 0));
    ql_file_write_point();
    if (rename(temporary, path) != 0) return IO_FAILURE(path, errno);
    ql_file_write_point();
    QL_TRY(sync_path(directory, O_DIRECTORY));
    ql_file_write_point();
    return QL_OK;
}

ql_status ql_file_commit(const char *temporary, const char *path)
{
    ql_status status = commit_steps(temporary, path);
    if (status != QL_OK) (void)unlink(temporary);
    return QL_CHAIN(status, "writing %s", path);
}

static ql_status write_all(int file, const char *path, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, data, size < (1u << 30) ? size : 1u << 30);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return IO_FAILURE(path, errno);
        data += written;
        size -= (size_t)written;
    }
    return QL_OK;
}

static ql_status write_temporary(const char *temporary, const char *data, size_t size)
{
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) return IO_FAILURE(temporary, errno);
    ql_file_write_point();
    size_t half = size / 2; /* a crash in between leaves a torn temporary file */
    ql_status status = write_all(file, temporary, data, half);
    ql_file_write_point();
    if (status == QL_OK) status = write_all(file, temporary, data + half, size - half);
    if (close(file) != 0 && status == QL_OK) status = IO_FAILURE(temporary, errno); /* NFS reports here */
    ql_file_write_point();
    if (status != QL_OK) (void)unlink(temporary);
    return status;
}

ql_status ql_file_write_whole(const char *path, const void *data, size_t size)
{
    char temporary[QL_PATH_SIZE];
    assert(data != NULL || size == 0);
    QL_TRY(ql_file_temporary_name(temporary, path));
    QL_TRY(QL_CHAIN(write_temporary(temporary, data, size), "writing %s", path));
    return ql_file_commit(temporary, path);
}

ql_status ql_file_remove(const char *path)
{
    ql_file_write_point();
    if (unlink(path) != 0 && errno != ENOENT) return QL_CHAIN(IO_FAILURE(path, errno), "removing a file");
    return QL_OK;
}

/* ---- reading ---- */

/* Reads to the end into a block that grows: the size that the system reports is only a first guess (pipes,
 * /proc). */
static ql_status read_to_end(int file, const char *path, size_t guess, size_t limit, char **data, size_t *size)
{
    size_t room = (guess < limit ? guess : limit) + 2, used = 0;
    char *text;
    QL_TRY(QL_TAKE(text, room));
    for (;;) {
        ssize_t got = read(file, text + used, room - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int error = errno;
            ql_free(text);
            return IO_FAILURE(path, error);
        }
        used += (size_t)got;
        if (got == 0 || used > limit) break;
        if (used < room - 1) continue;
        room *= 2;
        char *grown = ql_memory_resize(text, room, 1);
        if (grown == NULL) {
            ql_free(text);
            return QL_FAIL(NO_MEMORY, "%s: no memory for %zu bytes of it", path, room);
        }
        text = grown;
    }
    if (used > limit) {
        ql_free(text);
        return QL_FAIL(IO, "%s: larger than the %zu bytes that are expected at most", path, limit);
    }
    text[used] = '\0';
    *data = text;
    *size = used;
    return QL_OK;
}

ql_status ql_file_read_whole(const char *path, size_t limit, char **data, size_t *size)
{
    if (limit == 0) limit = (size_t)1 << 40;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return IO_FAILURE(path, errno);
    struct stat info;
    ql_status status;
    if (fstat(file, &info) != 0)
        status = IO_FAILURE(path, errno);
    else if (S_ISDIR(info.st_mode))
        status = QL_FAIL(IO, "%s: is a directory, a file is needed", path);
    else
        status = read_to_end(file, path, S_ISREG(info.st_mode) ? (size_t)info.st_size : 65536, limit, data, size);
    (void)close(file);
    return status;
}
