/* The run directory: folders, paths, names (see rundir.h). */
#include "store/rundir.h"

#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 100 };

static const char *const folders[] = {"meshes", "quads", "checkpoints", "events", "failures"};
enum { FOLDER_COUNT = sizeof folders / sizeof *folders };

ql_status ql_rundir_create(const char *run_directory)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_directory_make(run_directory));
    QL_TRY(ql_directory_sweep_temporaries(run_directory));
    for (int k = 0; k < FOLDER_COUNT; ++k) {
        QL_TRY(ql_path_join(path, run_directory, folders[k]));
        QL_TRY(ql_directory_make(path));
        QL_TRY(ql_directory_sweep_temporaries(path));
    }
    return QL_OK;
}

ql_status ql_rundir_check(const char *run_directory)
{
    char path[QL_PATH_SIZE];
    if (!ql_path_exists(run_directory)) return QL_FAIL(IO, "%s: no such directory", run_directory);
    if (!ql_path_is_directory(run_directory)) return QL_FAIL(IO, "%s: is not a directory", run_directory);
    for (int k = 0; k < FOLDER_COUNT; ++k) {
        QL_TRY(ql_path_join(path, run_directory, folders[k]));
        if (!ql_path_is_directory(path))
            return QL_FAIL(IO, "%s: is not a run directory of quadloom (it has no %s/)", run_directory, folders[k]);
    }
    return QL_OK;
}

ql_status ql_rundir_path(char out[QL_PATH_SIZE], const char *run_directory, ql_run_part part, const char *id)
{
    static const struct {
        const char *before, *after;
    } names[] = {[QL_RUN_OPTIONS] = {"run.yaml", NULL},
                 [QL_RUN_SUMMARY] = {"summary.csv", NULL},
                 [QL_RUN_INDEX] = {"index.h5", NULL},
                 [QL_RUN_RESULT] = {"meshes/", ".h5"},
                 [QL_RUN_QUADS] = {"quads/", ".obj"},
                 [QL_RUN_CHECKPOINT] = {"checkpoints/", ".h5"},
                 [QL_RUN_ATTEMPTS] = {"checkpoints/", ".attempts"},
                 [QL_RUN_FAILURE] = {"failures/", ".json"}};
    char name[QL_ID_SIZE + 32];
    assert(names[part].after == NULL || id != NULL);
    if (names[part].after == NULL) return ql_path_join(out, run_directory, names[part].before);
    (void)snprintf(name, sizeof name, "%s%.*s%s", names[part].before, QL_ID_SIZE - 1, id, names[part].after);
    return ql_path_join(out, run_directory, name);
}

/* Length of the well-formed UTF-8 character of more than one byte at `text`, else 0 (Unicode 15, table 3-7). */
static size_t wide_character(const unsigned char *text)
{
    unsigned char lead = text[0], low = 0x80, high = 0xbf;
    size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                    : lead >= 0xe0 && lead <= 0xef ? 3
                    : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                   : 0;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (size_t k = 1; k < length; ++k) {
        if (text[k] < low || text[k] > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

static bool is_plain(unsigned char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_') return true;
    return !first && (c == '.' || c == '-'); /* no hidden files, nothing that looks like an option */
}

void ql_rundir_id_of(char id[QL_ID_SIZE], const char *name, uint64_t hash)
{
    size_t used = 0;
    const unsigned char *c = (const unsigned char *)name;
    while (*c != '\0' && used < LONGEST_NAME) {
        size_t wide = wide_character(c);
        if (wide > 0 && used + wide > LONGEST_NAME) break;
        if (wide > 0)
            memcpy(id + used, c, wide);
        else
            id[used] = is_plain(*c, used == 0) ? (char)*c : '_';
        used += wide > 0 ? wide : 1;
        c += wide > 0 ? wide : 1;
    }
    (void)snprintf(id + used, QL_ID_SIZE - used, "%s-%08x", used == 0 ? "mesh" : "", (unsigned)(hash >> 32));
}

void ql_rundir_id(char id[QL_ID_SIZE], const ql_mesh *mesh) { ql_rundir_id_of(id, mesh->name, mesh->hash); }

ql_status ql_rundir_write_options(const char *run_directory, const ql_options *options)
{
    char path[QL_PATH_SIZE], *text = NULL;
    size_t size = 0;
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_OPTIONS, NULL));
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) return QL_FAIL(NO_MEMORY, "no memory for %s", path);
    ql_status status = ql_options_write_yaml(options, true, out);
    if (fclose(out) != 0 && status == QL_OK) status = QL_FAIL(NO_MEMORY, "no memory for %s", path);
    if (status == QL_OK) status = ql_file_write_whole(path, text, size);
    free(text);
    return status;
}
