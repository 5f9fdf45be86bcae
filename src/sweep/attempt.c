/* Counting deaths (see attempt.h). Beside the count of the store lie ID.begun, where and at which kernel count of
 * out-of-memory kills the last attempt began, and ID.crashed, the mark of a crash. */
#include "sweep/attempt.h"

#include "base/machine.h"
#include "base/memory.h"
#include "base/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INNOCENT_FACTOR = 15 };

/* A mesh takes roughly that much; large: a quarter of the memory that is left. */
static const double BYTES_PER_FACE = 0.1e6;

/* Processes that the kernel of this machine killed for lack of memory since it started; -1 = it does not tell. */
static int64_t memory_kills(void)
{
    char line[128];
    long long count = -1;
    FILE *file = fopen("/proc/vmstat", "re");
    if (file == NULL) return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "oom_kill %lld", &count) == 1) break;
    (void)fclose(file);
    return count;
}

static bool is_large(int64_t faces)
{
    ql_machine machine;
    ql_machine_look(&machine);
    return BYTES_PER_FACE * (double)faces > 0.25 * (double)ql_machine_memory_left(&machine);
}

/* Whether the last attempt may have died for lack of memory. */
static bool may_lack_memory(const char *begun, int64_t faces)
{
    char *text = NULL;
    size_t size = 0;
    uint32_t host = 0, boot = 0;
    long long kills = -1;
    if (ql_file_read_whole(begun, 256, &text, &size) != QL_OK) return is_large(faces);
    int read = sscanf(text, "%" SCNu32 " %" SCNu32 " %lld", &host, &boot, &kills);
    ql_free(text);
    ql_place here = ql_process_place();
    bool told = read == 3 && host == here.host && boot == here.boot && kills >= 0 && memory_kills() >= 0;
    return told ? memory_kills() > kills : is_large(faces);
}

static ql_status note_beginning(const char *begun)
{
    char text[96];
    ql_place here = ql_process_place();
    int length =
        snprintf(text, sizeof text, "%" PRIu32 " %" PRIu32 " %lld\n", here.host, here.boot, (long long)memory_kills());
    return ql_file_write_whole(begun, text, (size_t)length);
}

ql_status ql_attempt_begin(ql_attempt *attempt, const char *run_directory, const char *id, int64_t faces,
                           int64_t resume_step, int64_t max_attempts)
{
    char begun[QL_PATH_SIZE];
    *attempt = (ql_attempt){0};
    (void)snprintf(attempt->id, sizeof attempt->id, "%s", id);
    QL_TRY(ql_rundir_side_path(begun, run_directory, id, "begun"));
    QL_TRY(ql_rundir_side_path(attempt->mark, run_directory, id, "crashed"));
    QL_TRY(ql_attempts_begin(run_directory, id, resume_step, &attempt->number));
    int64_t deaths = attempt->number - 1;
    if (deaths > 0) {
        attempt->suspect = ql_path_exists(attempt->mark);
        bool memory = !attempt->suspect && may_lack_memory(begun, faces);
        int64_t limit = attempt->suspect || memory ? max_attempts : INNOCENT_FACTOR * max_attempts;
        if (deaths >= limit)
            return QL_FAIL(MESH, "the process %s %lld times while it worked on this mesh",
                           attempt->suspect ? "crashed"
                           : memory         ? "was killed, perhaps for lack of memory,"
                                            : "was killed",
                           (long long)deaths);
    }
    return note_beginning(begun);
}

static ql_status forget(const ql_attempt *attempt, const char *run_directory)
{
    char begun[QL_PATH_SIZE];
    QL_TRY(ql_attempts_settle(run_directory, attempt->id));
    QL_TRY(ql_rundir_side_path(begun, run_directory, attempt->id, "begun"));
    return ql_path_exists(begun) ? ql_file_remove(begun) : QL_OK;
}

ql_status ql_attempt_going(const ql_attempt *attempt, const char *run_directory)
{
    return attempt->suspect ? QL_OK : forget(attempt, run_directory);
}

ql_status ql_attempt_over(const ql_attempt *attempt, const char *run_directory)
{
    if (attempt->id[0] == '\0') return QL_OK;
    QL_TRY(forget(attempt, run_directory));
    return ql_path_exists(attempt->mark) ? ql_file_remove(attempt->mark) : QL_OK;
}
