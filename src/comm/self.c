/* The communicator of a process on its own: collectives have nothing to do, messages to itself wait in a
 * ring. */
#include "base/memory.h"
#include "comm/comm.h"

#include <pthread.h>
#include <string.h>

typedef struct self_comm {
    ql_comm comm;
    pthread_mutex_t mutex;
    ql_message *waiting; /* first in, first out */
    int64_t count, capacity;
} self_comm;

static ql_status self_barrier(ql_comm *comm)
{
    (void)comm;
    return QL_OK;
}

static ql_status self_broadcast(ql_comm *comm, void *data, size_t bytes, int root)
{
    (void)comm, (void)data, (void)bytes, (void)root;
    return QL_OK;
}

static ql_status self_allgather(ql_comm *comm, const void *mine, void *all, size_t bytes_each)
{
    (void)comm;
    memmove(all, mine, bytes_each);
    return QL_OK;
}

static ql_status self_sum_int(ql_comm *comm, int64_t *values, int count)
{
    (void)comm, (void)values, (void)count;
    return QL_OK;
}

static ql_status self_sum_real(ql_comm *comm, double *values, int count)
{
    (void)comm, (void)values, (void)count;
    return QL_OK;
}

static ql_status append(self_comm *self, const ql_message *message)
{
    if (self->count == self->capacity) {
        int64_t larger = self->capacity == 0 ? 8 : 2 * self->capacity;
        ql_message *grown = ql_memory_resize(self->waiting, (size_t)larger, sizeof *grown);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %lld messages", (long long)larger);
        self->waiting = grown;
        self->capacity = larger;
    }
    self->waiting[self->count++] = *message;
    return QL_OK;
}

static ql_status self_post(ql_comm *comm, const ql_message *message)
{
    self_comm *self = (self_comm *)comm;
    (void)pthread_mutex_lock(&self->mutex);
    ql_status status = append(self, message);
    (void)pthread_mutex_unlock(&self->mutex);
    return status;
}

static ql_status self_poll(ql_comm *comm, ql_message *message, bool *arrived)
{
    self_comm *self = (self_comm *)comm;
    (void)pthread_mutex_lock(&self->mutex);
    *arrived = self->count > 0;
    if (*arrived) {
        *message = self->waiting[0];
        memmove(self->waiting, self->waiting + 1, (size_t)--self->count * sizeof *self->waiting);
    }
    (void)pthread_mutex_unlock(&self->mutex);
    return QL_OK;
}

static void self_destroy(ql_comm *comm)
{
    self_comm *self = (self_comm *)comm;
    (void)pthread_mutex_destroy(&self->mutex);
    ql_free(self->waiting);
    ql_free(self);
}

static const ql_comm_class self_class = {
    "self",        self_barrier, self_broadcast, self_allgather, self_sum_int,
    self_sum_real, self_post,    self_poll,      self_destroy,
};

ql_status ql_comm_self(ql_comm **comm)
{
    self_comm *self;
    QL_TRY(QL_TAKE(self, 1));
    if (pthread_mutex_init(&self->mutex, NULL) != 0) {
        ql_free(self);
        return QL_FAIL(NO_MEMORY, "no mutex for communicator self");
    }
    self->comm = (ql_comm){.kind = &self_class, .size = 1, .local_size = 1, .threads = true};
    *comm = &self->comm;
    return QL_OK;
}
