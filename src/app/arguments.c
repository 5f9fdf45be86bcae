/* Command line arguments (see arguments.h). */
#include "app/arguments.h"

#include "app/commands.h"
#include "base/text.h"

#include <string.h>

typedef struct parser {
    const char *command;
    const ql_argument *table;
    int count;
    int argc, at; /* next word to look at */
    char **argv;
} parser;

static ql_status unknown(const parser *p, const char *word, size_t length)
{
    char typed[64];
    const char *nearest = NULL;
    int best = 1000;
    (void)snprintf(typed, sizeof typed, "%.*s", (int)length, word);
    for (int i = 0; i < p->count; ++i) {
        int distance = ql_text_distance(typed, p->table[i].name);
        if (distance >= best || !ql_text_is_near(typed, distance)) continue;
        best = distance;
        nearest = p->table[i].name;
    }
    if (ql_option_find(typed) >= 0) return QL_FAIL(USAGE, "--%s: options are set by --set %s=VALUE", typed, typed);
    if (nearest != NULL) return QL_FAIL(USAGE, "--%s: unknown; did you mean --%s?", typed, nearest);
    return QL_FAIL(USAGE, "--%s: unknown; see `quadloom %s --help`", typed, p->command);
}

static ql_status store(const ql_argument *argument, const char *shown, const char *value)
{
    ql_text_list *list = argument->target;
    int64_t number = 0;
    switch (argument->type) {
    case QL_ARGUMENT_SWITCH: *(bool *)argument->target = true; return QL_OK;
    case QL_ARGUMENT_TEXT: *(const char **)argument->target = value; return QL_OK;
    case QL_ARGUMENT_COUNT:
        if (!ql_text_to_int(value, &number) || number < 0)
            return QL_FAIL(USAGE, "%s %.60s: expected a whole number, 0 or more", shown, value);
        *(int64_t *)argument->target = number;
        return QL_OK;
    case QL_ARGUMENT_REAL:
        if (!ql_text_to_real(value, argument->target))
            return QL_FAIL(USAGE, "%s %.60s: expected a number", shown, value);
        return QL_OK;
    case QL_ARGUMENT_SECONDS:
        if (!ql_text_to_seconds(value, argument->target))
            return QL_FAIL(USAGE, "%s %.60s: expected seconds or HH:MM:SS", shown, value);
        return QL_OK;
    case QL_ARGUMENT_LIST:
        if (list->count == QL_TEXT_LIST_MAX)
            return QL_FAIL(USAGE, "%s: given more than %d times", shown, QL_TEXT_LIST_MAX);
        list->items[list->count++] = value;
        return QL_OK;
    }
    return QL_FAIL(INTERNAL, "argument %s has no type", shown);
}

/* `inner` is the value that is part of the same word, or NULL; then the next word is it. */
static ql_status take_value(parser *p, const ql_argument *argument, const char *shown, const char *inner)
{
    if (argument->type == QL_ARGUMENT_SWITCH) {
        if (inner != NULL) return QL_FAIL(USAGE, "%s takes no value", shown);
        return store(argument, shown, NULL);
    }
    if (inner == NULL) {
        if (p->at >= p->argc) return QL_FAIL(USAGE, "%s: its value %s is missing", shown, argument->value_name);
        inner = p->argv[p->at++];
    }
    return store(argument, shown, inner);
}

static ql_status take_long(parser *p, const char *word)
{
    size_t length = strcspn(word, "=");
    const char *inner = word[length] == '=' ? word + length + 1 : NULL;
    for (int i = 0; i < p->count; ++i) {
        const char *name = p->table[i].name;
        if (strlen(name) != length || memcmp(name, word, length) != 0) continue;
        char shown[64];
        (void)snprintf(shown, sizeof shown, "--%s", name);
        return take_value(p, &p->table[i], shown, inner);
    }
    return unknown(p, word, length);
}

/* "-j", "-o FILE", "-oFILE"; switches may be joined: "-jq". */
static ql_status take_short(parser *p, const char *letters)
{
    for (; *letters != '\0'; ++letters) {
        const ql_argument *found = NULL;
        for (int i = 0; i < p->count && found == NULL; ++i)
            if (p->table[i].letter == *letters) found = &p->table[i];
        if (found == NULL) return QL_FAIL(USAGE, "-%c: unknown; see `quadloom %s --help`", *letters, p->command);
        const char shown[] = {'-', *letters, '\0'};
        if (found->type != QL_ARGUMENT_SWITCH)
            return take_value(p, found, shown, letters[1] != '\0' ? letters + 1 : NULL);
        QL_TRY(store(found, shown, NULL));
    }
    return QL_OK;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; ++i)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

ql_status ql_arguments_parse(ql_arguments *arguments, int argc, char **argv, const ql_argument *table, int count)
{
    parser p = {.command = argv[0], .table = table, .count = count, .argc = argc, .at = 1, .argv = argv};
    *arguments = (ql_arguments){.operands = argv + 1, .help = asks_for_help(argc, argv)};
    if (arguments->help) return QL_OK;
    bool options_ended = false;
    while (p.at < argc) {
        char *word = argv[p.at++];
        if (options_ended || word[0] != '-' || word[1] == '\0')
            arguments->operands[arguments->operand_count++] = word;
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else
            QL_TRY(word[1] == '-' ? take_long(&p, word + 2) : take_short(&p, word + 1));
    }
    return QL_OK;
}

static void print_row(FILE *out, char letter, const char *name, const char *value_name, const char *help)
{
    enum { COLUMN = 30 };
    char left[96];
    (void)snprintf(left, sizeof left, "  %c%c%s --%s%s%s", letter != 0 ? '-' : ' ', letter != 0 ? letter : ' ',
                   letter != 0 ? "," : " ", name, value_name != NULL ? " " : "", value_name != NULL ? value_name : "");
    if (strlen(left) < COLUMN)
        (void)fprintf(out, "%-*s%s\n", COLUMN, left, help);
    else
        (void)fprintf(out, "%s\n%*s%s\n", left, COLUMN, "", help);
}

void ql_arguments_help(FILE *out, const char *command, const char *details, const ql_argument *table, int count)
{
    const ql_command *found = ql_command_find(command);
    (void)fprintf(out, "Usage: quadloom %s %s\n", command, found != NULL ? found->synopsis : "[arguments]");
    if (found != NULL) (void)fprintf(out, "\n%s: %s.\n", command, found->summary);
    if (details != NULL) (void)fprintf(out, "\n%s\n", details);
    (void)fputc('\n', out);
    for (int i = 0; i < count; ++i) print_row(out, table[i].letter, table[i].name, table[i].value_name, table[i].help);
    print_row(out, 'h', "help", NULL, "show this");
}

ql_status ql_config_resolve(const ql_config_arguments *config, ql_options *options)
{
    return ql_options_resolve(options, config->preset, config->yaml, config->set.items, config->set.count);
}
