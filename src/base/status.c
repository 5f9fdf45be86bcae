/* Status texts and the per-thread error text (see status.h). */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { QL_ERROR_TEXT_SIZE = 2048 };

static _Thread_local char error_text[QL_ERROR_TEXT_SIZE];
static _Thread_local char error_place[160];

static const char *const status_names[QL_STATUS_COUNT] = {
#define X(name, text) #name,
    QL_STATUS_LIST(X)
#undef X
};

static const char *const status_texts[QL_STATUS_COUNT] = {
#define X(name, text) text,
    QL_STATUS_LIST(X)
#undef X
};

const char *ql_status_name(ql_status status)
{
    return (unsigned)status < QL_STATUS_COUNT ? status_names[status] : "UNKNOWN";
}

const char *ql_status_text(ql_status status)
{
    return (unsigned)status < QL_STATUS_COUNT ? status_texts[status] : "unknown status";
}

ql_status ql_error_set(ql_status status, const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error_text, sizeof error_text, format, arguments);
    va_end(arguments);
    const char *slash = strrchr(file, '/');
    (void)snprintf(error_place, sizeof error_place, "%s:%d", slash != NULL ? slash + 1 : file, line);
    return status;
}

ql_status ql_error_chain(ql_status status, const char *format, ...)
{
    if (status == QL_OK) return status;
    char chained[QL_ERROR_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(chained, sizeof chained, format, arguments);
    va_end(arguments);
    if (used < 0) return status;
    size_t at = (size_t)used < sizeof chained ? (size_t)used : sizeof chained - 1;
    (void)snprintf(chained + at, sizeof chained - at, ": %.*s", (int)(sizeof chained - at) - 3, error_text);
    memcpy(error_text, chained, sizeof error_text);
    return status;
}

const char *ql_error_text(void) { return error_text; }

const char *ql_error_place(void) { return error_place; }

void ql_error_clear(void)
{
    error_text[0] = '\0';
    error_place[0] = '\0';
}
