/* Status codes and the error text that travels with them.
 *
 * Every fallible function returns a ql_status. The place that notices an error calls QL_FAIL, which records the
 * first cause with file and line; callers on the way up may add context with QL_CHAIN, so that the user reads
 * "reading a.ply: face 812: index 9000 >= 4321". The text is kept per thread. Nothing below app/ prints or exits.
 */
#ifndef QL_BASE_STATUS_H
#define QL_BASE_STATUS_H

#include <stddef.h>

/* X(name, text for users) */
#define QL_STATUS_LIST(X)                                                                                              \
    X(OK, "no error")                                                                                                  \
    X(NO_MEMORY, "out of memory")                                                                                      \
    X(IO, "file or device could not be read or written")                                                               \
    X(FORMAT, "file is damaged or not of the expected format")                                                         \
    X(MESH, "mesh cannot be used")                                                                                     \
    X(USAGE, "wrong command line")                                                                                     \
    X(CONFIG, "wrong option or configuration")                                                                         \
    X(ENVIRONMENT, "the machine lacks what was asked for")                                                             \
    X(NUMERIC, "computation broke down")                                                                               \
    X(STOPPED, "stopped early on request")                                                                             \
    X(BUSY, "in use by another process")                                                                               \
    X(INTERNAL, "internal error, please report")

typedef enum ql_status {
#define QL_STATUS_ENUM(name, text) QL_STATUS_##name,
    QL_STATUS_LIST(QL_STATUS_ENUM)
#undef QL_STATUS_ENUM
        QL_STATUS_COUNT
} ql_status;

#define QL_OK QL_STATUS_OK

/* Name ("FORMAT") and user text of a status; never NULL. */
const char *ql_status_name(ql_status status);
const char *ql_status_text(ql_status status);

/* Records the first cause of an error in this thread and returns `status`. Replaces any older text. */
ql_status ql_error_set(ql_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the recorded text and returns `status` unchanged; does nothing for QL_OK. */
ql_status ql_error_chain(ql_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of the last error of this thread ("" when none), its place in the source ("file.c:12") and reset. */
const char *ql_error_text(void);
const char *ql_error_place(void);
void ql_error_clear(void);

#define QL_FAIL(code, ...) ql_error_set(QL_STATUS_##code, __FILE__, __LINE__, __VA_ARGS__)
#define QL_CHAIN(status, ...) ql_error_chain((status), __VA_ARGS__)

/* Returns from the calling function when `expression` is not QL_OK. */
#define QL_TRY(expression)                                                                                             \
    do {                                                                                                               \
        ql_status ql_try_status_ = (expression);                                                                       \
        if (ql_try_status_ != QL_OK) return ql_try_status_;                                                            \
    } while (0)

/* Assigns to an existing ql_status variable `s` and jumps to `label` when `expression` is not QL_OK. */
#define QL_TRY_GOTO(s, expression, label)                                                                              \
    do {                                                                                                               \
        if (((s) = (expression)) != QL_OK) goto label;                                                                 \
    } while (0)

#endif
