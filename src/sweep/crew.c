/* Messages between the ranks of a run, stopping and progress (see crew.h). */
#include "sweep/crew.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "sweep/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TAG_STATE = 1, TAG_NEXT, TAG_MEMBERS, TAG_GRANT, TAG_ASK_STOP, TAG_STOP, TAG_DONE, TAG_DISMISSED };

static const double TURN_S = 0.02, TELL_S = 1, SHOW_S = 0.5, HALT_S = 1, ASLEEP_S = 5;

/* What rank 0 knows of another. */
typedef struct member {
    ql_crew_state state;
    ql_crew_end end;
    bool done;
    bool waits; /* for a mesh to share */
} member;

/* Grant as it travels; the members go ahead of it in pieces. */
typedef struct grant_message {
    int64_t position;
    int32_t number, size;
} grant_message;
enum { MEMBERS_PIECE = QL_MESSAGE_MAX / sizeof(int32_t), TAGS = 32768, RUN_AGAIN = 75 };

struct ql_crew {
    ql_comm *comm;
    ql_crew_settings settings;
    pthread_t messenger;
    bool threaded;
    pthread_mutex_t mutex; /* of everything below, except what is atomic */
    pthread_cond_t changed;
    bool quit;
    ql_crew_state own;
    bool told;              /* own has been sent */
    char ask[QL_CREW_TEXT]; /* stop to ask for, "" = none */
    bool asked;
    char reason[QL_CREW_TEXT];
    bool ordered; /* rank 0: the stop has been told to all */
    bool wants_next, asked_next, granted_next, wants_together;
    ql_crew_grant next;
    int member_count; /* of `next`, that have arrived */
    double due_s,
        within_s; /* our worker is in a group: when we must hear of it, 0: it is not; how long that was from then */
    bool forming; /* that group is not yet there */
    int group_size;
    ql_crew_end own_end;
    bool own_done, own_done_sent;
    ql_status status; /* trouble of the messenger */
    char status_text[512];
    int exit_code;
    atomic_bool stopping, dismissed;
    /* rank 0 */
    member *members;
    int done_count;
    ql_allot_queue queue;
    int waiting, number; /* ranks that wait to share a mesh; groups so far */
    int *choice;         /* members of the group that is being granted */
    double work_left;    /* of the others */
    double told_s, shown_s, logged_s, halt_s, beat_s, started_s, turned_s;
};

/* ---- messages ---- */

static ql_status post(ql_crew *crew, int peer, int tag, const void *data, size_t bytes)
{
    ql_message message = {.peer = peer, .tag = tag, .bytes = bytes};
    if (bytes > 0) memcpy(message.data, data, bytes);
    return crew->comm->kind->post(crew->comm, &message);
}

static ql_status post_all(ql_crew *crew, int tag, const void *data, size_t bytes)
{
    for (int rank = 0; rank < crew->comm->size; ++rank) QL_TRY(post(crew, rank, tag, data, bytes));
    return QL_OK;
}

static ql_status post_grant(ql_crew *crew, int rank, int64_t position, const int *members, int size)
{
    const grant_message message = {position, crew->number, size};
    for (int at = 0; size > 1 && at < size; at += MEMBERS_PIECE) {
        int32_t piece[MEMBERS_PIECE];
        const int count = size - at < MEMBERS_PIECE ? size - at : MEMBERS_PIECE;
        for (int i = 0; i < count; ++i) piece[i] = members[at + i];
        QL_TRY(post(crew, rank, TAG_MEMBERS, piece, (size_t)count * sizeof *piece));
    }
    return post(crew, rank, TAG_GRANT, &message, sizeof message);
}

/* Nothing (more) to share: whoever waits goes on by itself. */
static ql_status release_waiting(ql_crew *crew)
{
    for (int rank = 0; crew->waiting > 0 && rank < crew->comm->size; ++rank) {
        if (!crew->members[rank].waits) continue;
        crew->members[rank].waits = false;
        crew->waiting--;
        QL_TRY(post_grant(crew, rank, -1, NULL, 0));
    }
    return QL_OK;
}

