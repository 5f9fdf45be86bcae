/* Time (see clock.h). */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) return 0;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double ql_clock_s(void) { return seconds_of(CLOCK_MONOTONIC); }

double ql_clock_lap(double *since)
{
    const double now = ql_clock_s(), spent = now - *since;
    *since = now;
    return spent;
}

double ql_clock_cpu_s(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

const char *ql_clock_stamp(char out[QL_STAMP_SIZE])
{
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) == NULL || strftime(out, QL_STAMP_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) out[0] = '\0';
    return out;
}

const char *ql_clock_duration(char out[QL_DURATION_SIZE], double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        (void)snprintf(out, QL_DURATION_SIZE, "?");
    } else if (seconds < 59.95) { /* or it would read "60.0 s" */
        (void)snprintf(out, QL_DURATION_SIZE, "%.1f s", seconds);
    } else {
        long whole = (long)(seconds + 0.5), hours = whole / 3600, minutes = whole / 60 % 60;
        if (hours > 0)
            (void)snprintf(out, QL_DURATION_SIZE, "%ld:%02ld:%02ld", hours, minutes, whole % 60);
        else
            (void)snprintf(out, QL_DURATION_SIZE, "%ld:%02ld", minutes, whole % 60);
    }
    return out;
}
