/* Logging to standard error, one line each, with the rank in front when there is more than one.
 *
 * Levels have a meaning that readers can rely on:
 *   error    a mesh or the run is lost; never appears in a clean run
 *   warning  results are usable, but a person should look
 *   info     progress of the work, at a sane interval
 *   debug    for developers
 */
#ifndef QL_BASE_LOG_H
#define QL_BASE_LOG_H

typedef enum ql_log_level { QL_LOG_ERROR, QL_LOG_WARNING, QL_LOG_INFO, QL_LOG_DEBUG } ql_log_level;

/* Highest level shown (default info) and this process's place in the job. */
void ql_log_configure(ql_log_level level, int rank, int ranks);

void ql_log(ql_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A live progress line on a terminal: each call overwrites the one before; a log line in between keeps it intact.
 * NULL erases it. Does nothing when standard error is not a terminal. */
void ql_log_live(const char *line);

#define QL_ERROR(...) ql_log(QL_LOG_ERROR, __VA_ARGS__)
#define QL_WARNING(...) ql_log(QL_LOG_WARNING, __VA_ARGS__)
#define QL_INFO(...) ql_log(QL_LOG_INFO, __VA_ARGS__)
#define QL_DEBUG(...) ql_log(QL_LOG_DEBUG, __VA_ARGS__)

#endif
