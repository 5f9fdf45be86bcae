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

/* What arrays are made of. */
typedef enum ql_number { QL_NUMBER_BYTE, QL_NUMBER_INT64, QL_NUMBER_FLOAT32, QL_NUMBER_FLOAT64 } ql_number;
size_t ql_number_size(ql_number number);

/* A collective operation on arrays that was begun and is not over yet: its arrays belong to the communicator until then. */
typedef struct ql_request {
    _Alignas(8) unsigned char handle[16];
    bool active;
} ql_request;

/* Whose part of an array is where, one entry per rank, in elements; borrowed until the operation is over. */
typedef struct ql_parts {
    const int *count, *at;
} ql_parts;

typedef struct ql_comm_class {
    const char *name; /* self, mpi */
    /* Collective. Small control data. */
    ql_status (*barrier)(ql_comm *comm);
    ql_status (*broadcast)(ql_comm *comm, void *data, size_t bytes, int root);
    ql_status (*allgather)(ql_comm *comm, const void *mine, void *all, size_t bytes_each);

    /* Collective: arrays. begin returns at once; work goes on in test and wait (no MPI progresses by itself everywhere), so a
     * rank that computes meanwhile calls test now and then. A communicator whose arrays lie on a device (nccl) has the same
     * verbs. Operations are begun in the same order on all ranks. */
    ql_status (*sum_begin)(ql_comm *comm, void *values, int count, ql_number number,
                           ql_request *request); /* in place */
    /* In place: every rank's part is already where it belongs. */
    ql_status (*gather_begin)(ql_comm *comm, void *all, const ql_parts *parts, ql_number number, ql_request *request);
    /* Part r of `send` to rank r, where it becomes the part of our rank in `receive`. */
    ql_status (*exchange_begin)(ql_comm *comm, const void *send, const ql_parts *to, void *receive,
                                const ql_parts *from, ql_number number, ql_request *request);
    ql_status (*test)(ql_comm *comm, ql_request *request, bool *over);
    ql_status (*wait)(ql_comm *comm, ql_request *request); /* does nothing when the request is not active */

    /* Collective over `members` (ranks in `comm`, each once, the caller among them) only: their own communicator, in that
     * order. Groups that form at the same time need different tags (0 to 32767) where they share a member. */
    ql_status (*group)(ql_comm *comm, const int *members, int count, int tag, ql_comm **group);

    /* Collective: a block of memory (64-byte aligned) that all ranks of this node within the communicator have in common, or NULL
     * where there is none or but one rank on the node. It belongs to the communicator, which has only one: the next call gives
     * it again or, when more is wanted, replaces it. */
    ql_status (*node_memory)(ql_comm *comm, size_t bytes, void **memory);
    /* Collective over the ranks of this node that have such memory: what any wrote before is seen by all afterwards. */
    ql_status (*node_meet)(ql_comm *comm);

    /* Not collective. Adds to the communicator's one counter (0 at first) and tells what it was before. Served by rank 0, in its
     * own calls of poll and fetch_add: no one-sided communication, so rank 0 must call poll now and then. */
    ql_status (*fetch_add)(ql_comm *comm, int64_t add, int64_t *before);

    /* Not collective. post copies the message and returns at once; messages from one rank to another arrive
     * in order. poll takes the next one that has arrived (`*arrived` false: none) and must be called now and
     * then for posts to go out. Every posted message must have been polled before the communicator is
     * destroyed. */
    ql_status (*post)(ql_comm *comm, const ql_message *message);
    ql_status (*poll)(ql_comm *comm, ql_message *message, bool *arrived);
    void (*destroy)(ql_comm *comm); /* collective */
} ql_comm_class;

struct ql_comm {
    const ql_comm_class *kind;
    int rank, size;             /* in this communicator */
    int local_rank, local_size; /* among the ranks on this node */
    bool threads;               /* post and poll may run on one thread while another one is in a collective function */
    double seconds;             /* spent in collective functions so far, waiting for others included */
};

/* Collective, begin and wait in one. */
ql_status ql_comm_sum(ql_comm *comm, void *values, int count, ql_number number);
ql_status ql_comm_gather(ql_comm *comm, void *all, const ql_parts *parts, ql_number number);

/* Collective: any number of bytes from `root` to all. */
ql_status ql_comm_broadcast(ql_comm *comm, void *data, size_t bytes, int root);

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
