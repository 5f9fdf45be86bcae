/* A mesh on its way through a rank: read, trained, finished. And the queues between those three, bounded so that memory is.
 */
#ifndef QL_SWEEP_TASK_H
#define QL_SWEEP_TASK_H

#include "mesh/preflight.h"
#include "sweep/attempt.h"
#include "sweep/survey.h"
#include "train/train.h"

#include <pthread.h>

typedef struct ql_task {
    const ql_work *work;
    const ql_collection_item *item;
    ql_options options; /* of this mesh */
    ql_mesh mesh;
    ql_preflight preflight;
    ql_train_ready ready; /* for training, made while the mesh before trains */
    ql_train_result result;
    ql_attempt attempt;
    double read_seconds;
    int ranks; /* that trained it together */
    /* what went wrong, if anything */
    ql_status status;
    const char *stage; /* read, check, prepare, train, quads, store, process; NULL = nothing went wrong */
    char reason[2048];
    int64_t step;
} ql_task;

ql_status ql_task_create(ql_task **task, const ql_work *work, const ql_collection_item *item, const ql_options *run);
void ql_task_destroy(ql_task *task); /* NULL-safe */

/* Notes that the task failed, with the text of the error just recorded. */
void ql_task_fail(ql_task *task, ql_status status, const char *stage);

/* First in, first out. */
enum { QL_QUEUE_MAX = 64 };
typedef struct ql_queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    ql_task *tasks[QL_QUEUE_MAX];
    int count, capacity;
    bool closed;
} ql_queue;

void ql_queue_create(ql_queue *queue, int capacity);
void ql_queue_destroy(ql_queue *queue); /* with the tasks still in it */

/* Waits for room; false when the queue was closed. */
bool ql_queue_wait_room(ql_queue *queue);
void ql_queue_put(ql_queue *queue, ql_task *task); /* waits for room */
ql_task *ql_queue_take(ql_queue *queue);           /* waits for a task; NULL: closed and empty */
void ql_queue_close(ql_queue *queue);

#endif
