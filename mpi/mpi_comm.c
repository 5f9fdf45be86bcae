/* Communicator over MPI. Errors come back as status with MPI's text instead of ending the job.
 *
 * Messages (post, poll) have a communicator of their own. A post is a copy and an MPI_Isend; finished sends
 * are collected at every post and poll. No one-sided communication: between nodes it waits until the target
 * enters MPI. */
#include "mpi_comm.h"

#include "base/memory.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

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

static ql_status mpi_barrier(ql_comm *comm)
{
    return ql_mpi_check(MPI_Barrier(((mpi_comm *)comm)->collective), "MPI_Barrier");
}

static ql_status mpi_broadcast(ql_comm *comm, void *data, size_t bytes, int root)
{
    QL_TRY(check_size(bytes));
    return ql_mpi_check(MPI_Bcast(data, (int)bytes, MPI_BYTE, root, ((mpi_comm *)comm)->collective), "MPI_Bcast");
}

static ql_status mpi_allgather(ql_comm *comm, const void *mine, void *all, size_t bytes_each)
{
    QL_TRY(check_size(bytes_each));
    return ql_mpi_check(
        MPI_Allgather(mine, (int)bytes_each, MPI_BYTE, all, (int)bytes_each, MPI_BYTE, ((mpi_comm *)comm)->collective),
        "MPI_Allgather");
}

static ql_status mpi_sum_int(ql_comm *comm, int64_t *values, int count)
{
    return ql_mpi_check(
        MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_SUM, ((mpi_comm *)comm)->collective),
        "MPI_Allreduce");
}

static ql_status mpi_sum_real(ql_comm *comm, double *values, int count)
{
    return ql_mpi_check(MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM, ((mpi_comm *)comm)->collective),
                        "MPI_Allreduce");
}

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
    if (self->messages != MPI_COMM_NULL) (void)MPI_Comm_free(&self->messages);
    if (self->collective != MPI_COMM_NULL) (void)MPI_Comm_free(&self->collective);
    (void)pthread_mutex_destroy(&self->mutex);
    ql_free(self);
}

static const ql_comm_class mpi_class = {
    "mpi", mpi_barrier, mpi_broadcast, mpi_allgather, mpi_sum_int, mpi_sum_real, mpi_post, mpi_poll, mpi_destroy,
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

ql_status ql_mpi_comm_create(ql_comm **comm, MPI_Comm mpi, bool threads)
{
    mpi_comm *self;
    QL_TRY(QL_TAKE(self, 1));
    if (pthread_mutex_init(&self->mutex, NULL) != 0) {
        ql_free(self);
        return QL_FAIL(NO_MEMORY, "no mutex for communicator mpi");
    }
    self->comm.kind = &mpi_class;
    self->comm.threads = threads;
    self->collective = self->messages = MPI_COMM_NULL;
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
