/* A growing list of named facts (see provenance.h). */
#include "base/provenance.h"

#include "base/memory.h"

#include <string.h>

const ql_fact *ql_provenance_find(const ql_provenance *provenance, const char *name)
{
    for (int32_t i = 0; i < provenance->count; ++i)
        if (strcmp(provenance->facts[i].name, name) == 0) return &provenance->facts[i];
    return NULL;
}

/* The fact of this name, made when it is not there; its old text is freed. */
static ql_status place(ql_provenance *provenance, const char *name, ql_fact **fact)
{
    *fact = (ql_fact *)ql_provenance_find(provenance, name);
    if (*fact != NULL) {
        ql_free((*fact)->text);
        (*fact)->text = NULL;
        return QL_OK;
    }
    if (provenance->count == provenance->capacity) {
        int32_t capacity = provenance->capacity > 0 ? 2 * provenance->capacity : 32;
        ql_fact *grown = ql_memory_resize(provenance->facts, (size_t)capacity, sizeof *grown);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %d facts of provenance", capacity);
        provenance->facts = grown;
        provenance->capacity = capacity;
    }
    char *copy = ql_memory_string(name);
    if (copy == NULL) return QL_FAIL(NO_MEMORY, "no memory for the fact %s", name);
    *fact = &provenance->facts[provenance->count++];
    **fact = (ql_fact){.name = copy};
    return QL_OK;
}

ql_status ql_provenance_text(ql_provenance *provenance, const char *name, const char *value)
{
    ql_fact *fact;
    char *copy = ql_memory_string(value);
    if (copy == NULL) return QL_FAIL(NO_MEMORY, "no memory for the fact %s", name);
    ql_status status = place(provenance, name, &fact);
    if (status != QL_OK) {
        ql_free(copy);
        return status;
    }
    fact->type = QL_FACT_TEXT;
    fact->text = copy;
    return QL_OK;
}

ql_status ql_provenance_int(ql_provenance *provenance, const char *name, int64_t value)
{
    ql_fact *fact;
    QL_TRY(place(provenance, name, &fact));
    fact->type = QL_FACT_INT;
    fact->integer = value;
    return QL_OK;
}

ql_status ql_provenance_real(ql_provenance *provenance, const char *name, double value)
{
    ql_fact *fact;
    QL_TRY(place(provenance, name, &fact));
    fact->type = QL_FACT_REAL;
    fact->real = value;
    return QL_OK;
}

void ql_provenance_destroy(ql_provenance *provenance)
{
    if (provenance == NULL) return;
    for (int32_t i = 0; i < provenance->count; ++i) {
        ql_free(provenance->facts[i].name);
        ql_free(provenance->facts[i].text);
    }
    ql_free(provenance->facts);
    *provenance = (ql_provenance){0};
}
