/* Communicator over MPI. Errors come back as status with MPI's text instead of ending the job.
 *
 * Messages (post, poll) have a communicator of their own. A post is a copy and an MPI_Isend; finished sends
 * are collected at every post and poll. No one-sided communication: between nodes it waits until the target
 * enters MPI. The counter of fetch_add is rank 0's, asked for by messages on the communicator of the collectives (those and
 * messages do not meet within one). */
#include "mpi_comm.h"

#include "base/clock.h"
#include "base/memory.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { TAG_ADD = 1, TAG_BEFORE };

/* A rank that waits looks without pause for so long; then it leaves the core to others between looks. */
static const double PATIENCE_S = 0.005;

typedef struct pending_send {
    struct pending_send *next;
    MPI_Request request;
    ql_message message;
} pending_send;

typedef struct mpi_comm {
    ql_comm comm;
    MPI_Comm collective, messages;
    pthread_mutex_t mutex; /* of the list; MPI itself is called by any thread (MPI_THREAD_MULTIPLE) */
    pending_send *pending;
    pthread_mutex_t counting; /* of the counter, and of asking for it */
    int64_t counter;          /* rank 0 */
    MPI_Comm node;            /* the ranks of this node, when there is memory in common */
    MPI_Win window;
    void *memory;
    size_t memory_bytes; /* asked for so far, whether it was to be had or not: the same on all ranks */
} mpi_comm;

ql_status ql_mpi_check(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (code == MPI_SUCCESS) return QL_OK;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) (void)strcpy(text, "unknown MPI error");
    return QL_FAIL(ENVIRONMENT, "%s: %s", what, text);
}

static ql_status check_size(size_t bytes)
{
    if (bytes <= INT_MAX) return QL_OK;
    return QL_FAIL(INTERNAL, "%zu bytes of control data are more than one MPI call takes", bytes);
}

/* The time in a collective function, for the statistics. */
static ql_status collective(ql_comm *comm, double began, int code, const char *what)
{
    comm->seconds += ql_clock_s() - began;
    return ql_mpi_check(code, what);
}

static ql_status mpi_barrier(ql_comm *comm)
{
    const double began = ql_clock_s();
    return collective(comm, began, MPI_Barrier(((mpi_comm *)comm)->collective), "MPI_Barrier");
}

static ql_status mpi_broadcast(ql_comm *comm, void *data, size_t bytes, int root)
{
    const double began = ql_clock_s();
    QL_TRY(check_size(bytes));
    return collective(comm, began, MPI_Bcast(data, (int)bytes, MPI_BYTE, root, ((mpi_comm *)comm)->collective),
                      "MPI_Bcast");
}

static ql_status mpi_allgather(ql_comm *comm, const void *mine, void *all, size_t bytes_each)
{
    const double began = ql_clock_s();
    QL_TRY(check_size(bytes_each));
    return collective(
        comm, began,
        MPI_Allgather(mine, (int)bytes_each, MPI_BYTE, all, (int)bytes_each, MPI_BYTE, ((mpi_comm *)comm)->collective),
        "MPI_Allgather");
}

/* ---- arrays ---- */

static MPI_Datatype type_of(ql_number number)
{
    switch (number) {
    case QL_NUMBER_BYTE: return MPI_BYTE;
    case QL_NUMBER_INT64: return MPI_INT64_T;
    case QL_NUMBER_FLOAT32: return MPI_FLOAT;
    default: return MPI_DOUBLE;
    }
}

/* MPI_Request is a pointer or a number, as the library likes. */
static ql_status keep_request(ql_comm *comm, ql_request *request, MPI_Request mpi, double began, int code,
                              const char *what)
{
    _Static_assert(sizeof mpi <= sizeof request->handle, "room for a request");
    memcpy(request->handle, &mpi, sizeof mpi);
    request->active = code == MPI_SUCCESS;
    return collective(comm, began, code, what);
}

