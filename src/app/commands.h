/* The subcommands, each in its own cmd_NAME.c, and what they share: exit codes and the way an error ends a command.
 * To add one: a line in QL_COMMAND_LIST, `int ql_cmd_NAME(int argc, char **argv)`; argv[0] is the command's name. */
#ifndef QL_APP_COMMANDS_H
#define QL_APP_COMMANDS_H

#include "base/status.h"

#include "quadloom_config.h"

#include <stdio.h>

typedef enum ql_exit {
    QL_EXIT_OK = 0,          /* all done */
    QL_EXIT_SOME_FAILED = 1, /* done, some meshes failed (recorded) */
    QL_EXIT_USAGE = 2,       /* usage or configuration */
    QL_EXIT_ENVIRONMENT = 3, /* no device, no MPI, no memory, disk full */
    QL_EXIT_STOPPED = 75     /* stopped early with a checkpoint: submit again (EX_TEMPFAIL) */
} ql_exit;

/* X(name, synopsis, summary), in the order of --help */
#if QL_TESTS
#define QL_COMMAND_GOLDEN(X) X(golden, "FILE.h5... [--json]", "check tables and engines against golden files")
#else
#define QL_COMMAND_GOLDEN(X)
#endif
#define QL_COMMAND_LIST(X)                                                                                             \
    X(run, "INPUT... -o RUN_DIR [-c FILE.yaml] [--set KEY=VALUE]...", "train every mesh of a collection")              \
    X(plan, "INPUT... [-o RUN_DIR] [-c FILE.yaml] [--ranks N] [--simulate]", "predict how long a collection takes")    \
    X(status, "RUN_DIR [--json] [--watch]", "show how far a run is, what it does, what failed")                        \
    X(halt, "RUN_DIR", "ask a running sweep to checkpoint and stop")                                                   \
    X(verify, "RUN_DIR | RESULT.h5... | QUADS.obj... --input MESH", "check every byte and number of what was made")    \
    X(quads, "RESULT.h5 | MESH [--field FILE] -o OUT.obj", "make a verified quad mesh from a field")                   \
    X(export, "RUN_DIR | RESULT.h5 [--what WHAT] [--format FORMAT] -o OUT", "write fields, quads, meshes for others")  \
    X(pack, "RUN_DIR -o FILE.h5 [--delete]", "put all results of a run into one file")                                 \
    X(unpack, "FILE.h5 -o DIR [ID]...", "bring results of a pack back as files")                                       \
    X(inspect, "MESH... [--json] [--sharp-angle DEG]", "show what a mesh is and what is wrong with it")                \
    X(generate, "NAME [--faces N] -o FILE", "write a mesh made by formula: sphere, torus, block, ...")                 \
    X(bench, "train|gemm [--mesh FILE] [--steps N] [--json]", "measure training steps or matrix products")             \
    X(options, "[WORD]... [--yaml] [--preset NAME]", "list every option with its range, default and meaning")          \
    X(doctor, "[--json]", "show what was built in, devices, libraries in use and limits")                              \
    QL_COMMAND_GOLDEN(X)

#define QL_COMMAND_DECLARE(name, synopsis, summary) int ql_cmd_##name(int argc, char **argv);
QL_COMMAND_LIST(QL_COMMAND_DECLARE)
#undef QL_COMMAND_DECLARE

/* The list above as data, for help and the man page. */
typedef struct ql_command {
    const char *name, *synopsis, *summary;
    int (*run)(int argc, char **argv);
} ql_command;
extern const ql_command ql_commands[];
extern const int ql_command_count;
const ql_command *ql_command_find(const char *name); /* NULL: none */

/* Exit code that a status means. */
int ql_exit_code(ql_status status);

/* Prints "quadloom COMMAND: error text" (once per process, to standard error) and returns the exit code of `status`. */
int ql_command_failed(const char *command, ql_status status);

/* Help: overview, man page in roff. */
void ql_help_overview(FILE *out);
void ql_help_man(FILE *out);

#endif
