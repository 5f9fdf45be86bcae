/* Training of one mesh (see train.h): prepare, step, watch, evaluate. */
#include "train/train.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "model/initial.h"
#include "model/layout.h"
#include "train/field_result.h"

#include <math.h>
#include <string.h>

/* A total loss that many times the first one is an explosion, not a bump. */
static const double EXPLOSION = 1000.0;

/* How far an engine may run ahead of what is asked and looked at between steps (wishes, loss terms). */
static const double AHEAD_S = 0.05;

typedef struct training {
    const ql_train_job *job;
    const ql_train_callbacks *callbacks;
    ql_train_ready ready;
    ql_engine *engine;
    ql_history history;
    uint64_t options_hash;
    int64_t step, last_step; /* steps taken; where to stop */
    double seconds_before;   /* spent by earlier attempts */
    double start_s, recent_s_per_step, first_total;
    int64_t engine_bytes, engine_predicted;
} training;

/* ---- group ---- */

/* What a rank wishes to happen after a step; the largest wish in the group is done. */
enum { GO_ON, CHECKPOINT, STOP };

static bool shared(const training *t) { return t->job->group != NULL && t->job->group->size > 1; }

/* The worst status in the group becomes that of all. */
static ql_status agree(const training *t, ql_status mine)
{
    return shared(t) ? ql_comm_agree(t->job->group, mine) : mine;
}

static int wish(const training *t)
{
    const ql_train_callbacks *callbacks = t->callbacks;
    if (callbacks->should_stop != NULL && callbacks->should_stop(callbacks->context)) return STOP;
    if (callbacks->should_checkpoint != NULL && callbacks->should_checkpoint(callbacks->context)) return CHECKPOINT;
    return GO_ON;
}

/* ---- options ---- */

static bool decides_result(const char *name)
{
    static const char *const idle[] = {"train.preset", "train.stop_after", "train.checkpoint_every_s",
                                       "train.history_every"};
    for (size_t k = 0; k < sizeof idle / sizeof *idle; ++k)
        if (strcmp(name, idle[k]) == 0) return false;
    return strncmp(name, "train.", 6) == 0 || strcmp(name, "engine.precision") == 0 ||
           strcmp(name, "quads.feature_angle_deg") == 0;
}

uint64_t ql_train_options_hash(const ql_options *options, const char *engine_name)
{
    uint64_t hash = ql_hash_bytes(engine_name, strlen(engine_name), 0);
    for (int k = 0; k < ql_option_count(); ++k) {
        const char *name = ql_option_at(k)->name;
        if (!decides_result(name)) continue;
        char value[256];
        (void)ql_options_get(options, k, value, sizeof value);
        hash = ql_hash_bytes(name, strlen(name), hash);
        hash = ql_hash_bytes(value, strlen(value), hash);
    }
    return hash;
}

/* ---- preparation ---- */

static ql_status check_memory(training *t, const ql_engine_setup *setup)
{
    QL_TRY(t->job->engine->memory(setup, &t->engine_predicted));
    int64_t budget = t->job->options->engine.memory_mb * 1000000;
    if (budget > 0 && t->engine_predicted > budget)
        return QL_FAIL(
            NO_MEMORY,
            "%d faces need %.0f MB for training, the budget is %lld MB; raise engine.memory_mb or use a mesh "
            "with fewer faces",
            (int)t->ready.tables.face_count, (double)t->engine_predicted / 1e6,
            (long long)t->job->options->engine.memory_mb);
    return QL_OK;
}

static ql_status create_engine(training *t)
{
    const ql_engine_setup setup = ql_train_setup(&t->ready, t->job);
    QL_TRY(agree(t, check_memory(t, &setup)));
    int64_t before = ql_memory_balance().bytes;
    QL_TRY(ql_engine_create(&t->engine, t->job->engine, &setup));
    t->engine_bytes = ql_memory_balance().bytes - before;
    return QL_OK;
}

static ql_status start_fresh(training *t)
{
    bool zeroed;
    float *parameters = ql_memory_take_uncleared(QL_PARAMETER_COUNT, sizeof *parameters, &zeroed), *zeros = NULL;
    ql_status status =
        parameters != NULL ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for %d parameters", (int)QL_PARAMETER_COUNT);
    if (status == QL_OK) status = QL_TAKE(zeros, QL_PARAMETER_COUNT);
    if (status == QL_OK) {
        ql_initial_parameters(ql_key_make(t->job->options->train.seed, t->job->mesh->hash), parameters);
        ql_engine_state state = {QL_FLOAT32, parameters, zeros, zeros};
        status = t->job->engine->set_state(t->engine, &state);
    }
    ql_memory_keep(parameters);
    ql_free(zeros);
    return status;
}

