/* The seam between ranks. `self` is the communicator of a process on its own, so no code above needs to know
 * whether MPI is there; mpi/ provides `mpi`. Functions marked collective must be called by all ranks of the
 * communicator.
 */
#ifndef QL_COMM_COMM_H
#define QL_COMM_COMM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ql_comm ql_comm;

/* A small message between two ranks, for control: who works on what, shall we stop. */
enum { QL_MESSAGE_MAX = 1024 };
typedef struct ql_message {
    int peer; /* from or to which rank */
    int tag;
    size_t bytes;
    _Alignas(8) unsigned char data[QL_MESSAGE_MAX];
} ql_message;

typedef struct ql_comm_class {
    const char *name; /* self, mpi */
    /* Collective. Small control data. */
    ql_status (*barrier)(ql_comm *comm);
    ql_status (*broadcast)(ql_comm *comm, void *data, size_t bytes, int root);
    ql_status (*allgather)(ql_comm *comm, const void *mine, void *all, size_t bytes_each);
    ql_status (*sum_int)(ql_comm *comm, int64_t *values, int count); /* in place, same result on all ranks */
    ql_status (*sum_real)(ql_comm *comm, double *values, int count); /* in place */
    /* Not collective. post copies the message and returns at once; messages from one rank to another arrive
     * in order. poll takes the next one that has arrived (`*arrived` false: none) and must be called now and
     * then for posts to go out. Every posted message must have been polled before the communicator is
     * destroyed. */
    ql_status (*post)(ql_comm *comm, const ql_message *message);
    ql_status (*poll)(ql_comm *comm, ql_message *message, bool *arrived);
    void (*destroy)(ql_comm *comm);
} ql_comm_class;

struct ql_comm {
    const ql_comm_class *kind;
    int rank, size;             /* in this communicator */
    int local_rank, local_size; /* among the ranks on this node */
    bool threads;               /* post and poll may run on one thread while another one is in a collective function */
};

/* Collective: the worst (largest) status of all ranks with the error text of the first rank that has it, so that all take
 * the same way and one of them can say why. */
ql_status ql_comm_agree(ql_comm *comm, ql_status mine);

/* A launcher starts and ends a communicator for the whole job. */
typedef struct ql_launcher {
    const char *name;
    const char *summary;    /* library and version, or how to get it */
    bool (*launched)(void); /* whether this process was started by mpirun or srun as one of several */
    ql_status (*start)(ql_comm **world, int *argc, char ***argv);
    void (*stop)(ql_comm *world); /* NULL-safe */
    void (*abort)(int exit_code); /* ends all ranks at once */
} ql_launcher;

extern const ql_launcher ql_launcher_mpi; /* mpi/, or its stub */

/* How many processes the launcher that started this one announced in the environment (mpirun of Open MPI,
 * MPICH and Intel MPI, srun, flux); 1 when started alone. */
int ql_comm_announced_size(void);

/* A communicator of one rank. */
ql_status ql_comm_self(ql_comm **comm);
void ql_comm_destroy(ql_comm *comm); /* NULL-safe */

#endif
