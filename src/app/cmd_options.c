/* quadloom options: the table of options for people, or as YAML to start from. */
#include "app/arguments.h"
#include "app/commands.h"

#include <stdio.h>
#include <string.h>

static void print_one(const ql_option *option)
{
    char text[1024], variable[QL_OPTION_TEXT];
    (void)printf("  %s=%s   (%s)\n", option->name, option->value[QL_PRESET_QUALITY],
                 ql_option_variable(option, variable));
    ql_options_print_wrapped(stdout, ql_option_describe(option, text, sizeof text), "      ", 100);
}

/* Options whose name has a word in it: "train.steps", "train.", "feature". */
static ql_status print_matching(char **words, int count)
{
    for (int k = 0; k < count; ++k) {
        int found = 0;
        for (int i = 0; i < ql_option_count(); ++i) {
            if (strstr(ql_option_at(i)->name, words[k]) == NULL) continue;
            print_one(ql_option_at(i));
            ++found;
        }
        ql_options scratch; /* knows how to say that there is no such option */
        if (found == 0) return ql_options_set_named(&scratch, words[k], "", QL_SOURCE_DEFAULT, "no match");
    }
    return QL_OK;
}

/* Only the preset counts here: neither files nor the environment, so the output is the same everywhere. */
static ql_status print_yaml(const char *preset)
{
    ql_options options;
    ql_options_init(&options);
    if (preset != NULL) {
        QL_TRY(ql_options_set_named(&options, "train.preset", preset, QL_SOURCE_COMMAND_LINE, "--preset"));
        ql_options_start_from(&options, options.train.preset);
    }
    (void)printf("# Every option of a run with its default (preset %s). Made by `quadloom options --yaml`.\n"
                 "# Order: command line > QL_* environment > YAML > preset > default.\n\n",
                 preset != NULL ? preset : "quality");
    return ql_options_write_yaml(&options, false, stdout);
}

int ql_cmd_options(int argc, char **argv)
{
    bool yaml = false;
    const char *preset = NULL;
    const ql_argument table[] = {
        {"yaml", 0, QL_ARGUMENT_SWITCH, &yaml, NULL, "as a YAML file for `quadloom run -c`"},
        {"preset", 0, QL_ARGUMENT_TEXT, &preset, "NAME", "with --yaml: the values of this preset"},
    };
    ql_arguments a;
    ql_status status = ql_arguments_parse(&a, argc, argv, table, 2);
    if (status == QL_OK && a.help) {
        ql_arguments_help(stdout, argv[0], NULL, table, 2);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && yaml)
        status = print_yaml(preset);
    else if (status == QL_OK && a.operand_count > 0)
        status = print_matching(a.operands, a.operand_count);
    else if (status == QL_OK)
        for (int i = 0; i < ql_option_count(); ++i) print_one(ql_option_at(i));
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