static ql_status start_from(training *t, const ql_snapshot *resume)
{
    if (resume->mesh_hash != t->job->mesh->hash) return QL_FAIL(CONFIG, "the checkpoint belongs to another mesh");
    if (resume->options_hash != t->options_hash)
        return QL_FAIL(CONFIG, "the checkpoint was made with other training options or another engine; "
                               "use the same ones, or remove the checkpoint to start again");
    QL_TRY(t->job->engine->set_state(t->engine, &resume->state));
    QL_TRY(ql_history_copy(&t->history, &resume->history));
    t->step = resume->step;
    t->seconds_before = resume->seconds;
    if (t->history.rows > 0) t->first_total = t->history.values[1];
    return QL_OK;
}

static ql_status take_ready(training *t)
{
    if (t->job->ready == NULL || t->job->ready->engine == NULL) return ql_train_ready_make(&t->ready, t->job);
    t->ready = *t->job->ready;
    *t->job->ready = (ql_train_ready){0};
    return QL_OK;
}

/* In a group no step may fail on one rank alone. */
static int64_t rows_to_come(const training *t)
{
    const int64_t steps = t->last_step - t->step, every = t->job->options->train.history_every;
    return steps / (every > 0 ? every : 1) + 3;
}

static ql_status prepare(training *t, const ql_snapshot *resume)
{
    const ql_train_options *train = &t->job->options->train;
    t->options_hash = ql_train_options_hash(t->job->options, t->job->engine->name);
    t->last_step = train->stop_after > 0 && train->stop_after < train->steps ? train->stop_after : train->steps;
    QL_TRY(agree(t, take_ready(t)));
    QL_TRY(create_engine(t));
    ql_status status = resume != NULL ? start_from(t, resume) : start_fresh(t);
    if (status == QL_OK && shared(t)) status = ql_history_reserve(&t->history, rows_to_come(t));
    return agree(t, status);
}

/* ---- steps ---- */

static double seconds_now(const training *t) { return t->seconds_before + ql_clock_s() - t->start_s; }

/* The term to blame: the first that is not finite, else the largest contribution. */
static ql_status check_terms(training *t, const ql_loss_weights *weights, const double terms[QL_LOSS_COUNT])
{
    int worst = QL_LOSS_SDF;
    for (int term = QL_LOSS_SDF; term < QL_LOSS_COUNT; ++term) {
        if (!isfinite(terms[term]))
            return QL_FAIL(NUMERIC,
                           "step %lld: loss term %s is not a finite number; try a smaller train.learning_rate or "
                           "another train.seed",
                           (long long)t->step, ql_loss_name((ql_loss_term)term));
        if (weights->weight[term] * terms[term] > weights->weight[worst] * terms[worst]) worst = term;
    }
    if (t->first_total == 0) t->first_total = terms[QL_LOSS_TOTAL];
    if (terms[QL_LOSS_TOTAL] > EXPLOSION * t->first_total)
        return QL_FAIL(NUMERIC,
                       "step %lld: the loss exploded to %.3g (it began at %.3g), mostly by its term %s; try a smaller "
                       "train.learning_rate or another train.seed",
                       (long long)t->step, terms[QL_LOSS_TOTAL], t->first_total, ql_loss_name((ql_loss_term)worst));
    return QL_OK;
}

static ql_status record(training *t, const ql_loss_weights *weights, const double terms[QL_LOSS_COUNT], double norm)
{
    int64_t every = t->job->options->train.history_every;
    if (every > 0 && t->step % every != 0 && t->step + 1 != t->last_step && t->step != 0) return QL_OK;
    double row[QL_HISTORY_COLUMNS] = {(double)t->step};
    for (int term = 0; term < QL_LOSS_COUNT; ++term) row[1 + term] = terms[term];
    row[8] = weights->weight[QL_LOSS_NORMAL];
    row[9] = norm;
    row[10] = seconds_now(t);
    return ql_history_append(&t->history, row);
}

static void report_progress(const training *t, const double terms[QL_LOSS_COUNT])
{
    if (t->callbacks->progress == NULL) return;
    ql_train_progress progress = {t->step, t->last_step, seconds_now(t), t->recent_s_per_step, terms};
    t->callbacks->progress(t->callbacks->context, &progress);
}

/* Steps until somebody must look: one where the engine waits for us anyhow. The ranks of a group must find the same number, so they
 * take the slowest one's pace, as they heard of it when they looked last. */
static int steps_ahead(const training *t)
{
    const double pace_s = shared(t) ? t->engine->pace_s : t->recent_s_per_step;
    if (t->job->engine->advance == NULL || !(pace_s > 0)) return 1;
    const double fit = AHEAD_S / pace_s, left = (double)(t->last_step - t->step);
    const double most = fmin(QL_ENGINE_AHEAD, left);
    return fit < 1 ? 1 : (int)fmin(fit, most);
}

