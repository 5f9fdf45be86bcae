/* quadloom halt RUN_DIR: asks a running sweep to finish its steps, checkpoint and stop. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/rundir.h"
#include "sweep/crew.h"
#include "sweep/lock.h"

#include <string.h>

static const char *const DETAILS = "Works from any machine that sees the run directory. The run notices within seconds "
                                   "(longer over NFS) and ends with exit\n"
                                   "code 75; the same `quadloom run` command continues it.";

static ql_status halt(const char *run_directory, int64_t *alive, ql_lock_owner *owner)
{
    char path[QL_PATH_SIZE], text[QL_HOST_SIZE + 64], stamp[QL_STAMP_SIZE], host[QL_HOST_SIZE];
    QL_TRY(ql_rundir_check(run_directory));
    QL_TRY(ql_lock_count(run_directory, alive, owner));
    if (*alive == 0) return QL_OK;
    QL_TRY(ql_path_join(path, run_directory, QL_HALT_FILE));
    (void)snprintf(text, sizeof text, "asked on %s at %s\n", ql_process_host(host), ql_clock_stamp(stamp));
    return ql_file_write_whole(path, text, strlen(text));
}

int ql_cmd_halt(int argc, char **argv)
{
    ql_arguments arguments;
    ql_lock_owner owner;
    int64_t alive = 0;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, NULL, 0);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, NULL, 0);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count != 1)
        status = QL_FAIL(USAGE, "expected one run directory; see `quadloom halt --help`");
    if (status == QL_OK) status = halt(arguments.operands[0], &alive, &owner);
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    if (alive == 0)
        (void)printf("No run is active in %s.\n", arguments.operands[0]);
    else
        (void)printf("Asked process %lld on %s%s to checkpoint and stop.\n", (long long)owner.pid, owner.host,
                     alive > 1 ? " and the other parts" : "");
    return QL_EXIT_OK;
}
