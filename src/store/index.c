/* index.h5 of a run: one dataset per column of the summary under /table, and /meshes/ID, an external link to
 * each finished mesh file. External links fail one by one, so a damaged or missing file spoils nothing else.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/parts.h"
#include "store/rundir.h"

#include <stdio.h>
#include <string.h>

static ql_status put_number_column(hid_t file, const char *name, const ql_summary_column *column,
                                   const ql_summary *rows, int64_t count)
{
    int64_t *values; /* or doubles: both have 8 bytes */
    QL_TRY(QL_TAKE(values, count));
    for (int64_t i = 0; i < count; ++i) memcpy(&values[i], (const char *)&rows[i] + column->offset, sizeof values[i]);
    ql_h5_array array = {.name = name,
                         .type = column->kind == QL_SUMMARY_KIND_INT ? QL_H5_I64 : QL_H5_F64,
                         .rows = count,
                         .data = values,
                         .units = column->unit,
                         .long_name = column->meaning,
                         .storage = QL_H5_PACKED};
    ql_status status = ql_h5_write_array(file, &array);
    ql_free(values);
    return status;
}

ql_status ql_part_put_table(hid_t file, const ql_summary *rows, int64_t count)
{
    for (int c = 0; c < ql_summary_column_count(); ++c) {
        const ql_summary_column *column = ql_summary_column_at(c);
        char name[64];
        (void)snprintf(name, sizeof name, "table/%s", column->name);
        if (column->kind == QL_SUMMARY_KIND_TEXT)
            QL_TRY(ql_h5_write_texts(file, name, (const char *)rows + column->offset, sizeof *rows, count, column->unit,
                                     column->meaning));
        else
            QL_TRY(put_number_column(file, name, column, rows, count));
    }
    return QL_OK;
}

/* Meshes that are only in a pack have no file to link to. */
static ql_status put_links(hid_t file, const char *run_directory, const ql_summary *rows, int64_t count,
                           int64_t *finished)
{
    hid_t group;
    *finished = 0;
    QL_TRY(ql_h5_group(file, "meshes", &group));
    ql_status status = QL_OK;
    for (int64_t i = 0; i < count && status == QL_OK; ++i) {
        char path[QL_PATH_SIZE];
        if (strcmp(rows[i].status, "finished") != 0) continue;
        ++*finished;
        status = ql_rundir_path(path, run_directory, QL_RUN_RESULT, rows[i].mesh);
        if (status != QL_OK || !ql_path_exists(path)) continue;
        const char *target = path + strlen(run_directory) + 1;
        if (H5Lcreate_external(target, "/", group, rows[i].mesh, H5P_DEFAULT, H5P_DEFAULT) < 0)
            status = QL_H5_FAIL(INTERNAL, "link to %s", target);
    }
    (void)H5Gclose(group);
    return status;
}

static ql_status put_index(hid_t file, const char *run_directory, const ql_summary *rows, int64_t count)
{
    char stamp[QL_STAMP_SIZE];
    int64_t finished, failed = 0;
    for (int64_t i = 0; i < count; ++i) failed += strcmp(rows[i].status, "failed") == 0;
    QL_TRY(ql_part_put_table(file, rows, count));
    QL_TRY(put_links(file, run_directory, rows, count, &finished));
    QL_TRY(ql_h5_put_text(file, "format", "quadloom-index"));
    QL_TRY(ql_h5_put_int(file, "format_version", 1));
    QL_TRY(ql_h5_put_int(file, "finished", finished));
    QL_TRY(ql_h5_put_int(file, "failed", failed));
    QL_TRY(ql_h5_put_int(file, "unfinished", count - finished - failed));
    return ql_h5_put_text(file, "date", ql_clock_stamp(stamp));
}

ql_status ql_summary_write_index(const char *path, const ql_summary *rows, int64_t count)
{
    ql_h5_image image;
    char run_directory[QL_PATH_SIZE];
    size_t length = strlen(path) - strlen(ql_path_name(path));
    (void)snprintf(run_directory, sizeof run_directory, "%.*s", length > 0 ? (int)length - 1 : 1,
                   length > 0 ? path : ".");
    ql_h5_lock();
    ql_status status = ql_h5_image_create(&image, 200000 + (size_t)count * 512);
    if (status == QL_OK) status = put_index(image.file, run_directory, rows, count);
    if (status == QL_OK) status = ql_h5_image_close(&image);
    ql_h5_unlock();
    if (status == QL_OK) status = ql_file_write_whole(path, image.bytes, image.size);
    ql_h5_lock();
    ql_h5_image_destroy(&image);
    ql_h5_unlock();
    return QL_CHAIN(status, "index of a run");
}
