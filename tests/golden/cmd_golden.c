/* quadloom golden FILE.h5... : checks tables and engines against golden files. Built with the tests only. */
#include "app/commands.h"
#include "base/json.h"
#include "base/memory.h"
#include "golden/golden_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    bool json, differences, verbose;
    const char *engine; /* NULL: every C engine */
    ql_engine_options options;
    int file_count;
    char **files;
} arguments;

static const char usage[] =
    "usage: quadloom golden FILE.h5... [--engine NAME] [--threads N] [--differences] [--json] [--verbose]\n"
    "Checks tables and engines against golden files (parameters.h5 lies in the same folder) and prints the largest\n"
    "relative error of every quantity. --differences: also derivatives of engine ref against central differences.\n"
    "Exit code 0 only if all are inside their tolerances.\n";

static bool parse(arguments *a, int argc, char **argv)
{
    *a = (arguments){.files = argv};
    for (int k = 1; k < argc; ++k) {
        if (strcmp(argv[k], "--json") == 0)
            a->json = true;
        else if (strcmp(argv[k], "--verbose") == 0)
            a->verbose = true;
        else if (strcmp(argv[k], "--differences") == 0)
            a->differences = true;
        else if (strcmp(argv[k], "--engine") == 0 && k + 1 < argc)
            a->engine = argv[++k];
        else if (strcmp(argv[k], "--threads") == 0 && k + 1 < argc)
            a->options.threads = strtol(argv[++k], NULL, 10);
        else if (argv[k][0] == '-')
            return false;
        else
            a->files[a->file_count++] = argv[k]; /* never ahead of k: the list is compacted in place */
    }
    return a->file_count > 0;
}

/* Engines to check: the one asked for, or all that run here. */
static bool wanted(const arguments *a, const ql_engine_class *kind)
{
    if (a->engine != NULL) return strcmp(a->engine, kind->name) == 0;
    bool here = kind->available() == QL_OK;
    ql_error_clear();
    return here;
}

static ql_status check_file(const arguments *a, const char *path, ql_golden_report *report)
{
    ql_golden golden;
    QL_TRY(ql_golden_read(&golden, path));
    ql_status status = ql_golden_check_tables(report, &golden);
    const ql_engine_class *const *engines = ql_engine_list();
    for (int k = 0; status == QL_OK && engines[k] != NULL; ++k)
        if (wanted(a, engines[k])) status = ql_golden_check_engine(report, &golden, engines[k], &a->options);
    if (status == QL_OK && a->differences) status = ql_golden_check_differences(report, &golden);
    ql_golden_destroy(&golden);
    return QL_CHAIN(status, "%s", path);
}

static void print_report(const arguments *a, const char *path, const ql_golden_report *report)
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

int ql_cmd_golden(int argc, char **argv)
{
    arguments a;
    ql_json json = {0};
    int failed = 0;
    if (!parse(&a, argc, argv)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    ql_json_array(&json, NULL);
    for (int k = 0; k < a.file_count; ++k) {
        ql_golden_report report = {0};
        ql_status status = check_file(&a, a.files[k], &report);
        if (status != QL_OK) {
            (void)fprintf(stderr, "error: %s\n", ql_error_text());
            failed++;
            continue;
        }
        failed += report.failed > 0;
        if (!a.json) print_report(&a, a.files[k], &report);
        add_json(&json, a.files[k], &report);
    }
    ql_json_close_array(&json);
    if (a.json && ql_json_end(&json) == QL_OK) printf("%s\n", json.text);
    ql_json_destroy(&json);
    return failed > 0 ? 1 : 0;
}
