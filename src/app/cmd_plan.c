/* quadloom plan INPUT...: how long a collection takes here or on a cluster, before it is started. */
#include "app/commands.h"
#include "app/plan_command.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "store/rundir.h"

#include <stdlib.h>
#include <string.h>

static const char *const DETAILS =
    "Reads the meshes, predicts every training by a model of this machine's speed (measured once in some seconds and "
    "kept in\n"
    "~/.cache/quadloom; --calibrate measures again), decides how many ranks share which mesh, and predicts the end. "
    "With "
    "-o RUN_DIR\n"
    "what is finished there is left out and its measured speeds refine the model. --ranks of another machine assumes "
    "cores like\n"
    "these; --cost FILE takes the model kept on another one. --simulate runs the plan with errors of prediction; "
    "without "
    "INPUT it\n"
    "makes sizes up (--count, --median, --sigma, --seed) or reads them (--sizes: a number of faces per line).";

enum { MOST_SIZES = 10000000 };

static ql_status choose(ql_planning *p)
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

static ql_status look(ql_planning *p)
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

/* ---- the model ---- */

static ql_status refine(ql_planning *p)
{
    ql_summary *rows = NULL;
    int64_t count = 0;
    if (p->given->run_directory == NULL || p->survey.states[QL_WORK_FINISHED] == 0) return QL_OK;
    QL_TRY(ql_rundir_rows(p->given->run_directory, &rows, &count));
    ql_status status = ql_cost_refine(&p->cost, rows, count, p->engine->name, p->options.train.off_points);
    ql_free(rows);
    return status;
}

/* Ranks of this node that compute beside the one that measures; an accelerator has its own clock. */
static int neighbours(const ql_planning *p)
{
    ql_machine machine;
    ql_machine_look(&machine);
    int here = (int)(ql_machine_threads(&machine) / p->options.engine.threads);
    if (strcmp(p->engine->name, "cuda") == 0) return 0;
    return (p->ranks < here ? p->ranks : here) - 1;
}

static ql_status learn_cost(ql_planning *p)
{
    int64_t threads = p->options.engine.threads;
    if (p->given->cost_file != NULL) return ql_cost_read(&p->cost, p->given->cost_file);
    if (p->given->calibrate || !ql_cost_recall(&p->cost, &p->options, p->engine->name)) {
        QL_INFO("measuring engine %s with %lld thread%s...", p->engine->name, (long long)threads,
                threads == 1 ? "" : "s");
        QL_TRY(ql_cost_calibrate(&p->cost, &p->options, p->engine, neighbours(p)));
        ql_cost_keep(&p->cost, &p->options, p->engine->name);
    }
    return refine(p);
}

/* ---- sizes without meshes ---- */

static ql_status read_sizes(const char *path, int64_t **faces, int64_t *count)
{
    char *text = NULL, *at;
    size_t size = 0;
    int64_t line = 1;
    QL_TRY(ql_file_read_whole(path, 1u << 30, &text, &size));
    int64_t lines = 1;
    for (size_t i = 0; i < size; ++i) lines += text[i] == '\n';
    ql_status status = QL_TAKE(*faces, lines);
    *count = 0;
    for (at = text; status == QL_OK && *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n', ++line) {
        char *end;
        if (at[strspn(at, " \t\r")] == '\n' || at[strspn(at, " \t\r")] == '\0') continue;
        long long value = strtoll(at, &end, 10);
        if (end == at || value < 1 || end[strspn(end, " \t\r")] > '\r')
            status = QL_FAIL(USAGE, "%s:%lld: expected a number of faces", path, (long long)line);
        else
            (*faces)[(*count)++] = value;
    }
    ql_free(text);
    return status;
}

static ql_status make_up_sizes(const ql_plan_arguments *given, int64_t **faces, int64_t *count)
{
    *count = given->count;
    QL_TRY(QL_TAKE(*faces, *count));
    ql_plan_draw(*faces, *count, given->median, given->sigma, (uint64_t)given->seed);
    return QL_OK;
}

static ql_status plan_sizes(ql_planning *p, const ql_plan_request *request)
{
    int64_t *faces = NULL, count = 0;
    ql_cost_job *jobs = NULL;
    ql_status status = p->given->sizes_file != NULL ? read_sizes(p->given->sizes_file, &faces, &count)
                                                    : make_up_sizes(p->given, &faces, &count);
    if (status == QL_OK) status = QL_TAKE(jobs, count);
    for (int64_t i = 0; status == QL_OK && i < count; ++i) jobs[i] = ql_cost_job_of(faces[i], &p->options, 0);
    double began = ql_clock_s();
    if (status == QL_OK) status = ql_plan_jobs(&p->plan, request, jobs, count);
    p->planning_s = ql_clock_s() - began;
    ql_free(jobs);
    ql_free(faces);
    return status;
}

