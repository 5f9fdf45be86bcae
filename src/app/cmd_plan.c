/* quadloom plan INPUT...: how long a collection takes here or on a cluster, before it is started. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "store/rundir.h"
#include "sweep/cost.h"
#include "sweep/plan.h"
#include "sweep/survey.h"

#include <math.h>
#include <string.h>

static const char *const DETAILS =
    "Reads the meshes, predicts every training by a model of this machine's speed (measured once in some seconds and "
    "kept in\n"
    "~/.cache/quadloom; --calibrate measures again) and simulates the run's scheduling. With -o RUN_DIR what is "
    "finished there\n"
    "is left out and its measured speeds refine the model. --ranks of another machine assumes cores like these.";

enum { MESHES_SHOWN = 30 };

typedef struct plan_arguments {
    ql_config_arguments config;
    const char *run_directory;
    int64_t ranks;
    bool calibrate, json;
} plan_arguments;

typedef struct planning {
    const plan_arguments *given;
    const ql_arguments *arguments;
    ql_options options;
    const ql_engine_class *engine;
    ql_collection collection;
    ql_survey survey;
    ql_cost cost;
    int64_t *order, count;
    double *seconds, *start_s;
    int32_t *rank_of;
    int ranks;
    ql_plan plan;
} planning;

static ql_status choose(planning *p)
{
    ql_machine machine;
    ql_machine_look(&machine);
    int threads = ql_machine_threads(&machine);
    QL_TRY(ql_config_resolve(&p->given->config, &p->options));
    QL_TRY(ql_engine_find(p->options.engine.name, &p->engine));
    QL_TRY(p->engine->available());
    p->ranks = p->given->ranks > 0 ? (int)p->given->ranks : threads;
    if (p->options.engine.threads == 0) p->options.engine.threads = p->ranks < threads ? threads / p->ranks : 1;
    return QL_OK;
}

static ql_status look(planning *p)
{
    ql_comm *self;
    for (int i = 0; i < p->arguments->operand_count; ++i)
        QL_TRY(ql_collection_add(&p->collection, p->arguments->operands[i]));
    QL_TRY(ql_comm_self(&self));
    const char *run = p->given->run_directory != NULL ? p->given->run_directory : "";
    ql_status status = ql_survey_make(&p->survey, &p->collection, self, run, &p->options, false);
    ql_comm_destroy(self);
    return status;
}

/* Speeds of the meshes that the run directory holds already, when the same engine made them. */
static ql_status refine(planning *p)
{
    ql_summary *rows = NULL;
    double *faces = NULL, *seconds = NULL;
    int64_t count = 0, used = 0;
    if (p->given->run_directory == NULL || p->survey.states[QL_WORK_FINISHED] == 0) return QL_OK;
    ql_status status = ql_rundir_rows(p->given->run_directory, &rows, &count);
    if (status == QL_OK) status = QL_TAKE(faces, count);
    if (status == QL_OK) status = QL_TAKE(seconds, count);
    for (int64_t i = 0; status == QL_OK && i < count; ++i) {
        if (!isfinite(rows[i].s_per_step) || rows[i].s_per_step <= 0 || strcmp(rows[i].engine, p->engine->name) != 0)
            continue;
        faces[used] = (double)rows[i].faces;
        seconds[used++] = rows[i].s_per_step;
    }
    if (status == QL_OK) ql_cost_refine(&p->cost, faces, seconds, used, p->options.train.off_points);
    ql_free(rows);
    ql_free(faces);
    ql_free(seconds);
    return status;
}

static ql_status learn_cost(planning *p)
{
    int64_t threads = p->options.engine.threads;
    if (p->given->calibrate || !ql_cost_recall(&p->cost, p->engine->name, threads)) {
        QL_INFO("measuring engine %s with %lld thread%s...", p->engine->name, (long long)threads,
                threads == 1 ? "" : "s");
        QL_TRY(ql_cost_calibrate(&p->cost, &p->options, p->engine));
        ql_cost_keep(&p->cost, p->engine->name, threads);
    }
    return refine(p);
}

static ql_status simulate(planning *p)
{
    QL_TRY(ql_survey_deal(&p->survey, 0, 1, &p->order, &p->count));
    QL_TRY(QL_TAKE(p->seconds, p->count));
    QL_TRY(QL_TAKE(p->start_s, p->count));
    QL_TRY(QL_TAKE(p->rank_of, p->count));
    for (int64_t i = 0; i < p->count; ++i) {
        const ql_work *work = &p->survey.work[p->order[i]];
        ql_options own;
        QL_TRY(ql_collection_item_options(&p->collection.items[work->item], &p->options, &own));
        p->seconds[i] = work->faces > 0 ? ql_cost_mesh(&p->cost, work->faces, &own.train, work->step) : 0;
    }
    return ql_plan_simulate(&p->plan, p->seconds, p->count, p->ranks, 0, 1, p->rank_of, p->start_s);
}

static double largest_memory(const planning *p)
{
    double most = 0;
    for (int64_t i = 0; i < p->count; ++i)
        most = fmax(most, ql_cost_memory(&p->cost, p->survey.work[p->order[i]].faces));
    return most;
}

