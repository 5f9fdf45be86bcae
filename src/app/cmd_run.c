/* quadloom run INPUT... -o RUN_DIR: train every mesh of a collection, on one process or many. */
#include "app/arguments.h"
#include "app/commands.h"
#include "app/kernels.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/comm.h"
#include "sweep/sweep.h"

#include <stdlib.h>
#include <string.h>

static const char *const DETAILS =
    "INPUT is a mesh, a folder (with all below), @LIST (a text file with one input per line) or a collection file\n"
    "NAME.yaml. Several processes: put `mpirun -n N` or `srun --mpi=pmix` in front, nothing else changes. The same "
    "command\n"
    "again continues: finished meshes are skipped, interrupted ones go on from their checkpoint.\n"
    "SIGTERM, SIGINT, SIGUSR1, SIGUSR2 and `quadloom halt RUN_DIR` end a run after the current step with checkpoints.\n"
    "Exit code 0 all done, 1 some meshes failed (recorded), 2 wrong command line or option, 3 environment, 75 stopped\n"
    "early: submit again.";

typedef struct run_arguments {
    ql_config_arguments config;
    const char *output, *shard, *time_limit, *max_failures;
    bool dry_run, retry;
} run_arguments;

static ql_status read_shard(const char *text, ql_shard *shard)
{
    *shard = (ql_shard){1, 1};
    if (text == NULL) return QL_OK;
    char index[32];
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : sizeof index;
    if (length < sizeof index) {
        (void)snprintf(index, sizeof index, "%.*s", (int)length, text);
        if (ql_text_to_int(index, &shard->index) && ql_text_to_int(slash + 1, &shard->count) && shard->index >= 1 &&
            shard->index <= shard->count)
            return QL_OK;
    }
    return QL_FAIL(USAGE, "--shard %.60s: expected I/N with 1 <= I <= N, e.g. --shard 2/8", text);
}

static ql_status make_request(ql_sweep_request *request, const run_arguments *given, const ql_arguments *arguments)
{
    if (arguments->operand_count == 0) return QL_FAIL(USAGE, "no input named; see `quadloom run --help`");
    if (given->output == NULL) return QL_FAIL(USAGE, "no run directory; say where results go: -o RUN_DIR");
    request->inputs = (const char *const *)arguments->operands;
    request->input_count = arguments->operand_count;
    request->run_directory = given->output;
    request->dry_run = given->dry_run;
    request->retry = given->retry;
    QL_TRY(read_shard(given->shard, &request->shard));
    QL_TRY(ql_config_resolve(&given->config, &request->options));
    const struct {
        const char *name, *value, *where;
    } shorts[] = {{"sweep.time_limit_s", given->time_limit, "--time-limit"},
                  {"sweep.max_failures", given->max_failures, "--max-failures"}};
    for (size_t k = 0; k < sizeof shorts / sizeof *shorts; ++k)
        if (shorts[k].value != NULL)
            QL_TRY(ql_options_set_named(&request->options, shorts[k].name, shorts[k].value, QL_SOURCE_COMMAND_LINE,
                                        shorts[k].where));
    return QL_OK;
}

static ql_log_level level_of(const ql_options *options)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (int level = 0; level < 4; ++level)
        if (strcmp(options->log.level, names[level]) == 0) return (ql_log_level)level;
    return QL_LOG_INFO;
}

static void warn_of_kernels(void)
{
    ql_kernel_advice advice;
    ql_kernels_look(&advice);
    for (int k = 0; k < advice.count; ++k) QL_WARNING("%s", advice.line[k]);
}

/* The end of a command: rank 0 speaks for all, and all end with the same code. */
static int end(const char *command, ql_status status, int rank)
{
    if (status == QL_OK || status == QL_STATUS_MESH || status == QL_STATUS_STOPPED || rank != 0)
        return ql_exit_code(status);
    return ql_command_failed(command, status);
}

static int run_on(ql_comm *comm, const char *command, const run_arguments *given, const ql_arguments *arguments,
                  double started_s)
{
    ql_sweep_request request = {.started_s = started_s};
    ql_status status = ql_comm_agree(comm, make_request(&request, given, arguments));
    if (status == QL_OK) {
        ql_log_configure(level_of(&request.options), comm->rank, comm->size);
        if (comm->rank == 0) warn_of_kernels();
        status = ql_sweep_run(&request, comm, stdout);
        (void)fflush(stdout);
    }
    return end(command, status, comm->rank);
}

/* MPI only when a launcher started several of us: alone, the start stays fast and needs no MPI at all. */
static int launch(int argc, char **argv, const run_arguments *given, const ql_arguments *arguments, double started_s)
{
    ql_comm *comm = NULL;
    const char *command = argv[0];
    bool many = ql_launcher_mpi.launched();
    ql_status status = many ? ql_launcher_mpi.start(&comm, &argc, &argv) : ql_comm_self(&comm);
    if (status != QL_OK) return ql_command_failed(command, status);
    int code = run_on(comm, command, given, arguments, started_s);
    if (many)
        ql_launcher_mpi.stop(comm);
    else
        ql_comm_destroy(comm);
    return code;
}

int ql_cmd_run(int argc, char **argv)
{
    double started_s = ql_clock_s();
    run_arguments given = {0};
    const ql_argument table[] = {
        {"output", 'o', QL_ARGUMENT_TEXT, &given.output, "RUN_DIR", "run directory: results, checkpoints, tables"},
        QL_CONFIG_ARGUMENT_ROWS(given.config),
        {"shard", 0, QL_ARGUMENT_TEXT, &given.shard, "I/N",
         "only part I of N; jobs with different I share a run directory"},
        {"time-limit", 0, QL_ARGUMENT_TEXT, &given.time_limit, "HH:MM:SS",
         "checkpoint and stop in time to be done by then"},
        {"max-failures", 0, QL_ARGUMENT_TEXT, &given.max_failures, "N", "stop after so many failed meshes; 0: never"},
        {"dry-run", 0, QL_ARGUMENT_SWITCH, &given.dry_run, NULL, "list what would be done and stop"},
        {"retry", 0, QL_ARGUMENT_SWITCH, &given.retry, NULL, "try again also meshes whose failure would repeat"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    if (arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    return launch(argc, argv, &given, &arguments, started_s);
}
