/* Where a result comes from: a list of named facts (options, versions, device, job, times). Collected by the
 * floors above, stored as the attributes of /provenance. Names are unique; setting one again replaces it. */
#ifndef QL_BASE_PROVENANCE_H
#define QL_BASE_PROVENANCE_H

#include "base/status.h"

#include <stdint.h>

typedef enum ql_fact_type { QL_FACT_TEXT, QL_FACT_INT, QL_FACT_REAL } ql_fact_type;

typedef struct ql_fact {
    char *name;
    ql_fact_type type;
    char *text; /* QL_FACT_TEXT, else NULL */
    int64_t integer;
    double real;
} ql_fact;

typedef struct ql_provenance {
    int32_t count, capacity;
    ql_fact *facts;
} ql_provenance;

/* An empty list is all zeros. Names and texts are copied. */
ql_status ql_provenance_text(ql_provenance *provenance, const char *name, const char *value);
ql_status ql_provenance_int(ql_provenance *provenance, const char *name, int64_t value);
ql_status ql_provenance_real(ql_provenance *provenance, const char *name, double value);

/* Adds what every result carries: program, version, git id, compiler, libraries, host, processor, job, time of the call. */
ql_status ql_provenance_collect(ql_provenance *provenance);

const ql_fact *ql_provenance_find(const ql_provenance *provenance, const char *name); /* NULL: not there */
void ql_provenance_destroy(ql_provenance *provenance);                                /* NULL-safe */

#endif
