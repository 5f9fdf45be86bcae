/* Cores by hwloc (see places.h). The topology is loaded once and lives as long as the process. */
#include "engine/cpu/places.h"

#include <hwloc.h>
#include <stdbool.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static hwloc_topology_t topology;
static bool loaded;

static void load(void)
{
    if (hwloc_topology_init(&topology) != 0) return;
    loaded = hwloc_topology_load(topology) == 0;
}

/* Adds the allowed hardware threads of cores first .. first + count - 1 to `set`; returns how many cores there are. */
static int look(int first, int count, hwloc_bitmap_t set)
{
    int cores = 0;
    hwloc_obj_t core = NULL;
    (void)pthread_once(&once, load);
    hwloc_bitmap_t allowed = loaded ? hwloc_bitmap_alloc() : NULL;
    if (allowed != NULL && hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) == 0)
        while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL) {
            if (!hwloc_bitmap_intersects(core->cpuset, allowed)) continue;
            if (set != NULL && cores >= first && cores < first + count) hwloc_bitmap_or(set, set, core->cpuset);
            ++cores;
        }
    if (allowed != NULL && set != NULL) hwloc_bitmap_and(set, set, allowed);
    hwloc_bitmap_free(allowed);
    return cores;
}

int ql_places_count(void) { return look(0, 0, NULL); }

static void bind_to(pthread_t thread, int first, int count)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set != NULL && look(first, count, set) > 0 && !hwloc_bitmap_iszero(set))
        (void)hwloc_set_thread_cpubind(topology, thread, set, 0);
    hwloc_bitmap_free(set);
}

void ql_places_bind(pthread_t thread, int k) { bind_to(thread, k, 1); }

void ql_places_keep(int first, int count) { bind_to(pthread_self(), first, count); }
