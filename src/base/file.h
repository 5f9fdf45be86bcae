/* Files that a user could miss: written to a temporary name, synced, renamed, directory synced.
 * Also the few path helpers that the floors above need. */
#ifndef QL_BASE_FILE_H
#define QL_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { QL_PATH_SIZE = 4096 };

/* Joins directory and name; fails when it does not fit. */
ql_status ql_path_join(char out[QL_PATH_SIZE], const char *directory, const char *name);

/* Part after the last '/', and its length without the last extension. */
const char *ql_path_name(const char *path);
size_t ql_path_stem_length(const char *name);

/* mkdir -p; an existing directory is fine. */
ql_status ql_directory_make(const char *path);
bool ql_path_exists(const char *path);
bool ql_path_is_directory(const char *path);

/* A temporary name beside `path`, unique to host, process and call, so that two writers never share one. */
ql_status ql_file_temporary_name(char out[QL_PATH_SIZE], const char *path);

/* fsync of a closed file, rename to its final name, fsync of the directory. On failure the temporary file is
 * removed. */
ql_status ql_file_commit(const char *temporary, const char *path);

/* Writes `size` bytes as a whole file by the steps above. */
ql_status ql_file_write_whole(const char *path, const void *data, size_t size);

/* Reads a whole file (at most `limit` bytes, 0 = 1 TiB) into a new block with one zero byte behind it;
 * ql_free it. */
ql_status ql_file_read_whole(const char *path, size_t limit, char **data, size_t *size);

/* Removes a file if it is there. */
ql_status ql_file_remove(const char *path);

/* Removes temporary files that `ql_file_temporary_name` made in `directory` and whose process is gone. */
ql_status ql_directory_sweep_temporaries(const char *directory);

/* Test hook for crash injection: the process kills itself (SIGKILL) at the n-th write point from now; 0 =
 * off. Also read from the environment variable QL_TEST_CRASH_AT. A write point is each call below and each
 * step of a commit. */
void ql_file_crash_at(int64_t n);
void ql_file_write_point(void);

#endif
