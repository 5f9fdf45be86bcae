/* The note of packed meshes (see packed.h). */
#include "store/packed.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAME = "packed.txt";

static int compare(const void *a, const void *b)
{
    return strcmp(((const ql_packed_mesh *)a)->id, ((const ql_packed_mesh *)b)->id);
}

/* One line "ID PATH"; others are skipped. */
static void take_line(ql_packed *packed, char *line)
{
    char *space = strchr(line, ' ');
    if (space == NULL || space == line || space - line >= QL_ID_SIZE || space[1] == '\0') return;
    ql_packed_mesh *mesh = &packed->meshes[packed->count++];
    memcpy(mesh->id, line, (size_t)(space - line));
    mesh->id[space - line] = '\0';
    mesh->path = space + 1;
}

static ql_status take_lines(ql_packed *packed, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; ++i) lines += packed->text[i] == '\n';
    QL_TRY(QL_TAKE(packed->meshes, lines));
    for (char *line = packed->text, *end; line != NULL; line = end) {
        end = strchr(line, '\n');
        if (end != NULL) *end++ = '\0';
        take_line(packed, line);
    }
    qsort(packed->meshes, (size_t)packed->count, sizeof *packed->meshes, compare);
    return QL_OK;
}

ql_status ql_packed_read(ql_packed *packed, const char *run_directory)
{
    char path[QL_PATH_SIZE];
    size_t size = 0;
    *packed = (ql_packed){0};
    QL_TRY(ql_path_join(path, run_directory, NAME));
    if (!ql_path_exists(path)) return QL_OK;
    QL_TRY(ql_file_read_whole(path, 0, &packed->text, &size));
    ql_status status = take_lines(packed, size);
    if (status != QL_OK) ql_packed_destroy(packed);
    return status;
}

const ql_packed_mesh *ql_packed_find(const ql_packed *packed, const char *id)
{
    ql_packed_mesh key = {.path = NULL};
    if (packed->count == 0) return NULL;
    (void)snprintf(key.id, sizeof key.id, "%s", id);
    return bsearch(&key, packed->meshes, (size_t)packed->count, sizeof key, compare);
}

void ql_packed_destroy(ql_packed *packed)
{
    if (packed == NULL) return;
    ql_free(packed->meshes);
    ql_free(packed->text);
    *packed = (ql_packed){0};
}

static int compare_texts(const void *a, const void *b) { return strcmp(a, b); }

ql_status ql_packed_add(const char *run_directory, const char *path, const char *ids, size_t stride, int64_t count)
{
    char note[QL_PATH_SIZE], *text = NULL;
    size_t size = 0;
    ql_packed before;
    QL_TRY(ql_path_join(note, run_directory, NAME));
    QL_TRY(ql_packed_read(&before, run_directory));
    FILE *out = open_memstream(&text, &size);
    for (int64_t i = 0; out != NULL && i < before.count; ++i)
        if (bsearch(before.meshes[i].id, ids, (size_t)count, stride, compare_texts) == NULL)
            (void)fprintf(out, "%s %s\n", before.meshes[i].id, before.meshes[i].path);
    for (int64_t i = 0; out != NULL && i < count; ++i) (void)fprintf(out, "%s %s\n", ids + (size_t)i * stride, path);
    ql_status status = out == NULL || fclose(out) != 0 ? QL_FAIL(NO_MEMORY, "no memory for %s", note) : QL_OK;
    if (status == QL_OK) status = ql_file_write_whole(note, text, size);
    free(text);
    ql_packed_destroy(&before);
    return status;
}