/* A time limit of 25 % above the prediction, in whole minutes. */
static void print_sbatch(const planning *p)
{
    long minutes = (long)(1.25 * p->plan.makespan_s / 60) + 5;
    long memory_mb = (long)(1.3 * largest_memory(p) / 1e6) + 500;
    (void)printf(
        "sbatch --ntasks=%d --cpus-per-task=%lld --mem-per-cpu=%ldM --time=%ld:%02ld:00 --signal=USR1@120 --wrap 'srun "
        "--mpi=pmix quadloom run",
        p->ranks, (long long)p->options.engine.threads, memory_mb / (long)p->options.engine.threads + 1, minutes / 60,
        minutes % 60);
    for (int i = 0; i < p->arguments->operand_count; ++i) (void)printf(" %s", p->arguments->operands[i]);
    (void)printf(" -o %s'\n", p->given->run_directory != NULL ? p->given->run_directory : "RUN_DIR");
}

static void print_text(const planning *p)
{
    char a[QL_DURATION_SIZE], b[QL_DURATION_SIZE];
    (void)printf("%10s %12s %6s %10s  mesh\n", "faces", "time", "rank", "start");
    for (int64_t i = 0; i < p->count && i < MESHES_SHOWN; ++i) {
        const ql_work *work = &p->survey.work[p->order[i]];
        (void)printf("%10d %12s %6d %10s  %s\n", (int)work->faces, ql_clock_duration(a, p->seconds[i]),
                     (int)p->rank_of[i], ql_clock_duration(b, p->start_s[i]), p->collection.items[work->item].path);
    }
    if (p->count > MESHES_SHOWN) (void)printf("and %lld more\n", (long long)(p->count - MESHES_SHOWN));
    (void)printf("\n%lld meshes to do, %lld finished; %d ranks with %lld threads, engine %s\n", (long long)p->count,
                 (long long)p->survey.states[QL_WORK_FINISHED], p->ranks, (long long)p->options.engine.threads,
                 p->engine->name);
    (void)printf("Predicted time   %s (no schedule beats %s); %.0f %% of the ranks' time is work\n",
                 ql_clock_duration(a, p->plan.makespan_s), ql_clock_duration(b, p->plan.lower_bound_s),
                 100 * p->plan.efficiency);
    (void)printf("Memory per rank  up to %.0f MB\n", largest_memory(p) / 1e6);
    (void)printf("Speed            %.3g s + %.3g s per TFLOP and step (from %lld meshes)\n", p->cost.fixed_s,
                 p->cost.s_per_flop * 1e12, (long long)p->cost.samples);
    print_sbatch(p);
}

static ql_status print_json(const planning *p)
{
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_json_int(&json, "meshes", p->count);
    ql_json_int(&json, "finished", p->survey.states[QL_WORK_FINISHED]);
    ql_json_int(&json, "ranks", p->ranks);
    ql_json_int(&json, "threads", p->options.engine.threads);
    ql_json_string(&json, "engine", p->engine->name);
    ql_json_real(&json, "makespan_s", p->plan.makespan_s);
    ql_json_real(&json, "lower_bound_s", p->plan.lower_bound_s);
    ql_json_real(&json, "total_s", p->plan.total_s);
    ql_json_real(&json, "longest_s", p->plan.longest_s);
    ql_json_real(&json, "efficiency", p->plan.efficiency);
    ql_json_real(&json, "memory_mb", largest_memory(p) / 1e6);
    ql_json_real(&json, "fixed_s", p->cost.fixed_s);
    ql_json_real(&json, "s_per_tflop", p->cost.s_per_flop * 1e12);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

static ql_status make_plan(planning *p)
{
    QL_TRY(choose(p));
    QL_TRY(look(p));
    QL_TRY(learn_cost(p));
    QL_TRY(simulate(p));
    if (p->given->json) return print_json(p);
    print_text(p);
    return QL_OK;
}

static void release(planning *p)
{
    ql_survey_destroy(&p->survey);
    ql_collection_destroy(&p->collection);
    ql_free(p->order);
    ql_free(p->seconds);
    ql_free(p->start_s);
    ql_free(p->rank_of);
}

int ql_cmd_plan(int argc, char **argv)
{
    plan_arguments given = {0};
    const ql_argument table[] = {
        QL_CONFIG_ARGUMENT_ROWS(given.config),
        {"ranks", 'n', QL_ARGUMENT_COUNT, &given.ranks, "N", "so many ranks (default: one per core here)"},
        {"output", 'o', QL_ARGUMENT_TEXT, &given.run_directory, "RUN_DIR", "run directory to be continued"},
        {"calibrate", 0, QL_ARGUMENT_SWITCH, &given.calibrate, NULL, "measure this machine again"},
        {"json", 0, QL_ARGUMENT_SWITCH, &given.json, NULL, "print one JSON object"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count == 0)
        status = QL_FAIL(USAGE, "no input named; see `quadloom plan --help`");
    if (status == QL_OK && given.ranks > 1000000) status = QL_FAIL(USAGE, "--ranks: expected at most 1000000");
    planning p = {.given = &given, .arguments = &arguments};
    if (status == QL_OK) status = make_plan(&p);
    release(&p);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