/* Rank 0 was asked to stop the run; only the first time counts. */
static ql_status order_stop(ql_crew *crew, const char *reason)
{
    if (crew->ordered) return QL_OK;
    crew->ordered = true;
    QL_INFO("%s: stopping after the current step", reason);
    QL_TRY(release_waiting(crew));
    return post_all(crew, TAG_STOP, reason, strlen(reason) + 1);
}

/* ---- granting ---- */

static bool shared_left(const ql_allot_queue *queue)
{
    for (int level = 0; level < queue->levels; ++level)
        if (queue->group[level] > 1 && queue->next[level] < queue->end[level]) return true;
    return false;
}

/* Of the waiting ranks those whose numbers lie closest together, since neighbours mostly share a node. */
static void choose_members(ql_crew *crew, int size)
{
    int *waiting = crew->choice, count = 0, best = 0;
    for (int rank = 0; rank < crew->comm->size; ++rank)
        if (crew->members[rank].waits) waiting[count++] = rank;
    for (int first = 1; first + size <= count; ++first)
        if (waiting[first + size - 1] - waiting[first] < waiting[best + size - 1] - waiting[best]) best = first;
    memmove(waiting, waiting + best, (size_t)size * sizeof *waiting);
}

static ql_status grant_group(ql_crew *crew, int64_t place)
{
    const ql_allotment *allotment = crew->settings.allotment;
    const int64_t position = allotment->order[place];
    const int size = allotment->group[position];
    choose_members(crew, size);
    crew->number = (crew->number + 1) % TAGS;
    crew->work_left -= crew->settings.costs[position];
    for (int i = 0; i < size; ++i) {
        crew->members[crew->choice[i]].waits = false;
        crew->waiting--;
        QL_TRY(post_grant(crew, crew->choice[i], position, crew->choice, size));
    }
    return QL_OK;
}

/* Whatever can begin with the ranks that wait. */
static ql_status grant_waiting(ql_crew *crew)
{
    while (!crew->ordered && shared_left(&crew->queue)) {
        int64_t place = ql_allot_queue_next(&crew->queue, crew->waiting);
        if (place < 0) return QL_OK;
        QL_TRY(grant_group(crew, place));
    }
    return release_waiting(crew);
}

static ql_status grant_own(ql_crew *crew, int rank)
{
    int64_t place = crew->ordered ? -1 : ql_allot_queue_next(&crew->queue, 1);
    if (place < 0) return post_grant(crew, rank, -1, NULL, 0);
    const int64_t position = crew->settings.allotment->order[place];
    crew->work_left -= crew->settings.costs[position];
    return post_grant(crew, rank, position, NULL, 1);
}

static ql_status take_request(ql_crew *crew, const ql_message *message)
{
    int32_t together;
    memcpy(&together, message->data, sizeof together);
    if (together == 0) return grant_own(crew, message->peer);
    crew->members[message->peer].waits = true;
    crew->waiting++;
    return grant_waiting(crew);
}

static ql_status take_members(ql_crew *crew, const ql_message *message)
{
    const int count = (int)(message->bytes / sizeof(int32_t));
    int *grown = ql_memory_resize(crew->next.members, (size_t)(crew->member_count + count), sizeof *grown);
    if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for the members of a group");
    crew->next.members = grown;
    for (int i = 0; i < count; ++i) {
        int32_t rank;
        memcpy(&rank, message->data + (size_t)i * sizeof rank, sizeof rank);
        grown[crew->member_count++] = rank;
    }
    return QL_OK;
}

static void expect(ql_crew *crew, double within_s)
{
    const double limit = crew->settings.hang_limit_s;
    crew->within_s = limit > 0 && within_s > 0 ? limit : within_s;
    crew->due_s = within_s > 0 ? ql_clock_s() + crew->within_s : 0;
}

static void take_grant(ql_crew *crew, const ql_message *message)
{
    grant_message grant;
    memcpy(&grant, message->data, sizeof grant);
    crew->next.position = grant.position;
    crew->next.number = grant.number;
    crew->next.size = grant.size;
    crew->member_count = 0;
    crew->granted_next = true;
    crew->forming = true;
    crew->group_size = grant.size;
    expect(crew, grant.size > 1 ? QL_CREW_FORM_S : 0);
}

