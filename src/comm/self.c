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
    int64_t counter;
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

static ql_status self_sum_begin(ql_comm *comm, void *values, int count, ql_number number, ql_request *request)
{
    (void)comm, (void)values, (void)count, (void)number;
    request->active = false;
    return QL_OK;
}

static ql_status self_gather_begin(ql_comm *comm, void *all, const ql_parts *parts, ql_number number,
                                   ql_request *request)
{
    (void)comm, (void)all, (void)parts, (void)number;
    request->active = false;
    return QL_OK;
}

static ql_status self_exchange_begin(ql_comm *comm, const void *send, const ql_parts *to, void *receive,
                                     const ql_parts *from, ql_number number, ql_request *request)
{
    (void)comm;
    const size_t size = ql_number_size(number);
    memcpy((char *)receive + (size_t)from->at[0] * size, (const char *)send + (size_t)to->at[0] * size,
           (size_t)to->count[0] * size);
    request->active = false;
    return QL_OK;
}

static ql_status self_test(ql_comm *comm, ql_request *request, bool *over)
{
    (void)comm, (void)request;
    *over = true;
    return QL_OK;
}

static ql_status self_wait(ql_comm *comm, ql_request *request)
{
    (void)comm, (void)request;
    return QL_OK;
}

static ql_status self_group(ql_comm *comm, const int *members, int count, int tag, ql_comm **group)
{
    (void)comm, (void)members, (void)count, (void)tag;
    return ql_comm_self(group);
}

static ql_status self_node_memory(ql_comm *comm, size_t bytes, void **memory)
{
    (void)comm, (void)bytes;
    *memory = NULL;
    return QL_OK;
}

static ql_status self_node_meet(ql_comm *comm)
{
    (void)comm;
    return QL_OK;
}

static ql_status self_fetch_add(ql_comm *comm, int64_t add, int64_t *before)
{
    self_comm *self = (self_comm *)comm;
    (void)pthread_mutex_lock(&self->mutex);
    *before = self->counter;
    self->counter += add;
    (void)pthread_mutex_unlock(&self->mutex);
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
    .name = "self",
    .barrier = self_barrier,
    .broadcast = self_broadcast,
    .allgather = self_allgather,
    .sum_begin = self_sum_begin,
    .gather_begin = self_gather_begin,
    .exchange_begin = self_exchange_begin,
    .test = self_test,
    .wait = self_wait,
    .group = self_group,
    .node_memory = self_node_memory,
    .node_meet = self_node_meet,
    .fetch_add = self_fetch_add,
    .post = self_post,
    .poll = self_poll,
    .destroy = self_destroy,
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
