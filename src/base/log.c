/* Log lines and the live progress line (see log.h). A line is composed first and written by one call, so lines of
 * several threads or ranks do not mix. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    ql_log_level level;
    int rank, ranks;
    char live[256];
    pthread_mutex_t mutex;
} state = {QL_LOG_INFO, 0, 1, "", PTHREAD_MUTEX_INITIALIZER};

void ql_log_configure(ql_log_level level, int rank, int ranks)
{
    state.level = level;
    state.rank = rank;
    state.ranks = ranks;
}

static void write_out(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(STDERR_FILENO, text, left);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return; /* nowhere left to complain */
        text += written;
        left -= (size_t)written;
    }
}

static void write_line(const char *line)
{
    char out[2600];
    (void)pthread_mutex_lock(&state.mutex);
    if (state.live[0] != '\0')
        (void)snprintf(out, sizeof out, "\r\033[K%s\n%s", line, state.live);
    else
        (void)snprintf(out, sizeof out, "%s\n", line);
    write_out(out);
    (void)pthread_mutex_unlock(&state.mutex);
}

void ql_log(ql_log_level level, const char *format, ...)
{
    static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
    if (level > state.level) return;
    char line[2300];
    int at = 0;
    if (state.ranks > 1) at = snprintf(line, sizeof line, "[%d] ", state.rank);
    at += snprintf(line + at, sizeof line - (size_t)at, "%s", words[level]);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + at, sizeof line - (size_t)at, format, arguments);
    va_end(arguments);
    write_line(line);
}

void ql_log_live(const char *line)
{
    if (isatty(STDERR_FILENO) != 1) return;
    char out[300];
    (void)pthread_mutex_lock(&state.mutex);
    (void)snprintf(state.live, sizeof state.live, "%s", line != NULL ? line : "");
    (void)snprintf(out, sizeof out, "\r\033[K%s", state.live);
    write_out(out);
    (void)pthread_mutex_unlock(&state.mutex);
}
