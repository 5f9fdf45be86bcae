/* What this process may use of its machine (see machine.h): Linux's /proc, /sys and control groups, both versions. */
#include "base/machine.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LINE = 4096, PATH = 8192 };

/* First line of a small file without its end; NULL when it cannot be read. */
static const char *first_line(const char *path, char line[LINE])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return NULL;
    const char *got = fgets(line, LINE, file);
    (void)fclose(file);
    if (got != NULL) line[strcspn(line, "\n")] = '\0';
    return got;
}

/* Value behind "KEY : " in a file of such lines; NULL when there is none. */
static const char *value_of(const char *path, const char *key, char line[LINE])
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return NULL;
    size_t length = strlen(key);
    const char *value = NULL;
    while (value == NULL && fgets(line, LINE, file) != NULL) {
        const char *rest = line + length;
        if (strncmp(line, key, length) != 0) continue;
        rest += strspn(rest, " \t");
        if (*rest != ':') continue;
        ++rest;
        value = rest + strspn(rest, " \t");
        line[strcspn(line, "\n")] = '\0';
    }
    (void)fclose(file);
    return value;
}

static int64_t memory_line(const char *key)
{
    char line[LINE];
    const char *value = value_of("/proc/meminfo", key, line); /* in kB */
    return value != NULL ? strtoll(value, NULL, 10) * 1024 : 0;
}

static int vector_bits(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return 512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 256;
    return 128;
#else
    return 0;
#endif
}

/* Hardware threads that the affinity mask allows, and the cores they lie on: a thread stands for its core when it is the
 * first allowed one of the core's siblings. */
static void look_at_cores(ql_machine *machine)
{
    enum { MOST = 8192 };
    cpu_set_t *set = CPU_ALLOC(MOST);
    size_t size = CPU_ALLOC_SIZE(MOST);
    if (set == NULL || sched_getaffinity(0, size, set) != 0) {
        CPU_FREE(set);
        return;
    }
    for (size_t cpu = 0; cpu < MOST; ++cpu) {
        if (!CPU_ISSET_S(cpu, size, set)) continue;
        ++machine->threads;
        char path[128], line[LINE];
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/topology/thread_siblings_list", cpu);
        const char *at = first_line(path, line);
        size_t first = cpu;
        while (at != NULL && *at != '\0') { /* "0,64" or "0-1" */
            char *end;
            size_t low = strtoul(at, &end, 10), high = *end == '-' ? strtoul(end + 1, &end, 10) : low;
            for (size_t sibling = low; sibling <= high && sibling < first; ++sibling)
                if (CPU_ISSET_S(sibling, size, set)) first = sibling;
            at = *end == ',' ? end + 1 : NULL;
        }
        machine->cores += first == cpu;
    }
    CPU_FREE(set);
}

/* Takes note of a limit of which `used` bytes are in use. */
static void note_limit(ql_machine *machine, double limit, double used)
{
    if (!(limit > 0 && limit < 0x1p60)) return; /* "max", or version 1's huge number for none */
    int64_t left = limit > used ? (int64_t)(limit - used) : 0;
    if (machine->limit_bytes == 0 || left < machine->limit_left_bytes) machine->limit_left_bytes = left;
    if (machine->limit_bytes == 0 || (int64_t)limit < machine->limit_bytes) machine->limit_bytes = (int64_t)limit;
}

/* Calls `look` for a control group's folder and all above it, up to the root of its hierarchy. */
static void walk_up(ql_machine *machine, const char *root, const char *group,
                    void (*look)(ql_machine *machine, const char *folder))
{
    char folder[PATH];
    int length = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (length < 0 || length >= (int)sizeof folder) return;
    size_t root_length = strlen(root);
    for (;;) {
        look(machine, folder);
        char *slash = strrchr(folder + root_length, '/');
        if (slash == NULL) return;
        *slash = '\0';
    }
}

