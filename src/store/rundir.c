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

/* Folders that a wide run divides: all but events. */
static const char *const divided[] = {"meshes", "quads", "checkpoints", "failures"};
enum { DIVIDED_COUNT = sizeof divided / sizeof *divided, PARTS = 256 };

static bool is_wide(const char *run_directory)
{
    char path[QL_PATH_SIZE];
    bool wide = ql_path_join(path, run_directory, "meshes/00") == QL_OK && ql_path_is_directory(path);
    ql_error_clear();
    return wide;
}

static ql_status make_folder(const char *run_directory, const char *name)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_path_join(path, run_directory, name));
    QL_TRY(ql_directory_make(path));
    return ql_directory_sweep_temporaries(path);
}

/* meshes/00, which says that all are there, comes last. */
static ql_status make_parts(const char *run_directory)
{
    for (int k = DIVIDED_COUNT - 1; k >= 0; --k)
        for (int part = PARTS - 1; part >= 0; --part) {
            char name[32];
            (void)snprintf(name, sizeof name, "%s/%02x", divided[k], (unsigned)part);
            QL_TRY(make_folder(run_directory, name));
        }
    return QL_OK;
}

ql_status ql_rundir_create(const char *run_directory)
{
    QL_TRY(ql_directory_make(run_directory));
    QL_TRY(ql_directory_sweep_temporaries(run_directory));
    for (int k = 0; k < FOLDER_COUNT; ++k) QL_TRY(make_folder(run_directory, folders[k]));
    return is_wide(run_directory) ? make_parts(run_directory) : QL_OK;
}

ql_status ql_rundir_widen(const char *run_directory)
{
    return is_wide(run_directory) ? QL_OK : make_parts(run_directory);
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

/* The two digits of an id that name its folder: those behind its last '-' (the id of a piece of work may have a suffix). */
static const char *digits_of(const char *id)
{
    const char *dash = strrchr(id, '-');
    bool found = dash != NULL && dash[1] != '\0' && strspn(dash + 1, "0123456789abcdef") >= 2;
    return found ? dash + 1 : "00";
}

/* FOLDER/ID + ending; in a wide run FOLDER/3f/ID + ending unless it lies in the old place. */
static ql_status path_of(char out[QL_PATH_SIZE], const char *run_directory, const char *folder, const char *id,
                         const char *ending)
{
    char name[QL_ID_SIZE + 64], flat[QL_PATH_SIZE];
    (void)snprintf(name, sizeof name, "%.16s/%.*s%.32s", folder, QL_ID_SIZE - 1, id, ending);
    QL_TRY(ql_path_join(flat, run_directory, name));
    if (is_wide(run_directory)) {
        (void)snprintf(name, sizeof name, "%.16s/%.2s/%.*s%.32s", folder, digits_of(id), QL_ID_SIZE - 1, id, ending);
        QL_TRY(ql_path_join(out, run_directory, name));
        if (ql_path_exists(out) || !ql_path_exists(flat)) return QL_OK;
    }
    memcpy(out, flat, strlen(flat) + 1);
    return QL_OK;
}

ql_status ql_rundir_path(char out[QL_PATH_SIZE], const char *run_directory, ql_run_part part, const char *id)
{
    static const struct {
        const char *folder, *ending;
    } names[] = {[QL_RUN_OPTIONS] = {"run.yaml", NULL},
                 [QL_RUN_SUMMARY] = {"summary.csv", NULL},
                 [QL_RUN_INDEX] = {"index.h5", NULL},
                 [QL_RUN_RESULT] = {"meshes", ".h5"},
                 [QL_RUN_QUADS] = {"quads", ".obj"},
                 [QL_RUN_CHECKPOINT] = {"checkpoints", ".h5"},
                 [QL_RUN_ATTEMPTS] = {"checkpoints", ".attempts"},
                 [QL_RUN_FAILURE] = {"failures", ".json"}};
    assert(names[part].ending == NULL || id != NULL);
    if (names[part].ending == NULL) return ql_path_join(out, run_directory, names[part].folder);
    return path_of(out, run_directory, names[part].folder, id, names[part].ending);
}

ql_status ql_rundir_side_path(char out[QL_PATH_SIZE], const char *run_directory, const char *id, const char *suffix)
{
    char ending[32];
    (void)snprintf(ending, sizeof ending, ".%.28s", suffix);
    return path_of(out, run_directory, "checkpoints", id, ending);
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