/* ---- the command ---- */

static ql_status make_plan(ql_planning *p)
{
    QL_TRY(choose(p));
    bool meshes = p->arguments->operand_count > 0;
    if (meshes) QL_TRY(look(p));
    QL_TRY(learn_cost(p));
    ql_plan_request request = {.cost = &p->cost,
                               .options = &p->options,
                               .groups = ql_engine_shares(p->engine, &p->options.train),
                               .most_ranks = p->engine->most_ranks,
                               .inexact = p->engine->groups && !p->engine->groups_exact,
                               .ranks = p->ranks,
                               .memory_bytes = 1e6 * (double)p->options.engine.memory_mb};
    double began = ql_clock_s();
    if (meshes) QL_TRY(ql_plan_survey(&p->plan, &request, &p->survey, &p->collection));
    p->planning_s = ql_clock_s() - began;
    if (!meshes) QL_TRY(plan_sizes(p, &request));
    if (p->given->simulate)
        QL_TRY(
            ql_allot_simulate(&p->outcome, &p->plan.allotment, p->given->noise, (uint64_t)p->given->seed, NULL, NULL));
    if (p->given->json) return ql_planning_print_json(p);
    ql_planning_print(p);
    return QL_OK;
}

static void release(ql_planning *p)
{
    ql_plan_destroy(&p->plan);
    ql_survey_destroy(&p->survey);
    ql_collection_destroy(&p->collection);
}

static ql_status check(const ql_plan_arguments *given, const ql_arguments *arguments)
{
    if (arguments->operand_count == 0 && !given->simulate)
        return QL_FAIL(USAGE, "no input named; see `quadloom plan --help`");
    if (given->ranks > 1000000) return QL_FAIL(USAGE, "--ranks: expected at most 1000000");
    if (given->count > MOST_SIZES) return QL_FAIL(USAGE, "--count: expected at most %d", (int)MOST_SIZES);
    if (!(given->median > 0) || !(given->sigma >= 0) || given->sigma > 10)
        return QL_FAIL(USAGE, "--median: expected more than 0; --sigma: expected 0 to 10");
    if (!(given->noise >= 0) || given->noise > 1) return QL_FAIL(USAGE, "--noise: expected 0 to 1");
    return QL_OK;
}

int ql_cmd_plan(int argc, char **argv)
{
    ql_plan_arguments given = {.count = 1000, .seed = 1, .median = 10000, .sigma = 1.2, .noise = 0.1};
    const ql_argument table[] = {
        QL_CONFIG_ARGUMENT_ROWS(given.config),
        {"ranks", 'n', QL_ARGUMENT_COUNT, &given.ranks, "N", "so many ranks (default: one per core here)"},
        {"output", 'o', QL_ARGUMENT_TEXT, &given.run_directory, "RUN_DIR", "run directory to be continued"},
        {"calibrate", 0, QL_ARGUMENT_SWITCH, &given.calibrate, NULL, "measure this machine again"},
        {"cost", 0, QL_ARGUMENT_TEXT, &given.cost_file, "FILE", "speed of another machine: a file of its cache"},
        {"simulate", 0, QL_ARGUMENT_SWITCH, &given.simulate, NULL, "run the plan with errors of prediction"},
        {"noise", 0, QL_ARGUMENT_REAL, &given.noise, "X", "relative deviation of a mesh's time (0.1)"},
        {"sizes", 0, QL_ARGUMENT_TEXT, &given.sizes_file, "FILE", "simulate meshes of so many faces, one per line"},
        {"count", 0, QL_ARGUMENT_COUNT, &given.count, "N", "simulate so many made-up meshes (1000)"},
        {"median", 0, QL_ARGUMENT_REAL, &given.median, "FACES", "their median (10000)"},
        {"sigma", 0, QL_ARGUMENT_REAL, &given.sigma, "X", "their spread: faces = median * exp(sigma * normal) (1.2)"},
        {"seed", 0, QL_ARGUMENT_COUNT, &given.seed, "N", "of sizes and errors (1)"},
        {"json", 0, QL_ARGUMENT_SWITCH, &given.json, NULL, "print one JSON object"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK) status = check(&given, &arguments);
    ql_planning p = {.given = &given, .arguments = &arguments};
    if (status == QL_OK) status = make_plan(&p);
    release(&p);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