static ql_status take_message(ql_crew *crew, const ql_message *message)
{
    member *from = crew->members != NULL ? &crew->members[message->peer] : NULL;
    switch (message->tag) {
    case TAG_STATE: memcpy(&from->state, message->data, sizeof from->state); return QL_OK;
    case TAG_NEXT: return take_request(crew, message);
    case TAG_MEMBERS: return take_members(crew, message);
    case TAG_GRANT: take_grant(crew, message); return QL_OK;
    case TAG_ASK_STOP: return order_stop(crew, (const char *)message->data);
    case TAG_STOP:
        (void)snprintf(crew->reason, sizeof crew->reason, "%.*s", QL_CREW_TEXT - 1, (const char *)message->data);
        atomic_store(&crew->stopping, true);
        return QL_OK;
    case TAG_DONE:
        memcpy(&from->end, message->data, sizeof from->end);
        from->done = true;
        crew->done_count++;
        return QL_OK;
    case TAG_DISMISSED:
        memcpy(&crew->exit_code, message->data, sizeof crew->exit_code);
        atomic_store(&crew->dismissed, true);
        return QL_OK;
    default: return QL_FAIL(INTERNAL, "message with tag %d from rank %d", message->tag, message->peer);
    }
}

static ql_status take_messages(ql_crew *crew)
{
    for (;;) {
        ql_message message;
        bool arrived = false;
        QL_TRY(crew->comm->kind->poll(crew->comm, &message, &arrived));
        if (!arrived) return QL_OK;
        QL_TRY(take_message(crew, &message));
    }
}

static ql_status send_own(ql_crew *crew, double now)
{
    int signal = ql_signals_stop();
    if (signal != 0 && crew->ask[0] == '\0') (void)snprintf(crew->ask, sizeof crew->ask, "%s", ql_signals_name(signal));
    if (crew->ask[0] != '\0' && !crew->asked) {
        QL_TRY(post(crew, 0, TAG_ASK_STOP, crew->ask, strlen(crew->ask) + 1));
        crew->asked = true;
    }
    if (crew->wants_next && !crew->asked_next) {
        const int32_t together = crew->wants_together;
        QL_TRY(post(crew, 0, TAG_NEXT, &together, sizeof together));
        crew->asked_next = true;
    }
    if (!crew->told && (now - crew->told_s > TELL_S || crew->own_done)) {
        QL_TRY(post(crew, 0, TAG_STATE, &crew->own, sizeof crew->own));
        crew->told = true;
        crew->told_s = now;
    }
    if (crew->own_done && !crew->own_done_sent) {
        QL_TRY(post(crew, 0, TAG_DONE, &crew->own_end, sizeof crew->own_end));
        crew->own_done_sent = true;
    }
    return QL_OK;
}

/* ---- what rank 0 does besides ---- */

typedef struct picture {
    int64_t finished, failed, active;
    double steps_per_s, eta_s; /* eta < 0: unknown */
    const ql_crew_state *one;  /* an active one */
    const char *quads;         /* whose quads somebody makes, or NULL */
} picture;

static double pace_of(const ql_crew_state *state)
{
    return state->work_done > 0 && state->seconds > 0 ? state->work_done / state->seconds : 0;
}

/* What is left at the pace of all together; but not before the longest that a rank has in hand. */
static picture look(const ql_crew *crew)
{
    picture p = {.finished = crew->settings.finished, .failed = crew->settings.failed, .eta_s = -1};
    double pace = 0, left = crew->work_left, longest = 0;
    for (int rank = 0; rank < crew->comm->size; ++rank) {
        const ql_crew_state *state = &crew->members[rank].state;
        double own = pace_of(state);
        p.finished += state->finished;
        p.failed += state->failed;
        pace += own;
        left += state->work_left;
        if (own > 0 && state->work_left / own > longest) longest = state->work_left / own;
        if (state->quads[0] != '\0') p.quads = state->quads;
        if (state->mesh[0] == '\0') continue;
        p.active += state->active;
        p.steps_per_s += state->steps_per_s;
        p.one = state;
    }
    if (pace > 0) p.eta_s = left / pace > longest ? left / pace : longest;
    return p;
}

