/* Overview and man page, both from the list of commands and the table of options. */
#include "app/commands.h"
#include "base/build.h"
#include "base/options.h"

#include <string.h>

void ql_help_overview(FILE *out)
{
    (void)fprintf(out,
                  "quadloom %s: cross fields and verified quad meshes for collections of triangle meshes\n\n"
                  "Usage: quadloom COMMAND [ARGUMENT]...\n\n",
                  ql_build.version);
    for (int i = 0; i < ql_command_count; ++i)
        (void)fprintf(out, "  %-9s %s\n", ql_commands[i].name, ql_commands[i].summary);
    (void)fprintf(out,
                  "\n`quadloom COMMAND --help` tells a command's arguments, `quadloom options` the options of a run.\n"
                  "Exit codes: 0 done; 1 done, some meshes failed; 2 usage or configuration; 3 environment;\n"
                  "75 stopped early with a checkpoint (submit again).\n");
}

/* Text for roff: backslashes, and dots and quotes at the start of a line, are commands there. */
static void print_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'') (void)fputs("\\&", out);
    for (; *text != '\0'; ++text) {
        if (*text == '\\')
            (void)fputs("\\e", out);
        else if (*text == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*text, out);
    }
}

static void print_entry(FILE *out, const char *head, const char *text)
{
    (void)fputs(".TP\n.B ", out);
    print_roff(out, head);
    (void)fputc('\n', out);
    print_roff(out, text);
    (void)fputc('\n', out);
}

void ql_help_man(FILE *out)
{
    char text[1024], variable[QL_OPTION_TEXT];
    (void)fprintf(out,
                  ".TH QUADLOOM 1 \"\" \"quadloom %s\"\n.SH NAME\nquadloom \\- cross fields and verified quad meshes "
                  "for collections of triangle meshes\n.SH SYNOPSIS\n.B quadloom\n.I COMMAND\n[\\fIARGUMENT\\fR]...\n"
                  ".SH COMMANDS\n",
                  ql_build.version);
    for (int i = 0; i < ql_command_count; ++i) {
        (void)snprintf(text, sizeof text, "%s %s", ql_commands[i].name, ql_commands[i].synopsis);
        print_entry(out, text, ql_commands[i].summary);
    }
    (void)fputs(".SH OPTIONS OF A RUN\nSet by\n.B \\-\\-set\nKEY=VALUE, by an environment variable, in a YAML file "
                "(\\fB\\-c\\fR), by a preset; the first of these that names an option wins.\n",
                out);
    for (int i = 0; i < ql_option_count(); ++i) {
        const ql_option *option = ql_option_at(i);
        char head[256];
        (void)snprintf(head, sizeof head, "%s=%s  (%s)", option->name, option->value[QL_PRESET_QUALITY],
                       ql_option_variable(option, variable));
        print_entry(out, head, ql_option_describe(option, text, sizeof text));
    }
    (void)fputs(
        ".SH EXIT STATUS\n.TP\n.B 0\nall done\n.TP\n.B 1\ndone, some meshes failed; failures/ in the run "
        "directory says which and why\n.TP\n.B 2\nusage or configuration\n.TP\n.B 3\nenvironment: no device, no "
        "MPI, no memory, disk full\n.TP\n.B 75\nstopped early with a checkpoint: submit again\n",
        out);
}
