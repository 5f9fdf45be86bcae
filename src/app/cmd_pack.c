/* quadloom pack RUN_DIR -o FILE and quadloom unpack FILE -o DIR: thousands of results in one file and back, by all ranks. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "store/pack.h"
#include "sweep/signals.h"

#include <stdio.h>

static const char *const PACK_DETAILS =
    "Writes all results of a run directory into one HDF5 file: the datasets of all meshes one behind the other, "
    "compressed, with an\n"
    "index and the table. Behind mpirun or srun all ranks write together. Then every mesh is read back and compared "
    "byte "
    "for byte.\n"
    "Killed or stopped, the same command goes on. --delete removes the result files afterwards (and only then); the "
    "run "
    "directory\n"
    "remembers where they are, and `quadloom unpack` brings them back.";

static const char *const UNPACK_DETAILS =
    "Writes the result files of a pack as they were, all of them or those named. DIR may be the run directory: they go "
    "to its meshes/.";

enum { DEFAULT_BUFFER_MB = 64 };

typedef struct pack_arguments {
    const char *output;
    int64_t buffer_mb;
    bool remove, list;
} pack_arguments;

static bool stop_asked(void) { return ql_signals_stop() != 0; }

static void show_progress(const char *what, int64_t done, int64_t of)
{
    static double last_s = 0;
    double now = ql_clock_s();
    if (last_s == 0) last_s = now;
    if (now - last_s < 5) return;
    last_s = now;
    QL_INFO("%s %lld of %lld", what, (long long)done, (long long)of);
}

/* ---- ranks ---- */

typedef ql_status (*on_ranks)(ql_comm *comm, const pack_arguments *given, const ql_arguments *arguments);

/* Runs on all ranks that a launcher started, or alone. Rank 0 speaks for all. */
static int run_on_ranks(const char *command, on_ranks run, const pack_arguments *given, const ql_arguments *arguments)
{
    ql_comm *comm = NULL;
    bool many = ql_launcher_mpi.launched();
    ql_status status = many ? ql_launcher_mpi.start(&comm, NULL, NULL) : ql_comm_self(&comm);
    if (status != QL_OK) return ql_command_failed(command, status);
    ql_log_configure(QL_LOG_INFO, comm->rank, comm->size);
    status = run(comm, given, arguments);
    int code = status == QL_OK ? QL_EXIT_OK : ql_exit_code(status);
    if (status != QL_OK && comm->rank == 0) code = ql_command_failed(command, status);
    if (many)
        ql_launcher_mpi.stop(comm);
    else
        ql_comm_destroy(comm);
    return code;
}

/* ---- pack ---- */

static ql_status pack(ql_comm *comm, const pack_arguments *given, const ql_arguments *arguments)
{
    double began = ql_clock_s();
    ql_pack_outcome outcome;
    ql_pack_request request = {.run_directory = arguments->operands[0],
                               .path = given->output,
                               .remove = given->remove,
                               .buffer_bytes = given->buffer_mb * 1000000,
                               .should_stop = stop_asked,
                               .progress = show_progress};
    QL_TRY(ql_comm_agree(comm, ql_signals_install()));
    ql_status status = ql_pack(&outcome, &request, comm);
    ql_signals_restore();
    if (status != QL_OK || comm->rank != 0) return status;
    (void)printf("%lld meshes in %s, every byte compared", (long long)outcome.meshes, given->output);
    if (outcome.resumed_at > 0) (void)printf(" (%lld of them were in it already)", (long long)outcome.resumed_at);
    (void)printf("; %.1f MB instead of %.1f MB; %.1f s\n", (double)outcome.bytes_after / 1e6,
                 (double)outcome.bytes_before / 1e6, ql_clock_s() - began);
    if (given->remove) (void)printf("%lld result files removed\n", (long long)outcome.removed);
    return QL_OK;
}

int ql_cmd_pack(int argc, char **argv)
{
    pack_arguments given = {.buffer_mb = DEFAULT_BUFFER_MB};
    const ql_argument table[] = {
        {"output", 'o', QL_ARGUMENT_TEXT, &given.output, "FILE", "the file to write"},
        {"delete", 0, QL_ARGUMENT_SWITCH, &given.remove, NULL, "remove the results when all is verified"},
        {"buffer-mb", 0, QL_ARGUMENT_COUNT, &given.buffer_mb, "N", "memory for results per rank and round (64)"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], PACK_DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && (arguments.operand_count != 1 || given.output == NULL))
        status = QL_FAIL(USAGE, "expected one run directory and -o FILE; see `quadloom pack --help`");
    if (status == QL_OK && given.buffer_mb > 1000000) status = QL_FAIL(USAGE, "--buffer-mb: expected at most 1000000");
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    return run_on_ranks(argv[0], pack, &given, &arguments);
}

/* ---- unpack ---- */

static ql_status list(const char *path)
{
    ql_summary *rows;
    int64_t count;
    QL_TRY(ql_pack_rows(path, &rows, &count));
    for (int64_t i = 0; i < count; ++i) (void)printf("%s\n", rows[i].mesh);
    ql_free(rows);
    return QL_OK;
}

static ql_status unpack(ql_comm *comm, const pack_arguments *given, const ql_arguments *arguments)
{
    int64_t count = 0;
    const char *const *ids = (const char *const *)arguments->operands + 1;
    if (given->list) return comm->rank == 0 ? list(arguments->operands[0]) : QL_OK;
    ql_status status = comm->rank == 0 ? ql_directory_make(given->output) : QL_OK;
    status = ql_comm_agree(comm, status);
    if (status == QL_OK)
        status = ql_comm_agree(comm, ql_unpack(arguments->operands[0], given->output, ids, arguments->operand_count - 1,
                                               comm->rank, comm->size, &count));
    QL_TRY(status);
    QL_TRY(ql_comm_sum(comm, &count, 1, QL_NUMBER_INT64));
    if (comm->rank == 0) (void)printf("%lld results in %s\n", (long long)count, given->output);
    return QL_OK;
}

int ql_cmd_unpack(int argc, char **argv)
{
    pack_arguments given = {0};
    const ql_argument table[] = {
        {"output", 'o', QL_ARGUMENT_TEXT, &given.output, "DIR", "a folder, or the run directory"},
        {"list", 0, QL_ARGUMENT_SWITCH, &given.list, NULL, "only show which meshes are in the pack"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], UNPACK_DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && (arguments.operand_count < 1 || (given.output == NULL && !given.list)))
        status = QL_FAIL(USAGE, "expected a pack and -o DIR; see `quadloom unpack --help`");
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    return run_on_ranks(argv[0], unpack, &given, &arguments);
}