static void write_line(const ql_crew *crew, const picture *p, char *line, size_t size)
{
    char eta[QL_DURATION_SIZE];
    int used = snprintf(line, size, "%lld of %lld done, %lld active, %lld failed", (long long)p->finished,
                        (long long)crew->settings.meshes, (long long)p->active, (long long)p->failed);
    if (p->steps_per_s > 0 && used > 0 && (size_t)used < size)
        used += snprintf(line + used, size - (size_t)used, ", %.3g steps/s", p->steps_per_s);
    /* the time left is that of training */
    if (p->eta_s >= 0 && (p->one != NULL || p->quads == NULL) && used > 0 && (size_t)used < size)
        used += snprintf(line + used, size - (size_t)used, ", %s left", ql_clock_duration(eta, p->eta_s));
    if (p->one != NULL && used > 0 && (size_t)used < size)
        used += snprintf(line + used, size - (size_t)used, "%s %s %lld/%lld", p->active > 1 ? ", e.g." : ":",
                         p->one->mesh, (long long)p->one->step, (long long)p->one->steps);
    if (p->quads != NULL && used > 0 && (size_t)used < size)
        (void)snprintf(line + used, size - (size_t)used, ", quads of %s", p->quads);
}

static void show_progress(ql_crew *crew, double now)
{
    char line[320];
    bool terminal = isatty(STDERR_FILENO) == 1;
    if (now - (terminal ? crew->shown_s : crew->logged_s) < (terminal ? SHOW_S : crew->settings.log_interval_s)) return;
    crew->shown_s = crew->logged_s = now;
    picture p = look(crew);
    write_line(crew, &p, line, sizeof line);
    if (terminal)
        ql_log_live(line);
    else
        QL_INFO("%s", line);
}

static ql_status watch_run(ql_crew *crew, double now)
{
    char path[QL_PATH_SIZE];
    if (now - crew->halt_s > HALT_S) {
        crew->halt_s = now;
        QL_TRY(ql_path_join(path, crew->settings.run_directory, QL_HALT_FILE));
        if (ql_path_exists(path)) QL_TRY(order_stop(crew, "halt requested"));
    }
    if (crew->settings.lock != NULL && now - crew->beat_s > QL_LOCK_BEAT_S) {
        crew->beat_s = now;
        ql_status status = ql_lock_beat(crew->settings.lock);
        if (status == QL_STATUS_BUSY) QL_TRY(order_stop(crew, "another job took over this run directory"));
    }
    picture p = look(crew);
    if (crew->settings.max_failures > 0 && p.failed - crew->settings.failed >= crew->settings.max_failures)
        QL_TRY(order_stop(crew, "as many meshes failed as sweep.max_failures allows"));
    show_progress(crew, now);
    return QL_OK;
}

/* ---- the messenger ---- */

/* See QL_CREW_FORM_S. Our worker sits in MPI and cannot come back from there: there is no other way out than to end the job. When we
 * were stopped ourselves (a suspended job), so were the others. */
static void watch_group(ql_crew *crew, double now)
{
    if (crew->due_s > 0 && now - crew->turned_s > ASLEEP_S) crew->due_s += now - crew->turned_s;
    if (crew->due_s == 0 || now < crew->due_s) return;
    QL_ERROR(
        "a group of %d ranks %s %.0f s: a rank of it hangs; ending the job. Run again to go on from the checkpoints",
        crew->group_size, crew->forming ? "is not complete after" : "has not made a step for", crew->within_s);
    ql_launcher_mpi.abort(RUN_AGAIN);
}

static ql_status do_turn(ql_crew *crew)
{
    double now = ql_clock_s();
    watch_group(crew, now);
    crew->turned_s = now;
    QL_TRY(send_own(crew, now));
    QL_TRY(take_messages(crew));
    return crew->members != NULL ? watch_run(crew, now) : QL_OK;
}

