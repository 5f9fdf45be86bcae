/* failures/ID.json and the counter of attempts (see rundir.h). */
#include "store/rundir.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "store/json_scan.h"

#include <stdio.h>
#include <string.h>

enum { LARGEST_JSON = 1 << 20 };

void ql_failure_init(ql_failure *failure)
{
    memset(failure, 0, sizeof *failure);
    failure->status = QL_STATUS_INTERNAL;
    failure->face = failure->line = -1;
}

static void print_failure(ql_json *json, const ql_failure *failure)
{
    char host[QL_HOST_SIZE], job[QL_JOB_SIZE], stamp[QL_STAMP_SIZE];
    ql_json_object(json, NULL);
    ql_json_string(json, "mesh", failure->mesh);
    ql_json_string(json, "name", failure->name);
    ql_json_string(json, "input", failure->input);
    ql_json_string(json, "status", ql_status_name(failure->status));
    ql_json_string(json, "stage", failure->stage);
    ql_json_string(json, "reason", failure->reason);
    ql_json_string(json, "remedy", failure->remedy);
    if (failure->face >= 0) ql_json_int(json, "face", failure->face);
    if (failure->line >= 0) ql_json_int(json, "line", failure->line);
    ql_json_int(json, "step", failure->step);
    ql_json_int(json, "attempts", failure->attempts);
    ql_json_int(json, "faces", failure->faces);
    ql_json_int(json, "vertices", failure->vertices);
    ql_json_string(json, "date", ql_clock_stamp(stamp));
    ql_json_string(json, "host", ql_process_host(host));
    ql_json_string(json, "job", ql_process_job(job));
    ql_json_close_object(json);
}

/* Writes a finished object with a line end; destroys it. */
static ql_status write_json(ql_json *json, const char *path)
{
    ql_status status = ql_json_end(json);
    if (status == QL_OK) {
        json->text[json->used] = '\n'; /* in place of the final zero */
        status = ql_file_write_whole(path, json->text, json->used + 1);
    }
    ql_json_destroy(json);
    return status;
}

ql_status ql_failure_write(const char *run_directory, const ql_failure *failure)
{
    char path[QL_PATH_SIZE];
    ql_json json = {0};
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_FAILURE, failure->mesh));
    print_failure(&json, failure);
    return write_json(&json, path);
}

static ql_status status_of_name(const char *name)
{
    for (int k = 0; k < QL_STATUS_COUNT; ++k)
        if (strcmp(name, ql_status_name((ql_status)k)) == 0) return (ql_status)k;
    return QL_STATUS_INTERNAL;
}

static void take_failure(void *context, const ql_json_member *member)
{
    ql_failure *failure = context;
    const struct {
        const char *key;
        char *text;
        size_t size;
        int64_t *number;
    } members[] = {{"mesh", failure->mesh, sizeof failure->mesh, NULL},
                   {"name", failure->name, sizeof failure->name, NULL},
                   {"input", failure->input, sizeof failure->input, NULL},
                   {"stage", failure->stage, sizeof failure->stage, NULL},
                   {"reason", failure->reason, sizeof failure->reason, NULL},
                   {"remedy", failure->remedy, sizeof failure->remedy, NULL},
                   {"date", failure->date, sizeof failure->date, NULL},
                   {"host", failure->host, sizeof failure->host, NULL},
                   {"job", failure->job, sizeof failure->job, NULL},
                   {"face", NULL, 0, &failure->face},
                   {"line", NULL, 0, &failure->line},
                   {"step", NULL, 0, &failure->step},
                   {"attempts", NULL, 0, &failure->attempts},
                   {"faces", NULL, 0, &failure->faces},
                   {"vertices", NULL, 0, &failure->vertices}};
    if (strcmp(member->key, "status") == 0) failure->status = status_of_name(member->text);
    for (size_t k = 0; k < sizeof members / sizeof *members; ++k) {
        if (strcmp(member->key, members[k].key) != 0) continue;
        if (members[k].text != NULL)
            (void)snprintf(members[k].text, members[k].size, "%s", member->text);
        else
            *members[k].number = ql_json_member_int(member, *members[k].number);
    }
}

/* Scans the one object of a small file. */
static ql_status read_json(const char *path, void (*visit)(void *context, const ql_json_member *member), void *context)
{
    char *text;
    size_t size;
    QL_TRY(ql_file_read_whole(path, LARGEST_JSON, &text, &size));
    bool whole = ql_json_scan(text, size, visit, context);
    ql_free(text);
    return whole ? QL_OK : QL_FAIL(FORMAT, "%s: is not one JSON object", path);
}

ql_status ql_failure_read(ql_failure *failure, const char *path)
{
    ql_failure_init(failure);
    return read_json(path, take_failure, failure);
}

ql_status ql_failure_remove(const char *run_directory, const char *id)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_FAILURE, id));
    return ql_path_exists(path) ? ql_file_remove(path) : QL_OK;
}

/* ---- attempts ---- */

typedef struct attempt_record {
    int64_t attempts, step;
} attempt_record;

static void take_attempt(void *context, const ql_json_member *member)
{
    attempt_record *record = context;
    if (strcmp(member->key, "attempts") == 0) record->attempts = ql_json_member_int(member, 0);
    if (strcmp(member->key, "step") == 0) record->step = ql_json_member_int(member, 0);
}

ql_status ql_attempts_begin(const char *run_directory, const char *id, int64_t resume_step, int64_t *attempts)
{
    char path[QL_PATH_SIZE], host[QL_HOST_SIZE], job[QL_JOB_SIZE], stamp[QL_STAMP_SIZE];
    attempt_record record = {0, 0};
    ql_json json = {0};
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_ATTEMPTS, id));
    if (ql_path_exists(path) && read_json(path, take_attempt, &record) != QL_OK)
        record = (attempt_record){0, 0}; /* damaged: count anew rather than give the mesh up */
    if (resume_step > record.step) record.attempts = 0;
    *attempts = ++record.attempts;
    ql_json_object(&json, NULL);
    ql_json_string(&json, "mesh", id);
    ql_json_int(&json, "attempts", record.attempts);
    ql_json_int(&json, "step", resume_step);
    ql_json_string(&json, "date", ql_clock_stamp(stamp));
    ql_json_string(&json, "host", ql_process_host(host));
    ql_json_string(&json, "job", ql_process_job(job));
    ql_json_close_object(&json);
    return write_json(&json, path);
}

ql_status ql_attempts_settle(const char *run_directory, const char *id)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_ATTEMPTS, id));
    return ql_path_exists(path) ? ql_file_remove(path) : QL_OK;
}
