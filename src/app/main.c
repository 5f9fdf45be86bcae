/* quadloom COMMAND ...: finds the command and runs it. */
#include "app/commands.h"

#include "base/build.h"
#include "base/text.h"

#include <string.h>

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    int best = 1000;
    for (int i = 0; i < ql_command_count; ++i) {
        int distance = ql_text_distance(name, ql_commands[i].name);
        if (distance >= best || !ql_text_is_near(name, distance)) continue;
        best = distance;
        nearest = ql_commands[i].name;
    }
    (void)fprintf(stderr, "quadloom: %.60s: no such command; ", name);
    if (nearest != NULL)
        (void)fprintf(stderr, "did you mean %s?\n", nearest);
    else
        (void)fprintf(stderr, "`quadloom --help` lists them\n");
    return QL_EXIT_USAGE;
}

static int run_command(int argc, char **argv)
{
    const ql_command *command = ql_command_find(argv[0]);
    return command != NULL ? command->run(argc, argv) : unknown_command(argv[0]);
}

/* quadloom help [COMMAND | --man] */
static int help(int argc, char **argv)
{
    static char ask[] = "--help";
    if (argc > 0 && strcmp(argv[0], "--man") == 0)
        ql_help_man(stdout);
    else if (argc > 0)
        return run_command(2, (char *[]){argv[0], ask, NULL});
    else
        ql_help_overview(stdout);
    return QL_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        ql_help_overview(stderr);
        return QL_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        (void)printf("quadloom %s (%s)\n", ql_build.version, ql_build.git);
        return QL_EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help(argc - 2, argv + 2);
    return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    /* output that did not arrive (full disk) is not success */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "quadloom: standard output could not be written\n");
        if (code == QL_EXIT_OK) code = QL_EXIT_ENVIRONMENT;
    }
    return code;
}
