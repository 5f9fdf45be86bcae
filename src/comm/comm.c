/* What every communicator shares: blocking forms, the agreement on a status, and what the launcher's environment announces. */
#include "comm/comm.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t ql_number_size(ql_number number)
{
    switch (number) {
    case QL_NUMBER_BYTE: return 1;
    case QL_NUMBER_FLOAT32: return sizeof(float);
    default: return 8;
    }
}

ql_status ql_comm_sum(ql_comm *comm, void *values, int count, ql_number number)
{
    ql_request request = {.active = false};
    QL_TRY(comm->kind->sum_begin(comm, values, count, number, &request));
    return comm->kind->wait(comm, &request);
}

ql_status ql_comm_gather(ql_comm *comm, void *all, const ql_parts *parts, ql_number number)
{
    ql_request request = {.active = false};
    QL_TRY(comm->kind->gather_begin(comm, all, parts, number, &request));
    return comm->kind->wait(comm, &request);
}

/* One call takes less than 2^31 bytes. */
ql_status ql_comm_broadcast(ql_comm *comm, void *data, size_t bytes, int root)
{
    const size_t piece = (size_t)1 << 26;
    for (size_t at = 0; at < bytes; at += piece)
        QL_TRY(comm->kind->broadcast(comm, (char *)data + at, bytes - at < piece ? bytes - at : piece, root));
    return QL_OK;
}

/* Rank `at` tells all why. */
static ql_status share_text(ql_comm *comm, ql_status worst, int at)
{
    char text[512] = "";
    if (comm->rank == at) (void)snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, ql_error_text());
    QL_TRY(comm->kind->broadcast(comm, text, sizeof text, at));
    if (comm->rank == at) return worst;
    return ql_error_set(worst, __FILE__, __LINE__, "%s", text[0] != '\0' ? text : ql_status_text(worst));
}

ql_status ql_comm_agree(ql_comm *comm, ql_status mine)
{
    int32_t own = (int32_t)mine, worst = (int32_t)QL_OK, *all = NULL;
    int at = 0;
    if (comm->size == 1) return mine;
    QL_TRY(QL_TAKE(all, comm->size));
    ql_status status = comm->kind->allgather(comm, &own, all, sizeof own);
    for (int rank = 0; status == QL_OK && rank < comm->size; ++rank) {
        if (all[rank] <= worst) continue;
        worst = all[rank];
        at = rank;
    }
    ql_free(all);
    if (status != QL_OK || worst == (int32_t)QL_OK) return status;
    return share_text(comm, (ql_status)worst, at);
}

void ql_comm_destroy(ql_comm *comm)
{
    if (comm != NULL) comm->kind->destroy(comm);
}

/* Value of a positive decimal number in the environment, 0 when there is none. */
static int environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL) return 0;
    long value = strtol(text, &end, 10);
    return end != text && *end == '\0' && value > 0 && value < 1 << 30 ? (int)value : 0;
}

/* A batch script has SLURM_NTASKS but is one process: only a task of a step has SLURM_STEP_NUM_TASKS. */
int ql_comm_announced_size(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PALS_SIZE", "FLUX_JOB_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        int size = environment_number(names[i]);
        if (size > 0) return size;
    }
    int tasks = environment_number("SLURM_STEP_NUM_TASKS");
    return tasks > 0 && getenv("SLURM_PROCID") != NULL ? tasks : 1;
}
