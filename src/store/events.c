/* The event logs (see events.h): writing and reading lines. What they say about a run is in run_view.c. */
#include "store/events.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "store/json_scan.h"
#include "store/rundir.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const type_names[QL_EVENT_TYPE_COUNT] = {
#define X(name, fields) #name,
    QL_EVENT_TYPES(X)
#undef X
};

const char *ql_event_name(ql_event_type type)
{
    return (unsigned)type < QL_EVENT_TYPE_COUNT ? type_names[type] : "unknown";
}

typedef enum field_kind { FIELD_INT, FIELD_REAL, FIELD_TEXT } field_kind;

/* The members of a line apart from time and event; from this table come writing and reading. */
static const struct event_field {
    const char *name;
    field_kind kind;
    size_t offset, size;
} fields[] = {
#define FIELD(kind, name)                                                                                              \
    {                                                                                                                  \
#name, FIELD_##kind, offsetof(ql_event, name), sizeof(((ql_event *)0)->name)                                   \
    }
    FIELD(TEXT, mesh),    FIELD(INT, rank),    FIELD(INT, ranks),   FIELD(INT, meshes),
    FIELD(INT, faces),    FIELD(INT, step),    FIELD(INT, steps),   FIELD(INT, attempt),
    FIELD(INT, bytes),    FIELD(INT, code),    FIELD(REAL, loss),   FIELD(REAL, seconds),
    FIELD(TEXT, stage),   FIELD(TEXT, text),   FIELD(TEXT, host),   FIELD(REAL, seconds_per_step),
    FIELD(INT, pid),      FIELD(TEXT, place),  FIELD(INT, process), FIELD(TEXT, job),
    FIELD(TEXT, version), FIELD(REAL, busy_s), FIELD(REAL, comm_s), FIELD(REAL, io_s),
    FIELD(REAL, form_s),  FIELD(REAL, idle_s),
#undef FIELD
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

/* ---- writing ---- */

/* Where a log is, or shall be. */
static ql_status path_of_log(char path[QL_PATH_SIZE], const char *run_directory, const char *name, int64_t logs)
{
    char folder[QL_PATH_SIZE], part[QL_PATH_SIZE], file_name[80], digits[8], flat[QL_PATH_SIZE];
    if (snprintf(file_name, sizeof file_name, "%s.jsonl", name) >= (int)sizeof file_name)
        return QL_FAIL(INTERNAL, "name of an event log too long: %s", name);
    (void)snprintf(digits, sizeof digits, "%02x", (unsigned)(ql_hash_bytes(name, strlen(name), 0) & 0xff));
    QL_TRY(ql_path_join(folder, run_directory, "events"));
    QL_TRY(ql_path_join(flat, folder, file_name));
    QL_TRY(ql_path_join(part, folder, digits));
    QL_TRY(ql_path_join(path, part, file_name));
    if (ql_path_exists(path)) return QL_OK;
    if (logs > QL_RUNDIR_NARROW && !ql_path_exists(flat)) return ql_directory_make(part);
    memcpy(path, flat, strlen(flat) + 1);
    return QL_OK;
}

ql_status ql_events_open(ql_events *events, const char *run_directory, const char *name, int rank, int64_t logs)
{
    char path[QL_PATH_SIZE];
    *events = (ql_events){-1, rank};
    QL_TRY(path_of_log(path, run_directory, name, logs));
    events->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (events->file < 0) return QL_FAIL(IO, "%s: %s", path, strerror(errno));
    char last = '\n';
    off_t size = lseek(events->file, 0, SEEK_END);
    if (size > 0 && pread(events->file, &last, 1, size - 1) == 1 && last != '\n') /* torn by a crash */
        if (write(events->file, "\n", 1) != 1) return QL_FAIL(IO, "%s: %s", path, strerror(errno));
    return QL_OK;
}

void ql_events_close(ql_events *events)
{
    if (events == NULL || events->file < 0) return;
    (void)close(events->file);
    events->file = -1;
}

/* 2026-11-22T18:04:05.123Z */
static void print_time(char *out, size_t size, double seconds)
{
    char stamp[32];
    time_t whole = (time_t)seconds;
    struct tm utc;
    int milliseconds = (int)((seconds - (double)whole) * 1000);
    if (gmtime_r(&whole, &utc) == NULL || strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        stamp[0] = '\0';
    (void)snprintf(out, size, "%s.%03dZ", stamp, milliseconds);
}

static double time_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void fill_start(ql_event *event)
{
    char host[QL_HOST_SIZE], job[QL_JOB_SIZE];
    ql_place place = ql_process_place();
    (void)snprintf(event->host, sizeof event->host, "%.63s", ql_process_host(host));
    (void)snprintf(event->job, sizeof event->job, "%.63s", ql_process_job(job));
    (void)snprintf(event->place, sizeof event->place, "%08x-%08x", place.host, place.boot);
    event->pid = getpid();
    event->process = (int64_t)ql_process_start(getpid());
}

static void print_fields(ql_json *json, const ql_event *event)
{
    for (size_t k = 0; k < FIELD_COUNT; ++k) {
        const char *at = (const char *)event + fields[k].offset;
        if (fields[k].kind == FIELD_TEXT) {
            if (at[0] != '\0') ql_json_string(json, fields[k].name, at);
        } else if (fields[k].kind == FIELD_INT) {
            int64_t value = *(const int64_t *)(const void *)at;
            if (value != 0) ql_json_int(json, fields[k].name, value);
        } else {
            double value = *(const double *)(const void *)at;
            if (value != 0) ql_json_real(json, fields[k].name, value);
        }
    }
}

ql_status ql_events_write(ql_events *events, const ql_event *event)
{
    ql_json json = {0};
    ql_event filled = *event;
    char stamp[48];
    assert((unsigned)event->type < QL_EVENT_TYPE_COUNT);
    filled.rank = events->rank;
    if (event->type == QL_EVENT_start) fill_start(&filled);
    print_time(stamp, sizeof stamp, event->time > 0 ? event->time : time_now());
    ql_json_object(&json, NULL);
    ql_json_string(&json, "time", stamp);
    ql_json_string(&json, "event", ql_event_name(event->type));
    print_fields(&json, &filled);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) {
        json.text[json.used] = '\n'; /* in place of the final zero: one write, one line */
        size_t size = json.used + 1;
        ql_file_write_point();
        ssize_t written = write(events->file, json.text, size);
        if (written != (ssize_t)size)
            status = QL_FAIL(IO, "event log: %s", written < 0 ? strerror(errno) : "disk full");
    }
    ql_json_destroy(&json);
    return status;
}

/* ---- reading ---- */

typedef struct line_reader {
    ql_event event;
    bool has_time, has_type;
} line_reader;

static double parse_time(const char *text)
{
    struct tm utc = {0};
    double seconds;
    if (sscanf(text, "%d-%d-%dT%d:%d:%lfZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour, &utc.tm_min,
               &seconds) != 6 ||
        !(seconds >= 0 && seconds < 62))
        return 0;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    return (double)timegm(&utc) + seconds;
}

static bool find_type(const char *name, ql_event_type *type)
{
    for (int k = 0; k < QL_EVENT_TYPE_COUNT; ++k)
        if (strcmp(name, type_names[k]) == 0) {
            *type = (ql_event_type)k;
            return true;
        }
    return false;
}

static void take_member(void *context, const ql_json_member *member)
{
    line_reader *line = context;
    if (strcmp(member->key, "time") == 0) {
        line->event.time = parse_time(member->text);
        line->has_time = line->event.time > 0;
    } else if (strcmp(member->key, "event") == 0) {
        line->has_type = find_type(member->text, &line->event.type);
    }
    for (size_t k = 0; k < FIELD_COUNT; ++k) {
        char *at = (char *)&line->event + fields[k].offset;
        if (strcmp(member->key, fields[k].name) != 0) continue;
        if (fields[k].kind == FIELD_TEXT && member->is_text)
            (void)snprintf(at, fields[k].size, "%s", member->text);
        else if (fields[k].kind == FIELD_INT)
            *(int64_t *)(void *)at = ql_json_member_int(member, 0);
        else if (fields[k].kind == FIELD_REAL)
            *(double *)(void *)at = ql_json_member_real(member, 0);
    }
}

typedef struct log_walk {
    void (*visit)(void *context, const char *log, const ql_event *event);
    void *context;
    int64_t skipped;
} log_walk;

static ql_status read_log(log_walk *walk, const char *path, const char *log)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    FILE *file = fopen(path, "re");
    if (file == NULL) return QL_FAIL(IO, "%s: %s", path, strerror(errno));
    while ((length = getline(&text, &room, file)) > 0) {
        line_reader line = {0};
        if (text[0] == '\n') continue;
        bool whole = text[length - 1] == '\n' && ql_json_scan(text, (size_t)length, take_member, &line);
        if (whole && line.has_time && line.has_type)
            walk->visit(walk->context, log, &line.event);
        else
            ++walk->skipped;
    }
    free(text);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    return failed ? QL_FAIL(IO, "%s: cannot be read", path) : QL_OK;
}

