/* Checks an engine, and our own tables, against a golden file. */
#ifndef QL_GOLDEN_CHECK_H
#define QL_GOLDEN_CHECK_H

#include "comm/comm.h"
#include "golden/golden_file.h"

typedef struct ql_golden_line {
    const char *subject; /* "tables", or the engine's name */
    char quantity[40];
    double error, tolerance; /* relative L2 error; relative for a scalar */
} ql_golden_line;

enum { QL_GOLDEN_LINES = 96 };

typedef struct ql_golden_report {
    int count, failed;
    ql_golden_line line[QL_GOLDEN_LINES];
} ql_golden_report;

/* Adds the lines of the tables built from mesh/ by our own code. */
ql_status ql_golden_check_tables(ql_golden_report *report, const ql_golden *golden);

/* Adds the lines of an engine fed with the stored tables, parameters and points: outputs, loss terms, gradient, two Adam steps.
 * Collective over `group` (NULL: alone). */
ql_status ql_golden_check_engine(ql_golden_report *report, const ql_golden *golden, const ql_engine_class *engine,
                                 const ql_engine_options *options, ql_comm *group, bool deterministic);

/* Adds lines that compare derivatives with central differences (engine ref): gradient and Hessian of the distance field,
 * parameter gradient along random directions. */
ql_status ql_golden_check_differences(ql_golden_report *report, const ql_golden *golden);

#endif