static const char *file_in(const char *folder, const char *name, char line[LINE])
{
    char path[PATH + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return first_line(path, line);
}

/* Number behind "KEY " in a control group's memory.stat. */
static double stat_line(const char *folder, const char *key)
{
    char path[PATH + 64], line[LINE];
    (void)snprintf(path, sizeof path, "%s/memory.stat", folder);
    FILE *file = fopen(path, "re");
    size_t length = strlen(key);
    double value = 0;
    while (file != NULL && fgets(line, LINE, file) != NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ' ') value = strtod(line + length, NULL);
    if (file != NULL) (void)fclose(file);
    return value;
}

/* Pages of files that nobody maps are given back before a limit hurts, so they do not count as used. */
static void look_at_memory(ql_machine *machine, const char *folder)
{
    static const struct {
        const char *limit, *used, *reclaimable;
    } names[] = {
        {"memory.max", "memory.current", "inactive_file"},
        {"memory.high", "memory.current", "inactive_file"},
        {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
    };
    char line[LINE];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        if (file_in(folder, names[i].limit, line) == NULL) continue;
        double limit = strtod(line, NULL);
        double used = file_in(folder, names[i].used, line) != NULL ? strtod(line, NULL) : 0;
        note_limit(machine, limit, used - stat_line(folder, names[i].reclaimable));
    }
}

static void look_at_quota(ql_machine *machine, const char *folder)
{
    char line[LINE];
    double quota = 0, period = 0, worth;
    if (file_in(folder, "cpu.max", line) != NULL) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2) return; /* "max 100000" */
    } else {
        if (file_in(folder, "cpu.cfs_quota_us", line) != NULL) quota = strtod(line, NULL);
        if (file_in(folder, "cpu.cfs_period_us", line) != NULL) period = strtod(line, NULL);
    }
    worth = quota > 0 && period > 0 ? quota / period : 0;
    if (worth > 0 && (machine->cpu_quota == 0 || worth < machine->cpu_quota)) machine->cpu_quota = worth;
}

/* Lines of /proc/self/cgroup: "4:memory:/a/b" (version 1), "0::/a/b" (version 2). */
static void look_at_groups(ql_machine *machine)
{
    char line[LINE];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL) return;
    while (fgets(line, LINE, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *kind = strchr(line, ':');
        char *group = kind != NULL ? strchr(kind + 1, ':') : NULL;
        if (group == NULL) continue;
        *group++ = '\0';
        ++kind;
        if (strcmp(kind, "memory") == 0) walk_up(machine, "/sys/fs/cgroup/memory", group, look_at_memory);
        if (strcmp(kind, "cpu") == 0 || strcmp(kind, "cpu,cpuacct") == 0)
            walk_up(machine, "/sys/fs/cgroup/cpu", group, look_at_quota);
        if (kind[0] == '\0') {
            walk_up(machine, "/sys/fs/cgroup", group, look_at_memory);
            walk_up(machine, "/sys/fs/cgroup", group, look_at_quota);
        }
    }
    (void)fclose(file);
}

void ql_machine_look(ql_machine *machine)
{
    *machine = (ql_machine){0};
    char line[LINE];
    const char *model = value_of("/proc/cpuinfo", "model name", line);
    (void)snprintf(machine->cpu, sizeof machine->cpu, "%.*s", QL_CPU_NAME_SIZE - 1, model != NULL ? model : "");
    machine->vector_bits = vector_bits();
    machine->memory_bytes = memory_line("MemTotal");
    machine->available_bytes = memory_line("MemAvailable");
    machine->swap_bytes = memory_line("SwapTotal");
    look_at_cores(machine);
    look_at_groups(machine);
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        double pages = first_line("/proc/self/statm", line) != NULL ? strtod(line, NULL) : 0;
        note_limit(machine, (double)space.rlim_cur, pages * (double)sysconf(_SC_PAGESIZE));
    }
}

int ql_machine_threads(const ql_machine *machine)
{
    int threads = machine->cores;
    if (machine->cpu_quota > 0 && machine->cpu_quota < threads) threads = (int)ceil(machine->cpu_quota);
    return threads > 0 ? threads : 1;
}

int64_t ql_machine_memory_left(const ql_machine *machine)
{
    bool limited = machine->limit_bytes > 0 && machine->limit_left_bytes < machine->available_bytes;
    return limited ? machine->limit_left_bytes : machine->available_bytes;
}

static int sharers = 1;

void ql_machine_set_sharers(int processes) { sharers = processes > 1 ? processes : 1; }

int64_t ql_machine_memory_share(const ql_machine *machine) { return ql_machine_memory_left(machine) / sharers; }
