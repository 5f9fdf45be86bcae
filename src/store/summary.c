/* The row of a mesh: its columns, its place in a result file, and summary.csv (see summary.h). index.h5 is in
 * index.c. */
#include "store/summary.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/parts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ql_summary_column columns[] = {
#define X(kind, name, unit, meaning) {#name, unit, meaning, QL_SUMMARY_KIND_##kind, offsetof(ql_summary, name)},
    QL_SUMMARY_COLUMNS(X)
#undef X
};

int ql_summary_column_count(void) { return (int)(sizeof columns / sizeof *columns); }

const ql_summary_column *ql_summary_column_at(int index)
{
    assert(index >= 0 && index < ql_summary_column_count());
    return &columns[index];
}

void ql_summary_init(ql_summary *row)
{
    memset(row, 0, sizeof *row);
    for (int c = 0; c < ql_summary_column_count(); ++c) {
        char *at = (char *)row + columns[c].offset;
        if (columns[c].kind == QL_SUMMARY_KIND_INT) *(int64_t *)(void *)at = QL_SUMMARY_NONE;
        if (columns[c].kind == QL_SUMMARY_KIND_REAL) *(double *)(void *)at = NAN;
    }
}

/* ---- attributes of a result ---- */

ql_status ql_part_put_options(hid_t file, const char *group_name, const char *prefix, const ql_options *options)
{
    char name[128], value[256];
    hid_t group = -1;
    ql_status status = QL_OK;
    if (ql_h5_has(file, group_name))
        group = H5Gopen2(file, group_name, H5P_DEFAULT);
    else
        status = ql_h5_group(file, group_name, &group);
    for (int i = 0; options != NULL && status == QL_OK && i < ql_option_count(); ++i) {
        (void)snprintf(name, sizeof name, "%s%s", prefix, ql_option_at(i)->name);
        status = ql_h5_put_text(group, name, ql_options_get(options, i, value, sizeof value));
    }
    if (group >= 0) (void)H5Gclose(group);
    return status;
}

ql_status ql_part_put_summary(hid_t object, const ql_summary *row)
{
    for (int c = 0; c < ql_summary_column_count(); ++c) {
        const char *at = (const char *)row + columns[c].offset;
        switch (columns[c].kind) {
        case QL_SUMMARY_KIND_TEXT:
            if (at[0] != '\0') QL_TRY(ql_h5_put_text(object, columns[c].name, at));
            break;
        case QL_SUMMARY_KIND_INT: {
            int64_t value = *(const int64_t *)(const void *)at;
            if (value != QL_SUMMARY_NONE) QL_TRY(ql_h5_put_int(object, columns[c].name, value));
            break;
        }
        case QL_SUMMARY_KIND_REAL: {
            double value = *(const double *)(const void *)at;
            if (!isnan(value)) QL_TRY(ql_h5_put_real(object, columns[c].name, value));
            break;
        }
        }
    }
    return QL_OK;
}

ql_status ql_part_get_summary(hid_t object, ql_summary *row)
{
    bool found;
    ql_summary_init(row);
    for (int c = 0; c < ql_summary_column_count(); ++c) {
        char *at = (char *)row + columns[c].offset;
        switch (columns[c].kind) {
        case QL_SUMMARY_KIND_TEXT: QL_TRY(ql_h5_get_text(object, columns[c].name, at, QL_SUMMARY_TEXT, &found)); break;
        case QL_SUMMARY_KIND_INT: QL_TRY(ql_h5_get_int(object, columns[c].name, (int64_t *)(void *)at, &found)); break;
        case QL_SUMMARY_KIND_REAL: QL_TRY(ql_h5_get_real(object, columns[c].name, (double *)(void *)at, &found)); break;
        }
    }
    return QL_OK;
}

ql_status ql_summary_read(ql_summary *row, const char *path)
{
    hid_t file;
    ql_summary_init(row);
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        char format[32] = "";
        bool found;
        status = ql_h5_get_text(file, "format", format, sizeof format, &found);
        if (status == QL_OK && strcmp(format, "quadloom-result") != 0)
            status = QL_FAIL(FORMAT, "is not a result of quadloom");
        if (status == QL_OK) status = ql_part_get_summary(file, row);
        (void)H5Fclose(file);
        status = QL_CHAIN(status, "%s", path);
    }
    ql_h5_unlock();
    return status;
}

/* ---- summary.csv ---- */

/* RFC 4180: quoted when it holds a comma, a quote or a line break. */
static void print_text(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; ++text) {
        if (*text == '"') (void)fputc('"', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void print_cell(FILE *out, const ql_summary *row, const ql_summary_column *column)
{
    const char *at = (const char *)row + column->offset;
    char number[QL_REAL_SIZE];
    if (column->kind == QL_SUMMARY_KIND_TEXT) {
        print_text(out, at);
    } else if (column->kind == QL_SUMMARY_KIND_INT) {
        int64_t value = *(const int64_t *)(const void *)at;
        if (value != QL_SUMMARY_NONE) (void)fprintf(out, "%lld", (long long)value);
    } else {
        double value = *(const double *)(const void *)at;
        if (!isnan(value)) (void)fputs(ql_text_from_real(number, value), out);
    }
}

ql_status ql_summary_write_csv(const char *path, const ql_summary *rows, int64_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) return QL_FAIL(NO_MEMORY, "no memory for %s", path);
    int width = ql_summary_column_count();
    for (int c = 0; c < width; ++c) (void)fprintf(out, "%s%s", columns[c].name, c + 1 < width ? "," : "\r\n");
    for (int64_t i = 0; i < count; ++i)
        for (int c = 0; c < width; ++c) {
            print_cell(out, &rows[i], &columns[c]);
            (void)fputs(c + 1 < width ? "," : "\r\n", out);
        }
    bool failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    ql_status status = failed ? QL_FAIL(NO_MEMORY, "no memory for %s", path) : ql_file_write_whole(path, text, size);
    free(text);
    return status;
}