/* ---- the logs of a run ---- */

typedef struct log_list {
    char (*paths)[QL_PATH_SIZE];
    size_t count, room;
} log_list;

static bool is_log(const char *name)
{
    size_t length = strlen(name);
    return length > 6 && name[0] != '.' && strcmp(name + length - 6, ".jsonl") == 0;
}

static bool is_part(const char *name) { return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2; }

static ql_status add_log(log_list *list, const char *folder, const char *name)
{
    if (list->count == list->room) {
        const size_t room = list->room > 0 ? 2 * list->room : 64;
        void *grown = ql_memory_resize(list->paths, room, sizeof *list->paths);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for a list of event logs");
        list->paths = grown;
        list->room = room;
    }
    return ql_path_join(list->paths[list->count++], folder, name);
}

/* Those in a folder and in its parts. */
static ql_status list_logs(log_list *list, const char *folder)
{
    DIR *listing = opendir(folder);
    if (listing == NULL) return QL_FAIL(IO, "%s: %s", folder, strerror(errno));
    ql_status status = QL_OK;
    for (struct dirent *entry; status == QL_OK && (entry = readdir(listing)) != NULL;) {
        char part[QL_PATH_SIZE];
        if (is_log(entry->d_name)) {
            status = add_log(list, folder, entry->d_name);
        } else if (is_part(entry->d_name)) {
            status = ql_path_join(part, folder, entry->d_name);
            if (status == QL_OK && ql_path_is_directory(part)) status = list_logs(list, part);
        }
    }
    (void)closedir(listing);
    return status;
}

static int compare_logs(const void *a, const void *b) { return strverscmp(ql_path_name(a), ql_path_name(b)); }

ql_status ql_events_read(const char *run_directory,
                         void (*visit)(void *context, const char *log, const ql_event *event), void *context,
                         int64_t *skipped)
{
    char folder[QL_PATH_SIZE];
    log_list list = {0};
    log_walk walk = {visit, context, 0};
    QL_TRY(ql_path_join(folder, run_directory, "events"));
    ql_status status = list_logs(&list, folder);
    if (list.count > 0) qsort(list.paths, list.count, sizeof *list.paths, compare_logs);
    for (size_t i = 0; status == QL_OK && i < list.count; ++i) {
        const char *name = ql_path_name(list.paths[i]);
        char log[64];
        (void)snprintf(log, sizeof log, "%.*s", (int)ql_path_stem_length(name), name);
        status = read_log(&walk, list.paths[i], log);
    }
    ql_free(list.paths);
    if (skipped != NULL) *skipped = walk.skipped;
    return status;
}
