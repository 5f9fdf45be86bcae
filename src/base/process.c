/* Identities of host, process and job (see process.h). */
#include "base/process.h"

#include "base/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *ql_process_host(char out[QL_HOST_SIZE])
{
    if (gethostname(out, QL_HOST_SIZE) != 0 || out[0] == '\0') (void)snprintf(out, QL_HOST_SIZE, "unknown");
    out[QL_HOST_SIZE - 1] = '\0';
    return out;
}

/* First bytes of a small file of /proc as text; "" when it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    text[0] = '\0';
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t got = read(file, text, size - 1);
    text[got > 0 ? (size_t)got : 0] = '\0';
    (void)close(file);
}

static uint32_t hash32(const char *text) { return (uint32_t)ql_hash_bytes(text, strlen(text), 0); }

ql_place ql_process_place(void)
{
    char host[QL_HOST_SIZE], namespace[64], text[QL_HOST_SIZE + 64], boot[64];
    ssize_t length = readlink("/proc/self/ns/pid", namespace, sizeof namespace - 1);
    namespace[length > 0 ? (size_t)length : 0] = '\0';
    (void)snprintf(text, sizeof text, "%s %s", ql_process_host(host), namespace);
    read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    return (ql_place){hash32(text), hash32(boot)};
}

uint64_t ql_process_start(int64_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    read_text(path, text, sizeof text);
    /* proc(5): "pid (name) state ppid ..."; the name may hold anything, so count from its closing bracket.
     * Field 3 is the state, field 22 the start. */
    const char *at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 3 || at[2] == 'Z' || at[2] == 'X') return 0;
    ++at;
    for (int field = 3; field <= 22; ++field) {
        at = strchr(at, ' ');
        if (at == NULL) return 0;
        ++at;
    }
    return strtoull(at, NULL, 10);
}

bool ql_process_is_alive(int64_t pid, uint64_t start)
{
    uint64_t now = ql_process_start(pid);
    return now != 0 && now == start;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static bool slurm_job(char out[QL_JOB_SIZE])
{
    const char *array = variable("SLURM_ARRAY_JOB_ID"), *job = variable("SLURM_JOB_ID");
    const char *restart = variable("SLURM_RESTART_COUNT");
    if (job[0] == '\0') return false;
    if (array[0] != '\0')
        (void)snprintf(out, QL_JOB_SIZE, "%.40s_%.40s", array, variable("SLURM_ARRAY_TASK_ID"));
    else
        (void)snprintf(out, QL_JOB_SIZE, "%.40s", job);
    size_t used = strlen(out);
    if (restart[0] != '\0' && strcmp(restart, "0") != 0)
        (void)snprintf(out + used, QL_JOB_SIZE - used, "+r%.20s", restart);
    return true;
}

const char *ql_process_job(char out[QL_JOB_SIZE])
{
    static const char *const names[] = {"PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "JOB_ID"};
    out[0] = '\0';
    if (slurm_job(out)) return out;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && out[0] == '\0'; ++i)
        (void)snprintf(out, QL_JOB_SIZE, "%.*s", QL_JOB_SIZE - 1, variable(names[i]));
    return out;
}

double ql_process_job_left_s(void)
{
    const char *text = variable("SLURM_JOB_END_TIME");
    struct timespec now;
    char *end;
    const double at = strtod(text, &end);
    if (text[0] == '\0' || *end != '\0' || !(at > 0)) return 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const double left = at - ((double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    return left > 0 ? left : -1;
}
