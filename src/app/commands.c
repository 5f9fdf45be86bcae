/* The list of commands, exit codes and the way an error ends a command (see commands.h). */
#include "app/commands.h"

#include <string.h>

const ql_command ql_commands[] = {
#define X(name, synopsis, summary) {#name, synopsis, summary, ql_cmd_##name},
    QL_COMMAND_LIST(X)
#undef X
};
const int ql_command_count = sizeof ql_commands / sizeof ql_commands[0];

const ql_command *ql_command_find(const char *name)
{
    for (int i = 0; i < ql_command_count; ++i)
        if (strcmp(ql_commands[i].name, name) == 0) return &ql_commands[i];
    return NULL;
}

int ql_exit_code(ql_status status)
{
    switch (status) {
    case QL_OK: return QL_EXIT_OK;
    case QL_STATUS_USAGE:
    case QL_STATUS_CONFIG: return QL_EXIT_USAGE;
    case QL_STATUS_ENVIRONMENT:
    case QL_STATUS_NO_MEMORY:
    case QL_STATUS_IO:
    case QL_STATUS_BUSY: return QL_EXIT_ENVIRONMENT;
    case QL_STATUS_STOPPED: return QL_EXIT_STOPPED;
    default: return QL_EXIT_SOME_FAILED;
    }
}

int ql_command_failed(const char *command, ql_status status)
{
    const char *text = ql_error_text();
    (void)fprintf(stderr, "quadloom %s: %s\n", command, text[0] != '\0' ? text : ql_status_text(status));
    if (status == QL_STATUS_INTERNAL) (void)fprintf(stderr, "(noticed at %s)\n", ql_error_place());
    return ql_exit_code(status);
}
