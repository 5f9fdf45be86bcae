/* quadloom export RUN_DIR | RESULT.h5: fields, quads and meshes for other programs. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/file.h"
#include "base/text.h"
#include "store/export.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const char *const DETAILS =
    "field: txt (a line per face: alpha xyz beta xyz), rosy (one direction per face), obj (the mesh and two lines per\n"
    "face), vtkhdf (ParaView). quads: obj, ply. mesh: obj, ply, off.\n"
    "Of a RUN_DIR every finished mesh is exported: OUT is a folder, its files are named NAME-HASH8.FORMAT.\n"
    "Exit code 1 when a result is damaged or has no such thing.";

typedef struct export_job {
    const char *from, *out;
    ql_export_what what;
    ql_export_format format;
    int64_t done, missing, failed, packed;
} export_job;

static ql_status parse_choice(const char *text, const char *choices, const char *argument, int *index)
{
    *index = ql_text_choice(choices, text);
    return *index >= 0 ? QL_OK : QL_FAIL(USAGE, "--%s %s: expected one of %s", argument, text, choices);
}

/* The format is what --format says, else the ending of OUT. */
static ql_status parse_job(export_job *job, const char *what, const char *format)
{
    int index;
    const char *name = ql_path_name(job->out), *ending = name + ql_path_stem_length(name);
    if (format == NULL && ending[0] == '.') format = ending + 1;
    if (format == NULL) return QL_FAIL(USAGE, "no --format, and OUT has no ending that tells it");
    QL_TRY(parse_choice(what, "field|quads|mesh", "what", &index));
    job->what = (ql_export_what)index;
    QL_TRY(parse_choice(format, "txt|rosy|obj|ply|off|vtkhdf", "format", &index));
    job->format = (ql_export_format)index;
    return ql_export_check(job->what, job->format);
}

static ql_status export_file(export_job *job)
{
    bool missing;
    ql_status status = ql_export_result(job->out, job->from, job->what, job->format, &missing);
    if (status != QL_OK) return status;
    if (missing) return QL_FAIL(FORMAT, "%s: has no %s", job->from, job->what == QL_EXPORT_QUADS ? "quads" : "field");
    ++job->done;
    return QL_OK;
}

/* A damaged result is told and passed over; a full disk ends the command. */
static ql_status export_mesh_of_run(export_job *job, const char *id)
{
    char from[QL_PATH_SIZE], to[QL_PATH_SIZE], name[QL_ID_SIZE + 16];
    bool missing;
    (void)snprintf(name, sizeof name, "%.*s.%s", QL_ID_SIZE - 1, id, ql_export_ending(job->format));
    QL_TRY(ql_rundir_path(from, job->from, QL_RUN_RESULT, id));
    QL_TRY(ql_path_join(to, job->out, name));
    ql_status status = ql_export_result(to, from, job->what, job->format, &missing);
    if (status == QL_STATUS_FORMAT) {
        (void)fprintf(stderr, "%s\n", ql_error_text());
        ++job->failed;
        return QL_OK;
    }
    job->missing += missing;
    job->done += status == QL_OK && !missing;
    return status;
}

static ql_status export_run(export_job *job)
{
    ql_listing listing;
    QL_TRY(ql_rundir_check(job->from));
    QL_TRY(ql_directory_make(job->out));
    QL_TRY(ql_listing_read(&listing, job->from));
    ql_status status = QL_OK;
    for (int64_t i = 0; i < listing.count && status == QL_OK; ++i)
        if (listing.meshes[i].packed)
            ++job->packed;
        else if (listing.meshes[i].finished)
            status = export_mesh_of_run(job, listing.meshes[i].id);
    ql_listing_destroy(&listing);
    return status;
}

static int run_job(export_job *job, const char *command)
{
    ql_status status = ql_path_is_directory(job->from) ? export_run(job) : export_file(job);
    if (status != QL_OK) return ql_command_failed(command, status);
    (void)printf("%lld written to %s", (long long)job->done, job->out);
    if (job->missing > 0) (void)printf(", %lld have none", (long long)job->missing);
    if (job->failed > 0) (void)printf(", %lld damaged", (long long)job->failed);
    if (job->packed > 0) (void)printf(", %lld are packed (quadloom unpack brings them back)", (long long)job->packed);
    (void)printf("\n");
    return job->missing + job->failed + job->packed > 0 ? QL_EXIT_SOME_FAILED : QL_EXIT_OK;
}

int ql_cmd_export(int argc, char **argv)
{
    const char *what = "field", *format = NULL;
    export_job job = {0};
    const ql_argument table[] = {
        {"what", 0, QL_ARGUMENT_TEXT, &what, "WHAT", "field (default), quads or mesh"},
        {"format", 0, QL_ARGUMENT_TEXT, &format, "FORMAT",
         "txt, rosy, obj, ply, off or vtkhdf; default: the ending of OUT"},
        {"output", 'o', QL_ARGUMENT_TEXT, &job.out, "OUT", "file to write; of a RUN_DIR a folder"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && (arguments.operand_count != 1 || job.out == NULL))
        status = QL_FAIL(USAGE, "expected one RUN_DIR or RESULT.h5 and -o OUT; see `quadloom export --help`");
    if (status == QL_OK) status = parse_job(&job, what, format);
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    job.from = arguments.operands[0];
    return run_job(&job, argv[0]);
}
