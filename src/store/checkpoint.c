/* Checkpoints (see checkpoint.h).
 *
 *   /            attributes format, format_version, step, steps, seconds, mesh_hash, options_hash, precision,
 * date /parameters  /moment1  /moment2   float32 or float64, contiguous /history     table /options
 * /provenance             attributes, for people */
#include "store/checkpoint.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/layout.h"
#include "store/h5.h"
#include "store/parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char FORMAT_NAME[] = "quadloom-checkpoint";
enum { FORMAT_VERSION = 1, HEAD_BYTES = 65536 };

static ql_status previous_path(char out[QL_PATH_SIZE], const char *path)
{
    int length = snprintf(out, QL_PATH_SIZE, "%s.previous", path);
    return length < QL_PATH_SIZE ? QL_OK : QL_FAIL(IO, "path too long: %.60s...", path);
}

/* ---- contents ---- */

static ql_status put_head(hid_t file, const ql_snapshot *snapshot, const ql_options *options)
{
    char stamp[QL_STAMP_SIZE];
    QL_TRY(ql_h5_put_text(file, "format", FORMAT_NAME));
    QL_TRY(ql_h5_put_int(file, "format_version", FORMAT_VERSION));
    QL_TRY(ql_h5_put_int(file, "step", snapshot->step));
    QL_TRY(ql_h5_put_int(file, "steps", options != NULL ? options->train.steps : 0));
    QL_TRY(ql_h5_put_real(file, "seconds", snapshot->seconds));
    QL_TRY(ql_h5_put_uint(file, "mesh_hash", snapshot->mesh_hash));
    QL_TRY(ql_h5_put_uint(file, "options_hash", snapshot->options_hash));
    QL_TRY(ql_h5_put_text(file, "precision", snapshot->state.type == QL_FLOAT64 ? "float64" : "float32"));
    return ql_h5_put_text(file, "date", ql_clock_stamp(stamp));
}

static ql_status put_arrays(hid_t file, const ql_snapshot *snapshot)
{
    const ql_engine_state *state = &snapshot->state;
    ql_h5_array array = {.type = state->type == QL_FLOAT64 ? QL_H5_F64 : QL_H5_F32,
                         .rows = QL_PARAMETER_COUNT,
                         .units = "1",
                         .storage = QL_H5_RAW};
    const struct {
        const char *name, *long_name;
        const void *data;
    } parts[] = {{"parameters", "parameters of both networks", state->parameters},
                 {"moment1", "Adam: running mean of the gradient", state->moment1},
                 {"moment2", "Adam: running mean of the squared gradient", state->moment2}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; ++k) {
        array.name = parts[k].name;
        array.long_name = parts[k].long_name;
        array.data = parts[k].data;
        QL_TRY(ql_h5_write_array(file, &array));
    }
    return ql_h5_write_table(file, "history", snapshot->history.values, snapshot->history.rows, QL_HISTORY_COLUMNS,
                             ql_history_column_name, ql_history_column_unit, "losses of the training so far",
                             QL_H5_RAW);
}

static ql_status put_all(hid_t file, const ql_snapshot *snapshot, const ql_options *options,
                         const ql_provenance *provenance)
{
    QL_TRY(put_head(file, snapshot, options));
    QL_TRY(put_arrays(file, snapshot));
    QL_TRY(ql_part_put_options(file, "options", "", options));
    hid_t group;
    ql_status status = ql_h5_group(file, "provenance", &group);
    if (status == QL_OK) status = ql_h5_put_facts(group, "", provenance);
    if (group >= 0) (void)H5Gclose(group);
    return status;
}

/* ---- reading ---- */

bool ql_checkpoint_exists(const char *path)
{
    char previous[QL_PATH_SIZE];
    return ql_path_exists(path) || (previous_path(previous, path) == QL_OK && ql_path_exists(previous));
}

static ql_status get_head(hid_t file, ql_checkpoint_head *head)
{
    char text[32] = "";
    int64_t version = 0;
    bool found = false, all = true;
    QL_TRY(ql_h5_get_text(file, "format", text, sizeof text, &found));
    if (!found || strcmp(text, FORMAT_NAME) != 0) return QL_FAIL(FORMAT, "is not a checkpoint of quadloom");
    QL_TRY(ql_h5_get_int(file, "format_version", &version, &found));
    if (version != FORMAT_VERSION)
        return QL_FAIL(FORMAT, "format version %lld, this program reads %d", (long long)version, (int)FORMAT_VERSION);
    QL_TRY(ql_h5_get_int(file, "step", &head->step, &found));
    all = all && found;
    QL_TRY(ql_h5_get_int(file, "steps", &head->steps, &found));
    QL_TRY(ql_h5_get_real(file, "seconds", &head->seconds, &found));
    all = all && found;
    QL_TRY(ql_h5_get_uint(file, "mesh_hash", &head->mesh_hash, &found));
    all = all && found;
    QL_TRY(ql_h5_get_uint(file, "options_hash", &head->options_hash, &found));
    all = all && found;
    QL_TRY(ql_h5_get_text(file, "precision", text, sizeof text, &found));
    if (!all || !found || head->step < 0) return QL_FAIL(FORMAT, "its attributes are incomplete");
    head->type = strcmp(text, "float64") == 0 ? QL_FLOAT64 : QL_FLOAT32;
    return QL_OK;
}

