/* Tasks and the queues between the stages of a rank (see task.h). */
#include "sweep/task.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

ql_status ql_task_create(ql_task **out, const ql_work *work, const ql_collection_item *item, const ql_options *run)
{
    ql_task *task;
    QL_TRY(QL_TAKE(task, 1));
    task->work = work;
    task->item = item;
    task->preflight.first_bad_face = -1;
    ql_status status = ql_collection_item_options(item, run, &task->options);
    if (status == QL_OK)
        *out = task;
    else
        ql_free(task);
    return status;
}

void ql_task_destroy(ql_task *task)
{
    if (task == NULL) return;
    ql_train_ready_destroy(&task->ready);
    ql_mesh_destroy(&task->mesh);
    ql_train_result_destroy(&task->result);
    ql_free(task);
}

void ql_task_fail(ql_task *task, ql_status status, const char *stage)
{
    task->status = status;
    task->stage = stage;
    (void)snprintf(task->reason, sizeof task->reason, "%s", ql_error_text());
}

void ql_queue_create(ql_queue *queue, int capacity)
{
    assert(capacity >= 1 && capacity <= QL_QUEUE_MAX);
    *queue = (ql_queue){.capacity = capacity};
    (void)pthread_mutex_init(&queue->mutex, NULL);
    (void)pthread_cond_init(&queue->changed, NULL);
}

void ql_queue_destroy(ql_queue *queue)
{
    for (int i = 0; i < queue->count; ++i) ql_task_destroy(queue->tasks[i]);
    (void)pthread_cond_destroy(&queue->changed);
    (void)pthread_mutex_destroy(&queue->mutex);
}

bool ql_queue_wait_room(ql_queue *queue)
{
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == queue->capacity && !queue->closed) (void)pthread_cond_wait(&queue->changed, &queue->mutex);
    bool open = !queue->closed;
    (void)pthread_mutex_unlock(&queue->mutex);
    return open;
}

void ql_queue_put(ql_queue *queue, ql_task *task)
{
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == queue->capacity && !queue->closed) (void)pthread_cond_wait(&queue->changed, &queue->mutex);
    if (queue->count < queue->capacity)
        queue->tasks[queue->count++] = task;
    else
        ql_task_destroy(task); /* closed and full: nobody will take it */
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->mutex);
}

ql_task *ql_queue_take(ql_queue *queue)
{
    ql_task *task = NULL;
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && !queue->closed) (void)pthread_cond_wait(&queue->changed, &queue->mutex);
    if (queue->count > 0) {
        task = queue->tasks[0];
        memmove(queue->tasks, queue->tasks + 1, (size_t)--queue->count * sizeof(ql_task *));
    }
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->mutex);
    return task;
}

void ql_queue_close(ql_queue *queue)
{
    (void)pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->mutex);
}