static ql_status mpi_sum_begin(ql_comm *comm, void *values, int count, ql_number number, ql_request *request)
{
    const double began = ql_clock_s();
    MPI_Request mpi = MPI_REQUEST_NULL;
    int code =
        MPI_Iallreduce(MPI_IN_PLACE, values, count, type_of(number), MPI_SUM, ((mpi_comm *)comm)->collective, &mpi);
    return keep_request(comm, request, mpi, began, code, "MPI_Iallreduce");
}

static ql_status mpi_gather_begin(ql_comm *comm, void *all, const ql_parts *parts, ql_number number,
                                  ql_request *request)
{
    const double began = ql_clock_s();
    MPI_Request mpi = MPI_REQUEST_NULL;
    int code = MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, parts->count, parts->at, type_of(number),
                               ((mpi_comm *)comm)->collective, &mpi);
    return keep_request(comm, request, mpi, began, code, "MPI_Iallgatherv");
}

static ql_status mpi_exchange_begin(ql_comm *comm, const void *send, const ql_parts *to, void *receive,
                                    const ql_parts *from, ql_number number, ql_request *request)
{
    const double began = ql_clock_s();
    MPI_Request mpi = MPI_REQUEST_NULL;
    int code = MPI_Ialltoallv(send, to->count, to->at, type_of(number), receive, from->count, from->at, type_of(number),
                              ((mpi_comm *)comm)->collective, &mpi);
    return keep_request(comm, request, mpi, began, code, "MPI_Ialltoallv");
}

static ql_status mpi_test(ql_comm *comm, ql_request *request, bool *over)
{
    const double began = ql_clock_s();
    MPI_Request mpi;
    int done = 1, code = MPI_SUCCESS;
    if (request->active) {
        memcpy(&mpi, request->handle, sizeof mpi);
        code = MPI_Test(&mpi, &done, MPI_STATUS_IGNORE);
        memcpy(request->handle, &mpi, sizeof mpi);
        request->active = done == 0 && code == MPI_SUCCESS;
    }
    *over = !request->active;
    return collective(comm, began, code, "MPI_Test");
}

static void nap(void)
{
    const struct timespec time = {0, 50000};
    (void)nanosleep(&time, NULL);
}

static ql_status mpi_wait(ql_comm *comm, ql_request *request)
{
    const double began = ql_clock_s();
    for (bool over = !request->active; !over;) {
        QL_TRY(mpi_test(comm, request, &over));
        if (over || ql_clock_s() - began < PATIENCE_S) continue;
        const double since = ql_clock_s();
        nap();
        comm->seconds += ql_clock_s() - since;
    }
    return QL_OK;
}

/* ---- memory in common ---- */

static void release_node_memory(mpi_comm *self)
{
    if (self->memory != NULL) (void)MPI_Win_unlock_all(self->window);
    if (self->window != MPI_WIN_NULL) (void)MPI_Win_free(&self->window);
    if (self->node != MPI_COMM_NULL) (void)MPI_Comm_free(&self->node);
    self->memory = NULL;
}