/* A step that was taken: looked at and written down. */
static ql_status settle_step(training *t, const ql_loss_weights *weights, const double terms[QL_LOSS_COUNT],
                             double norm, double took_s)
{
    QL_TRY(check_terms(t, weights, terms));
    if (!isfinite(norm))
        return QL_FAIL(NUMERIC,
                       "step %lld: the gradient is not finite; try a smaller train.learning_rate or another train.seed",
                       (long long)t->step);
    QL_TRY(record(t, weights, terms, norm));
    t->recent_s_per_step = t->recent_s_per_step > 0 ? 0.9 * t->recent_s_per_step + 0.1 * took_s : took_s;
    t->step++;
    report_progress(t, terms);
    return QL_OK;
}

/* As many as the engine may take without us; leaves the terms of the last one. */
static ql_status take_steps(training *t, double terms[QL_LOSS_COUNT])
{
    ql_loss_weights weights[QL_ENGINE_AHEAD];
    double all[QL_ENGINE_AHEAD][QL_LOSS_COUNT], norms[QL_ENGINE_AHEAD];
    const int count = steps_ahead(t);
    if (shared(t)) {
        t->engine->vote = wish(t);
        t->engine->pace_s = t->recent_s_per_step;
    }
    for (int k = 0; k < count; ++k) weights[k] = ql_loss_weights_at(&t->job->options->train, t->step + k);
    const double began = ql_clock_s();
    QL_TRY(ql_engine_steps(t->engine, t->step, count, weights, all, norms));
    const double took_s = (ql_clock_s() - began) / count;
    for (int k = 0; k < count; ++k) QL_TRY(settle_step(t, &weights[k], all[k], norms[k], took_s));
    memcpy(terms, all[count - 1], sizeof all[0]);
    return QL_OK;
}

static ql_status write_checkpoint(training *t)
{
    if (t->callbacks->checkpoint == NULL || (shared(t) && t->job->group->rank != 0)) return QL_OK;
    ql_snapshot snapshot = {.step = t->step,
                            .seconds = seconds_now(t),
                            .mesh_hash = t->job->mesh->hash,
                            .options_hash = t->options_hash,
                            .history = t->history};
    QL_TRY(t->job->engine->state(t->engine, &snapshot.state));
    return t->callbacks->checkpoint(t->callbacks->context, &snapshot);
}

/* After steps: what was wished for now, or in a group when they began. */
static ql_status heed(training *t)
{
    const int what = shared(t) ? t->engine->vote : wish(t);
    if (what == GO_ON) return QL_OK;
    QL_TRY(agree(t, write_checkpoint(t)));
    if (what == CHECKPOINT) return QL_OK;
    return QL_FAIL(STOPPED, "stopped after step %lld of %lld", (long long)t->step, (long long)t->last_step);
}

static ql_status run_steps(training *t, double terms[QL_LOSS_COUNT])
{
    while (t->step < t->last_step) {
        QL_TRY(take_steps(t, terms));
        if (t->step < t->last_step) QL_TRY(heed(t));
    }
    return QL_OK;
}

/* ---- the whole ---- */

static void release(training *t)
{
    if (t->engine != NULL) t->job->engine->destroy(t->engine);
    ql_train_ready_destroy(&t->ready);
    ql_history_destroy(&t->history);
}

static ql_status finish(training *t, ql_train_result *result, const double terms[QL_LOSS_COUNT])
{
    ql_field_source source = {t->job->mesh, &t->ready.topology, &t->ready.tables, t->engine, t->job->group};
    QL_TRY(agree(t, ql_train_result_evaluate(result, &source)));
    result->history = t->history;
    t->history = (ql_history){0};
    result->steps = t->step;
    memcpy(result->final_terms, terms, sizeof result->final_terms);
    result->train_seconds = seconds_now(t);
    result->seconds_per_step = t->recent_s_per_step;
    result->memory_bytes = t->engine_bytes;
    result->memory_predicted = t->engine_predicted;
    (void)snprintf(result->engine, sizeof result->engine, "%s", t->job->engine->name);
    if (t->job->engine->device != NULL) t->job->engine->device(t->engine, &result->device);
    if (result->device.bytes > 0) result->memory_bytes = result->device.bytes;
    return QL_OK;
}

ql_status ql_train_mesh(ql_train_result *result, const ql_train_job *job, const ql_snapshot *resume,
                        const ql_train_callbacks *callbacks)
{
    static const ql_train_callbacks none = {0};
    training t = {.job = job, .callbacks = callbacks != NULL ? callbacks : &none};
    double terms[QL_LOSS_COUNT] = {0}, began = ql_clock_s(), began_cpu = ql_clock_cpu_s();
    *result = (ql_train_result){0};
    ql_status status = prepare(&t, resume);
    t.start_s = ql_clock_s();
    result->prepare_seconds = t.start_s - began;
    if (status == QL_OK) status = run_steps(&t, terms);
    if (status == QL_OK) status = finish(&t, result, terms);
    result->cpu_seconds = ql_clock_cpu_s() - began_cpu;
    release(&t);
    if (status != QL_OK) ql_train_result_destroy(result);
    return status;
}
