/* Time: monotonic seconds for measuring, wall clock for stamps. */
#ifndef QL_BASE_CLOCK_H
#define QL_BASE_CLOCK_H

#include <stddef.h>

double ql_clock_s(void);     /* monotonic, seconds */
double ql_clock_lap(double *since); /* seconds from *since until now, which *since becomes */
double ql_clock_cpu_s(void); /* processor time of this process, seconds */

enum { QL_STAMP_SIZE = 32 };
const char *ql_clock_stamp(char out[QL_STAMP_SIZE]); /* UTC now, ISO 8601: 2026-11-22T18:04:05Z */

enum { QL_DURATION_SIZE = 32 };
const char *ql_clock_duration(char out[QL_DURATION_SIZE], double seconds); /* "1:02:03", "4:05", "12.3 s" */

#endif