/* The first rank of the node gives the memory; the others find it. Loads and stores, no one-sided communication. */
static ql_status take_node_memory(mpi_comm *self, size_t bytes)
{
    char *base = NULL;
    MPI_Aint size;
    int unit;
    QL_TRY(ql_mpi_check(
        MPI_Comm_split_type(self->collective, MPI_COMM_TYPE_SHARED, self->comm.rank, MPI_INFO_NULL, &self->node),
        "MPI_Comm_split_type"));
    if (self->comm.local_size == 1) return QL_OK;
    QL_TRY(ql_mpi_check(MPI_Comm_set_errhandler(self->node, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    QL_TRY(ql_mpi_check(MPI_Win_allocate_shared(self->comm.local_rank == 0 ? (MPI_Aint)(bytes + 64) : 0, 1,
                                                MPI_INFO_NULL, self->node, &base, &self->window),
                        "MPI_Win_allocate_shared"));
    QL_TRY(ql_mpi_check(MPI_Win_shared_query(self->window, 0, &size, &unit, &base), "MPI_Win_shared_query"));
    QL_TRY(ql_mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, self->window), "MPI_Win_lock_all"));
    self->memory = base + (64 - (uintptr_t)base % 64) % 64;
    return QL_OK;
}

/* Without it everybody works with memory of his own, so a system that has none is no error. */
static ql_status mpi_node_memory(ql_comm *comm, size_t bytes, void **memory)
{
    mpi_comm *self = (mpi_comm *)comm;
    *memory = self->memory;
    if (self->memory_bytes >= bytes) return QL_OK;
    release_node_memory(self);
    self->memory_bytes = bytes;
    int64_t missing = take_node_memory(self, bytes) != QL_OK;
    ql_error_clear();
    QL_TRY(ql_comm_sum(comm, &missing, 1, QL_NUMBER_INT64));
    if (missing > 0) release_node_memory(self);
    *memory = self->memory;
    return QL_OK;
}

static ql_status mpi_node_meet(ql_comm *comm)
{
    mpi_comm *self = (mpi_comm *)comm;
    const double began = ql_clock_s();
    ql_request request = {.active = false};
    MPI_Request mpi = MPI_REQUEST_NULL;
    if (self->memory == NULL) return QL_OK;
    (void)MPI_Win_sync(self->window);
    int code = MPI_Ibarrier(self->node, &mpi);
    QL_TRY(keep_request(comm, &request, mpi, began, code, "MPI_Ibarrier"));
    QL_TRY(mpi_wait(comm, &request));
    (void)MPI_Win_sync(self->window);
    return QL_OK;
}

/* ---- the counter ---- */

/* Rank 0 answers whoever has asked. */
static ql_status serve_counter(mpi_comm *self)
{
    for (;;) {
        MPI_Message handle;
        MPI_Status from;
        int flag = 0;
        int64_t add = 0;
        QL_TRY(
            ql_mpi_check(MPI_Improbe(MPI_ANY_SOURCE, TAG_ADD, self->collective, &flag, &handle, &from), "MPI_Improbe"));
        if (flag == 0) return QL_OK;
        QL_TRY(ql_mpi_check(MPI_Mrecv(&add, 1, MPI_INT64_T, &handle, MPI_STATUS_IGNORE), "MPI_Mrecv"));
        (void)pthread_mutex_lock(&self->counting);
        int64_t before = self->counter;
        self->counter += add;
        (void)pthread_mutex_unlock(&self->counting);
        QL_TRY(
            ql_mpi_check(MPI_Send(&before, 1, MPI_INT64_T, from.MPI_SOURCE, TAG_BEFORE, self->collective), "MPI_Send"));
    }
}

static ql_status ask_counter(mpi_comm *self, int64_t add, int64_t *before)
{
    MPI_Request answer;
    int done = 0;
    QL_TRY(ql_mpi_check(MPI_Irecv(before, 1, MPI_INT64_T, 0, TAG_BEFORE, self->collective, &answer), "MPI_Irecv"));
    QL_TRY(ql_mpi_check(MPI_Send(&add, 1, MPI_INT64_T, 0, TAG_ADD, self->collective), "MPI_Send"));
    for (const double began = ql_clock_s(); done == 0;) {
        QL_TRY(ql_mpi_check(MPI_Test(&answer, &done, MPI_STATUS_IGNORE), "MPI_Test"));
        if (done == 0 && ql_clock_s() - began > PATIENCE_S) nap();
    }
    return QL_OK;
}

static ql_status mpi_fetch_add(ql_comm *comm, int64_t add, int64_t *before)
{
    mpi_comm *self = (mpi_comm *)comm;
    ql_status status = comm->rank == 0 ? serve_counter(self) : QL_OK;
    (void)pthread_mutex_lock(&self->counting);
    if (comm->rank == 0) {
        *before = self->counter;
        self->counter += add;
    } else {
        status = ask_counter(self, add, before);
    }
    (void)pthread_mutex_unlock(&self->counting);
    return status;
}

/* ---- messages ---- */

/* Frees the sends that are through; with `wait` all of them. */
static ql_status collect_sends(mpi_comm *self, bool wait)
{
    ql_status status = QL_OK;
    for (pending_send **at = &self->pending; *at != NULL;) {
        pending_send *send = *at;
        int done = 1;
        ql_status here = wait ? ql_mpi_check(MPI_Wait(&send->request, MPI_STATUS_IGNORE), "MPI_Wait")
                              : ql_mpi_check(MPI_Test(&send->request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        if (here != QL_OK) status = here;
        if (done != 0 || here != QL_OK) {
            *at = send->next;
            ql_free(send);
        } else {
            at = &send->next;
        }
    }
    return status;
}

static ql_status mpi_post(ql_comm *comm, const ql_message *message)
{
    mpi_comm *self = (mpi_comm *)comm;
    pending_send *send;
    QL_TRY(QL_TAKE(send, 1));
    send->message = *message;
    (void)pthread_mutex_lock(&self->mutex);
    ql_status status = ql_mpi_check(MPI_Isend(send->message.data, (int)message->bytes, MPI_BYTE, message->peer,
                                              message->tag, self->messages, &send->request),
                                    "MPI_Isend");
    if (status == QL_OK) {
        send->next = self->pending;
        self->pending = send;
        status = collect_sends(self, false);
    } else {
        ql_free(send);
    }
    (void)pthread_mutex_unlock(&self->mutex);
    return status;
}

static ql_status mpi_poll(ql_comm *comm, ql_message *message, bool *arrived)
{
    mpi_comm *self = (mpi_comm *)comm;
    MPI_Message handle;
    MPI_Status from;
    int flag = 0, bytes = 0;
    *arrived = false;
    if (comm->rank == 0) QL_TRY(serve_counter(self));
    (void)pthread_mutex_lock(&self->mutex);
    ql_status status = collect_sends(self, false);
    (void)pthread_mutex_unlock(&self->mutex);
    QL_TRY(status);
    QL_TRY(
        ql_mpi_check(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, self->messages, &flag, &handle, &from), "MPI_Improbe"));
    if (flag == 0) return QL_OK;
    QL_TRY(ql_mpi_check(MPI_Get_count(&from, MPI_BYTE, &bytes), "MPI_Get_count"));
    if (bytes < 0 || bytes > QL_MESSAGE_MAX)
        return QL_FAIL(INTERNAL, "message of %d bytes from rank %d", bytes, from.MPI_SOURCE);
    QL_TRY(ql_mpi_check(MPI_Mrecv(message->data, bytes, MPI_BYTE, &handle, MPI_STATUS_IGNORE), "MPI_Mrecv"));
    message->peer = from.MPI_SOURCE;
    message->tag = from.MPI_TAG;
    message->bytes = (size_t)bytes;
    *arrived = true;
    return QL_OK;
}

static void mpi_destroy(ql_comm *comm)
{
    mpi_comm *self = (mpi_comm *)comm;
    (void)collect_sends(self, true);
    release_node_memory(self);
    if (self->messages != MPI_COMM_NULL) (void)MPI_Comm_free(&self->messages);
    if (self->collective != MPI_COMM_NULL) (void)MPI_Comm_free(&self->collective);
    (void)pthread_mutex_destroy(&self->mutex);
    (void)pthread_mutex_destroy(&self->counting);
    ql_free(self);
}

static ql_status form(MPI_Comm parent, const int *members, int count, int tag, MPI_Comm *made)
{
    MPI_Group all = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
    ql_status status = ql_mpi_check(MPI_Comm_group(parent, &all), "MPI_Comm_group");
    if (status == QL_OK) status = ql_mpi_check(MPI_Group_incl(all, count, members, &some), "MPI_Group_incl");
    if (status == QL_OK) status = ql_mpi_check(MPI_Comm_create_group(parent, some, tag, made), "MPI_Comm_create_group");
    if (some != MPI_GROUP_NULL) (void)MPI_Group_free(&some);
    if (all != MPI_GROUP_NULL) (void)MPI_Group_free(&all);
    return status;
}

static ql_status mpi_group(ql_comm *comm, const int *members, int count, int tag, ql_comm **group)
{
    MPI_Comm made = MPI_COMM_NULL;
    *group = NULL;
    QL_TRY(form(((mpi_comm *)comm)->collective, members, count, tag, &made));
    ql_status status = ql_mpi_comm_create(group, made, comm->threads);
    (void)MPI_Comm_free(&made);
    return status;
}

static const ql_comm_class mpi_class = {
    .name = "mpi",
    .barrier = mpi_barrier,
    .broadcast = mpi_broadcast,
    .allgather = mpi_allgather,
    .sum_begin = mpi_sum_begin,
    .gather_begin = mpi_gather_begin,
    .exchange_begin = mpi_exchange_begin,
    .test = mpi_test,
    .wait = mpi_wait,
    .group = mpi_group,
    .node_memory = mpi_node_memory,
    .node_meet = mpi_node_meet,
    .fetch_add = mpi_fetch_add,
    .post = mpi_post,
    .poll = mpi_poll,
    .destroy = mpi_destroy,
};

static ql_status duplicate(MPI_Comm mpi, MPI_Comm *copy)
{
    QL_TRY(ql_mpi_check(MPI_Comm_dup(mpi, copy), "MPI_Comm_dup"));
    return ql_mpi_check(MPI_Comm_set_errhandler(*copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

static ql_status find_place(mpi_comm *self, MPI_Comm mpi)
{
    MPI_Comm node;
    QL_TRY(ql_mpi_check(MPI_Comm_rank(mpi, &self->comm.rank), "MPI_Comm_rank"));
    QL_TRY(ql_mpi_check(MPI_Comm_size(mpi, &self->comm.size), "MPI_Comm_size"));
    QL_TRY(ql_mpi_check(MPI_Comm_split_type(mpi, MPI_COMM_TYPE_SHARED, self->comm.rank, MPI_INFO_NULL, &node),
                        "MPI_Comm_split_type"));
    ql_status status = ql_mpi_check(MPI_Comm_rank(node, &self->comm.local_rank), "MPI_Comm_rank");
    if (status == QL_OK) status = ql_mpi_check(MPI_Comm_size(node, &self->comm.local_size), "MPI_Comm_size");
    (void)MPI_Comm_free(&node);
    return status;
}

MPI_Comm ql_mpi_handle(const ql_comm *comm) { return ((const mpi_comm *)comm)->collective; }

ql_status ql_mpi_comm_create(ql_comm **comm, MPI_Comm mpi, bool threads)
{
    mpi_comm *self;
    QL_TRY(QL_TAKE(self, 1));
    (void)pthread_mutex_init(&self->mutex, NULL);
    (void)pthread_mutex_init(&self->counting, NULL);
    self->comm.kind = &mpi_class;
    self->comm.threads = threads;
    self->collective = self->messages = self->node = MPI_COMM_NULL;
    self->window = MPI_WIN_NULL;
    ql_status status;
    QL_TRY_GOTO(status, find_place(self, mpi), failed);
    QL_TRY_GOTO(status, duplicate(mpi, &self->collective), failed);
    QL_TRY_GOTO(status, duplicate(mpi, &self->messages), failed);
    *comm = &self->comm;
    return QL_OK;
failed:
    mpi_destroy(&self->comm);
    return status;
}
