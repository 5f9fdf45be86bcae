/* Where a process is bound (see binding.h). */
#include "base/binding.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES_MAX = 64 };

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    if (used + strlen(more) + 2 > size) return;
    (void)snprintf(text + used, size - used, "%s%s", used > 0 ? "," : "", more);
}

static void write_ranges(char out[QL_BINDING_SIZE], const cpu_set_t *mask)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        char range[32];
        int last = cpu;
        if (!CPU_ISSET((size_t)cpu, mask)) continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, mask)) ++last;
        (void)snprintf(range, sizeof range, last > cpu ? "%d-%d" : "%d", cpu, last);
        append(out, QL_BINDING_SIZE, range);
        cpu = last;
    }
}

static int node_of(int cpu)
{
    for (int node = 0; node < NODES_MAX; ++node) {
        char path[96];
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/node%d", cpu, node);
        if (access(path, F_OK) == 0) return node;
    }
    return -1;
}

static void write_nodes(char out[QL_BINDING_SIZE], const cpu_set_t *mask)
{
    bool has[NODES_MAX] = {false};
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        int node = CPU_ISSET((size_t)cpu, mask) ? node_of(cpu) : -1;
        if (node >= 0) has[node] = true;
    }
    for (int node = 0; node < NODES_MAX; ++node) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", node);
        if (has[node]) append(out, QL_BINDING_SIZE, name);
    }
}

void ql_binding_look(ql_binding *binding)
{
    cpu_set_t mask;
    const char *gpus = getenv("CUDA_VISIBLE_DEVICES");
    *binding = (ql_binding){0};
    (void)snprintf(binding->gpus, sizeof binding->gpus, "%s", gpus != NULL ? gpus : "");
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return;
    write_ranges(binding->cpus, &mask);
    write_nodes(binding->numa, &mask);
}

const char *ql_binding_gpu(const ql_binding *binding, int local_rank, char out[QL_GPU_SIZE])
{
    char list[QL_GPU_SIZE], *entries[QL_GPU_SIZE], *rest = NULL;
    int count = 0;
    (void)snprintf(list, sizeof list, "%s", binding->gpus);
    for (char *entry = strtok_r(list, ",", &rest); entry != NULL; entry = strtok_r(NULL, ",", &rest))
        entries[count++] = entry;
    (void)snprintf(out, QL_GPU_SIZE, "%s", count > 0 ? entries[local_rank % count] : "");
    return out;
}
