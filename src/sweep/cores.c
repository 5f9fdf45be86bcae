/* Sharing the cores of a node (see cores.h). */
#include "sweep/cores.h"

#include "base/machine.h"
#include "base/memory.h"
#include "base/process.h"
#include "engine/cpu/places.h"

#include <math.h>
#include <sched.h>
#include <string.h>

typedef struct seat {
    uint32_t host;
    int32_t known; /* the mask could be read */
    cpu_set_t mask;
} seat;

/* Processors' worth of time that fall to `mine` when all share evenly what they may run on. */
static double share_of(const seat *all, int size, const seat *mine)
{
    double share = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &mine->mask)) continue;
        int sharers = 0;
        for (int rank = 0; rank < size; ++rank)
            sharers += all[rank].host == mine->host && CPU_ISSET(cpu, &all[rank].mask);
        share += 1.0 / sharers;
    }
    return share;
}

/* Which of the `count` ranks of this host with our very cores we are; count 0: some host's rank has others. */
static int place_among(const seat *all, int size, int rank, int *count)
{
    int mine = 0;
    *count = 0;
    for (int k = 0; k < size; ++k) {
        if (all[k].host != all[rank].host) continue;
        if (!CPU_EQUAL(&all[k].mask, &all[rank].mask)) return *count = 0;
        mine += k < rank;
        ++*count;
    }
    return mine;
}

/* Our part of cores that all ranks of the host may use, when `threads` fill it. */
static void keep_part(const seat *all, int size, int rank, int threads)
{
    int count, place = place_among(all, size, rank, &count), cores = ql_places_count();
    if (count < 2 || cores < count) return;
    const int first = (int)((int64_t)cores * place / count), end = (int)((int64_t)cores * (place + 1) / count);
    if (threads >= cores / count) ql_places_keep(first, end - first);
}

ql_status ql_cores_share(ql_comm *comm, int wanted, int *threads)
{
    ql_machine machine;
    seat mine = {.host = ql_process_place().host}, *all = NULL;
    ql_machine_look(&machine);
    mine.known = sched_getaffinity(0, sizeof mine.mask, &mine.mask) == 0;
    ql_status status = QL_TAKE(all, comm->size);
    status = ql_comm_agree(comm, status);
    if (status == QL_OK) status = comm->kind->allgather(comm, &mine, all, sizeof mine);
    bool known = true;
    for (int rank = 0; status == QL_OK && rank < comm->size; ++rank) known = known && all[rank].known != 0;
    double share = (double)ql_machine_threads(&machine) / comm->local_size;
    if (status == QL_OK && known && machine.threads > 0) {
        /* hardware threads of a core do not make it twice as fast */
        share = share_of(all, comm->size, &mine) * machine.cores / machine.threads;
        if (machine.cpu_quota > 0) share = fmin(share, machine.cpu_quota / comm->local_size);
    }
    *threads = wanted > 0 ? wanted : share < 1 ? 1 : (int)(share + 1e-6);
    if (status == QL_OK && known) keep_part(all, comm->size, comm->rank, *threads);
    ql_machine_set_sharers(comm->local_size);
    ql_free(all);
    return status;
}
