/* Command line arguments of the subcommands: one small table each, from which also its --help comes.
 *
 *     ql_text_list set = {0};
 *     bool json = false;
 *     const ql_argument table[] = {
 *         {"json", 0, QL_ARGUMENT_SWITCH, &json, NULL, "print one JSON object"},
 *         {"set", 's', QL_ARGUMENT_LIST, &set, "KEY=VALUE", "set an option"},
 *     };
 *     ql_arguments a;
 *     QL_TRY(ql_arguments_parse(&a, argc, argv, table, 2));
 *     if (a.help) ...
 *
 * --name=value, --name value, -s value, -svalue; "--" ends the options; operands may stand anywhere. --help and -h are
 * understood by all. */
#ifndef QL_APP_ARGUMENTS_H
#define QL_APP_ARGUMENTS_H

#include "base/options.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum ql_argument_type {
    QL_ARGUMENT_SWITCH,  /* bool *, no value */
    QL_ARGUMENT_TEXT,    /* const char ** */
    QL_ARGUMENT_COUNT,   /* int64_t *, a whole number >= 0 */
    QL_ARGUMENT_REAL,    /* double * */
    QL_ARGUMENT_SECONDS, /* double *, seconds or HH:MM:SS */
    QL_ARGUMENT_LIST     /* ql_text_list *, may be repeated */
} ql_argument_type;

typedef struct ql_argument {
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    ql_argument_type type;
    void *target;
    const char *value_name; /* in the help; NULL for switches */
    const char *help;
} ql_argument;

enum { QL_TEXT_LIST_MAX = 256 };

typedef struct ql_text_list { /* texts borrowed from argv */
    const char *items[QL_TEXT_LIST_MAX];
    int count;
} ql_text_list;

typedef struct ql_arguments {
    char **operands; /* within argv, which is reordered */
    int operand_count;
    bool help; /* --help was asked for; nothing else was checked */
} ql_arguments;

/* Fails with USAGE, naming the argument, the nearest one or what was expected. */
ql_status ql_arguments_parse(ql_arguments *arguments, int argc, char **argv, const ql_argument *table, int count);

/* The whole --help of a command: synopsis and summary (from QL_COMMAND_LIST), `details` (or NULL), the table. */
void ql_arguments_help(FILE *out, const char *command, const char *details, const ql_argument *table, int count);

/* The arguments of all commands that take options of a run: rows for their table, and the options themselves. */
typedef struct ql_config_arguments {
    const char *yaml, *preset;
    ql_text_list set;
} ql_config_arguments;

#define QL_CONFIG_ARGUMENT_ROWS(config)                                                                                 \
    {"config", 'c', QL_ARGUMENT_TEXT, &(config).yaml, "FILE.yaml", "read options from a file"},                         \
        {"set", 0, QL_ARGUMENT_LIST, &(config).set, "KEY=VALUE", "set an option (see `quadloom options`); repeatable"}, \
    {                                                                                                                   \
        "preset", 0, QL_ARGUMENT_TEXT, &(config).preset, "NAME", "start from preset quality, reference or quick"        \
    }

ql_status ql_config_resolve(const ql_config_arguments *config, ql_options *options);

#endif
