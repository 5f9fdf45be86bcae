/* quadloom golden FILE.h5... : checks tables and engines against golden files. Built with the tests only. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/json.h"
#include "base/memory.h"
#include "golden/golden_check.h"

#include <stdio.h>
#include <string.h>

typedef struct golden_arguments {
    bool json, differences, verbose;
    const char *engine; /* NULL: every C engine */
    ql_engine_options options;
} golden_arguments;

/* Engines to check: the one asked for, or all that run here. */
static bool wanted(const golden_arguments *a, const ql_engine_class *kind)
{
    if (a->engine != NULL) return strcmp(a->engine, kind->name) == 0;
    bool here = kind->available() == QL_OK;
    ql_error_clear();
    return here;
}

static ql_status check_file(const golden_arguments *a, const char *path, ql_golden_report *report)
{
    ql_golden golden;
    QL_TRY(ql_golden_read(&golden, path));
    ql_status status = ql_golden_check_tables(report, &golden);
    const ql_engine_class *const *engines = ql_engine_list();
    for (int k = 0; status == QL_OK && engines[k] != NULL; ++k)
        if (wanted(a, engines[k]))
            status = ql_golden_check_engine(report, &golden, engines[k], &a->options, NULL, true);
    if (status == QL_OK && a->differences) status = ql_golden_check_differences(report, &golden);
    ql_golden_destroy(&golden);
    return QL_CHAIN(status, "%s", path);
}

static void print_report(const golden_arguments *a, const char *path, const ql_golden_report *report)
{
    printf("%s: %d of %d quantities inside their tolerances\n", path, report->count - report->failed, report->count);
    for (int k = 0; k < report->count; ++k) {
        const ql_golden_line *line = &report->line[k];
        bool good = line->error <= line->tolerance;
        if (good && !a->verbose && report->failed > 0) continue;
        printf("  %-11s %-32s %9.2e  (<= %8.1e)%s\n", line->subject, line->quantity, line->error, line->tolerance,
               good ? "" : "  OUTSIDE");
    }
}

static void add_json(ql_json *json, const char *path, const ql_golden_report *report)
{
    ql_json_object(json, NULL);
    ql_json_string(json, "file", path);
    ql_json_bool(json, "passed", report->failed == 0);
    ql_json_array(json, "quantities");
    for (int k = 0; k < report->count; ++k) {
        const ql_golden_line *line = &report->line[k];
        ql_json_object(json, NULL);
        ql_json_string(json, "subject", line->subject);
        ql_json_string(json, "quantity", line->quantity);
        ql_json_real(json, "error", line->error);
        ql_json_real(json, "tolerance", line->tolerance);
        ql_json_bool(json, "passed", line->error <= line->tolerance);
        ql_json_close_object(json);
    }
    ql_json_close_array(json);
    ql_json_close_object(json);
}

static int check_files(const golden_arguments *a, char **files, int count)
{
    ql_json json = {0};
    int failed = 0;
    ql_json_array(&json, NULL);
    for (int k = 0; k < count; ++k) {
        ql_golden_report report = {0};
        ql_status status = check_file(a, files[k], &report);
        if (status != QL_OK) {
            (void)ql_command_failed("golden", status);
            failed++;
            continue;
        }
        failed += report.failed > 0;
        if (!a->json) print_report(a, files[k], &report);
        add_json(&json, files[k], &report);
    }
    ql_json_close_array(&json);
    if (a->json && ql_json_end(&json) == QL_OK) printf("%s\n", json.text);
    ql_json_destroy(&json);
    return failed > 0 ? QL_EXIT_SOME_FAILED : QL_EXIT_OK;
}

int ql_cmd_golden(int argc, char **argv)
{
    golden_arguments a = {0};
    const ql_argument table[] = {
        {"engine", 0, QL_ARGUMENT_TEXT, &a.engine, "NAME", "check this engine only"},
        {"threads", 0, QL_ARGUMENT_COUNT, &a.options.threads, "N", "threads of the engine"},
        {"differences", 0, QL_ARGUMENT_SWITCH, &a.differences, NULL,
         "also derivatives of engine ref by central differences"},
        {"json", 0, QL_ARGUMENT_SWITCH, &a.json, NULL, "print a JSON array, one object per file"},
        {"verbose", 0, QL_ARGUMENT_SWITCH, &a.verbose, NULL, "print the quantities that are right, too"},
    };
    enum { COUNT = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, COUNT);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(
            stdout, argv[0],
            "parameters.h5 lies in the same folder as the files. Prints the largest relative error of every\n"
            "quantity; exit code 0 only if all are inside their tolerances.",
            table, COUNT);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count == 0)
        status = QL_FAIL(USAGE, "which files? see `quadloom golden --help`");
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    return check_files(&a, arguments.operands, arguments.operand_count);
}