static ql_status get_all(hid_t file, ql_snapshot *snapshot)
{
    ql_checkpoint_head head = {0};
    QL_TRY(get_head(file, &head));
    QL_TRY(ql_snapshot_create(snapshot, head.type));
    snapshot->step = head.step;
    snapshot->seconds = head.seconds;
    snapshot->mesh_hash = head.mesh_hash;
    snapshot->options_hash = head.options_hash;
    ql_engine_state *state = &snapshot->state;
    ql_h5_type type = head.type == QL_FLOAT64 ? QL_H5_F64 : QL_H5_F32;
    QL_TRY(ql_h5_read_into(file, "/parameters", type, QL_PARAMETER_COUNT, 0, state->parameters));
    QL_TRY(ql_h5_read_into(file, "/moment1", type, QL_PARAMETER_COUNT, 0, state->moment1));
    QL_TRY(ql_h5_read_into(file, "/moment2", type, QL_PARAMETER_COUNT, 0, state->moment2));
    ql_history *history = &snapshot->history;
    QL_TRY(ql_h5_read_table(file, "/history", QL_HISTORY_COLUMNS, ql_history_column_name, &history->rows,
                            &history->values));
    history->capacity = history->rows;
    return QL_OK;
}

static ql_status read_one(ql_snapshot *snapshot, const char *path)
{
    hid_t file;
    *snapshot = (ql_snapshot){0};
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = QL_CHAIN(get_all(file, snapshot), "%s", path);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    if (status != QL_OK) ql_snapshot_destroy(snapshot);
    return status;
}

ql_status ql_checkpoint_read(ql_snapshot *snapshot, const char *path, ql_checkpoint_origin *origin)
{
    ql_checkpoint_origin unused;
    if (origin == NULL) origin = &unused;
    *origin = (ql_checkpoint_origin){0};
    ql_status status = read_one(snapshot, path);
    if (status == QL_OK || status == QL_STATUS_NO_MEMORY) return status;
    char previous[QL_PATH_SIZE];
    QL_TRY(previous_path(previous, path));
    if (!ql_path_exists(previous)) return status;
    (void)snprintf(origin->problem, sizeof origin->problem, "%s", ql_error_text());
    origin->previous = true;
    status = read_one(snapshot, previous);
    return QL_CHAIN(status, "%s; and the one before", origin->problem);
}

ql_status ql_checkpoint_read_head(ql_checkpoint_head *head, const char *path)
{
    hid_t file;
    char previous[QL_PATH_SIZE];
    *head = (ql_checkpoint_head){0};
    QL_TRY(previous_path(previous, path));
    ql_h5_lock();
    ql_status status = ql_h5_open(ql_path_exists(path) ? path : previous, &file);
    if (status == QL_OK) {
        status = QL_CHAIN(get_head(file, head), "%s", path);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    return status;
}

/* ---- replacing ---- */

static void count_problem(void *context, const char *problem)
{
    (void)problem;
    ++*(int *)context;
}

/* Whether PATH is there and every byte of it right. */
static bool is_whole(const char *path)
{
    hid_t file;
    ql_checkpoint_head head;
    int problems = 0;
    if (!ql_path_exists(path)) return false;
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = get_head(file, &head);
        if (status == QL_OK) status = ql_h5_check_all(file, count_problem, &problems);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    return status == QL_OK && problems == 0;
}

/* PATH becomes PATH.previous too (a second name of the same file), so that there is never a moment without
 * it. */
static ql_status keep_previous(const char *path)
{
    char previous[QL_PATH_SIZE], temporary[QL_PATH_SIZE];
    if (!is_whole(path)) return QL_OK; /* a damaged one must not push out a good one */
    QL_TRY(previous_path(previous, path));
    QL_TRY(ql_file_temporary_name(temporary, previous));
    if (link(path, temporary) != 0) { /* file systems without hard links: a moment with the previous one alone */
        ql_file_write_point();
        (void)rename(path, previous);
        return QL_OK;
    }
    ql_file_write_point();
    (void)rename(temporary, previous);
    (void)unlink(temporary); /* a rename between two names of one file does nothing */
    ql_file_write_point();
    return QL_OK;
}

ql_status ql_checkpoint_write(const char *path, const ql_snapshot *snapshot, const ql_options *options,
                              const ql_provenance *provenance)
{
    size_t size = snapshot->state.type == QL_FLOAT64 ? sizeof(double) : sizeof(float);
    size_t expected = 3 * size * QL_PARAMETER_COUNT + HEAD_BYTES +
                      (size_t)snapshot->history.rows * QL_HISTORY_COLUMNS * sizeof(double);
    ql_h5_image image;
    ql_h5_lock();
    ql_status status = ql_h5_image_create(&image, expected);
    if (status == QL_OK) status = put_all(image.file, snapshot, options, provenance);
    if (status == QL_OK) status = ql_h5_image_close(&image);
    ql_h5_unlock();
    if (status == QL_OK) status = keep_previous(path);
    if (status == QL_OK) status = ql_file_write_whole(path, image.bytes, image.size);
    ql_h5_lock();
    ql_h5_image_destroy(&image);
    ql_h5_unlock();
    return QL_CHAIN(status, "checkpoint at step %lld", (long long)snapshot->step);
}

ql_status ql_checkpoint_remove(const char *path)
{
    char previous[QL_PATH_SIZE];
    QL_TRY(previous_path(previous, path));
    QL_TRY(ql_file_remove(previous));
    return ql_file_remove(path);
}