/* With the mutex held. */
static void turn(ql_crew *crew)
{
    if (crew->status != QL_OK) return;
    crew->status = do_turn(crew);
    if (crew->status == QL_OK) return;
    (void)snprintf(crew->status_text, sizeof crew->status_text, "%s", ql_error_text());
    (void)snprintf(crew->reason, sizeof crew->reason, "%.*s", QL_CREW_TEXT - 1, crew->status_text);
    atomic_store(&crew->stopping, true);
}

static void wait_a_turn(ql_crew *crew)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(TURN_S * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&crew->changed, &crew->mutex, &until);
}

static void *run_messenger(void *context)
{
    ql_crew *crew = context;
    (void)pthread_mutex_lock(&crew->mutex);
    while (!crew->quit) {
        turn(crew);
        (void)pthread_cond_broadcast(&crew->changed);
        wait_a_turn(crew);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    return NULL;
}

/* Signals go to the other threads. */
static ql_status start_messenger(ql_crew *crew)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = pthread_create(&crew->messenger, NULL, run_messenger, crew);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code != 0) return QL_FAIL(ENVIRONMENT, "cannot start a thread: %s", strerror(code));
    crew->threaded = true;
    return QL_OK;
}

ql_status ql_crew_create(ql_crew **out, ql_comm *comm, const ql_crew_settings *settings)
{
    ql_crew *crew;
    _Static_assert(sizeof(ql_crew_state) <= QL_MESSAGE_MAX && sizeof(ql_crew_end) <= QL_MESSAGE_MAX, "fit a message");
    QL_TRY(QL_TAKE(crew, 1));
    crew->comm = comm;
    crew->settings = *settings;
    crew->started_s = crew->logged_s = crew->beat_s = crew->turned_s = ql_clock_s();
    crew->told = true;
    for (int64_t i = 0; settings->costs != NULL && i < settings->count; ++i) crew->work_left += settings->costs[i];
    (void)pthread_mutex_init(&crew->mutex, NULL);
    (void)pthread_cond_init(&crew->changed, NULL);
    *out = crew;
    ql_status status = comm->rank == 0 ? QL_TAKE(crew->members, comm->size) : QL_OK;
    if (status == QL_OK && comm->rank == 0) status = QL_TAKE(crew->choice, comm->size);
    if (comm->rank == 0) ql_allot_queue_begin(&crew->queue, settings->allotment);
    if (status == QL_OK && comm->threads) status = start_messenger(crew);
    if (status == QL_OK) return QL_OK;
    ql_crew_destroy(crew);
    *out = NULL;
    return status;
}

void ql_crew_destroy(ql_crew *crew)
{
    if (crew == NULL) return;
    if (crew->threaded) {
        (void)pthread_mutex_lock(&crew->mutex);
        crew->quit = true;
        (void)pthread_cond_broadcast(&crew->changed);
        (void)pthread_mutex_unlock(&crew->mutex);
        (void)pthread_join(crew->messenger, NULL);
    }
    ql_log_live(NULL);
    (void)pthread_cond_destroy(&crew->changed);
    (void)pthread_mutex_destroy(&crew->mutex);
    ql_crew_grant_clear(&crew->next);
    ql_free(crew->choice);
    ql_free(crew->members);
    ql_free(crew);
}

/* ---- for the workers ---- */

void ql_crew_tell(ql_crew *crew, const ql_crew_state *state)
{
    (void)pthread_mutex_lock(&crew->mutex);
    crew->own = *state;
    crew->told = false;
    (void)pthread_mutex_unlock(&crew->mutex);
}

bool ql_crew_should_stop(ql_crew *crew)
{
    if (!crew->threaded) {
        (void)pthread_mutex_lock(&crew->mutex);
        if (ql_clock_s() - crew->turned_s > TURN_S) turn(crew);
        (void)pthread_mutex_unlock(&crew->mutex);
    }
    return atomic_load(&crew->stopping) || ql_signals_stop() != 0;
}

const char *ql_crew_reason(const ql_crew *crew)
{
    if (atomic_load(&crew->stopping)) return crew->reason;
    return ql_signals_stop() != 0 ? ql_signals_name(ql_signals_stop()) : "";
}

bool ql_crew_has_messenger(const ql_crew *crew) { return crew->threaded; }

ql_status ql_crew_next(ql_crew *crew, bool together, ql_crew_grant *grant)
{
    (void)pthread_mutex_lock(&crew->mutex);
    crew->wants_next = true;
    crew->wants_together = together;
    crew->asked_next = crew->granted_next = false;
    (void)pthread_cond_broadcast(&crew->changed); /* the messenger need not wait out its turn */
    while (!crew->granted_next && crew->status == QL_OK) {
        if (!crew->threaded) turn(crew);
        if (!crew->granted_next) wait_a_turn(crew);
    }
    *grant = crew->granted_next ? crew->next : (ql_crew_grant){.position = -1};
    if (crew->granted_next) crew->next = (ql_crew_grant){0};
    crew->wants_next = false;
    ql_status status = crew->status;
    if (status != QL_OK) status = ql_error_set(status, __FILE__, __LINE__, "%s", crew->status_text);
    (void)pthread_mutex_unlock(&crew->mutex);
    return status;
}

void ql_crew_grant_clear(ql_crew_grant *grant)
{
    ql_free(grant->members);
    *grant = (ql_crew_grant){.position = -1};
}

void ql_crew_expect(ql_crew *crew, double within_s)
{
    (void)pthread_mutex_lock(&crew->mutex);
    crew->forming = false;
    expect(crew, within_s);
    (void)pthread_mutex_unlock(&crew->mutex);
}

void ql_crew_stop(ql_crew *crew, const char *reason)
{
    (void)pthread_mutex_lock(&crew->mutex);
    if (crew->ask[0] == '\0') (void)snprintf(crew->ask, sizeof crew->ask, "%s", reason);
    (void)pthread_mutex_unlock(&crew->mutex);
}

/* ---- the end ---- */

static void add_end(ql_crew_end *sum, const ql_crew_end *one)
{
    sum->finished += one->finished;
    sum->failed += one->failed;
    sum->left += one->left;
    sum->train_s += one->train_s;
    sum->comm_s += one->comm_s;
    sum->io_s += one->io_s;
    sum->form_s += one->form_s;
    sum->groups += one->groups;
    if (one->wall_s > sum->wall_s) sum->wall_s = one->wall_s;
    if (one->status <= sum->status) return;
    sum->status = one->status;
    (void)snprintf(sum->text, sizeof sum->text, "%s", one->text);
}

ql_status ql_crew_gather(ql_crew *crew, const ql_crew_end *mine, ql_crew_end *all)
{
    *all = (ql_crew_end){0};
    (void)pthread_mutex_lock(&crew->mutex);
    crew->own_end = *mine;
    crew->own_done = true;
    for (;;) {
        bool over = crew->members != NULL ? crew->done_count == crew->comm->size : atomic_load(&crew->dismissed);
        if (over || crew->status != QL_OK) break;
        if (!crew->threaded) turn(crew);
        wait_a_turn(crew);
    }
    for (int rank = 0; crew->members != NULL && rank < crew->comm->size; ++rank) add_end(all, &crew->members[rank].end);
    if (crew->members != NULL) all->left += ql_allot_queue_left(&crew->queue);
    ql_status status = crew->status;
    if (status != QL_OK) status = ql_error_set(status, __FILE__, __LINE__, "%s", crew->status_text);
    (void)pthread_mutex_unlock(&crew->mutex);
    return status;
}

ql_status ql_crew_dismiss(ql_crew *crew, int exit_code)
{
    (void)pthread_mutex_lock(&crew->mutex);
    ql_status status = post_all(crew, TAG_DISMISSED, &exit_code, sizeof exit_code);
    while (status == QL_OK && crew->status == QL_OK && !atomic_load(&crew->dismissed)) {
        if (!crew->threaded) turn(crew);
        wait_a_turn(crew);
    }
    (void)pthread_mutex_unlock(&crew->mutex);
    return status;
}

int ql_crew_exit_code(const ql_crew *crew) { return crew->exit_code; }
