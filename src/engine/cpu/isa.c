/* Choice of the instruction set (see isa.h). */
#include "engine/cpu/isa.h"

#include <stdlib.h>
#include <string.h>

extern const ql_cpu_isa ql_cpu_isa_table_baseline;
#ifdef QL_CPU_X86
extern const ql_cpu_isa ql_cpu_isa_table_avx2, ql_cpu_isa_table_avx512, ql_cpu_isa_table_avx512bf16;
#endif

enum { SETS = 4 };

static const ql_cpu_isa *brought_along;

void ql_cpu_isa_use(const ql_cpu_isa *isa) { brought_along = isa; }

/* Sets that this processor has, widest first; returns how many. */
static int usable(const ql_cpu_isa *found[SETS])
{
    int count = 0;
#ifdef QL_CPU_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw")) {
        if (__builtin_cpu_supports("avx512bf16")) found[count++] = &ql_cpu_isa_table_avx512bf16;
        found[count++] = &ql_cpu_isa_table_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[count++] = &ql_cpu_isa_table_avx2;
#endif
    found[count++] = &ql_cpu_isa_table_baseline;
    return count;
}

const ql_cpu_isa *ql_cpu_isa_find(void)
{
    const ql_cpu_isa *found[SETS];
    const char *wanted = getenv("QL_CPU_ISA");
    int count = usable(found);
    if (brought_along != NULL) return brought_along;
    for (int k = 0; wanted != NULL && k < count; ++k)
        if (strcmp(found[k]->name, wanted) == 0) return found[k];
    return found[0];
}

const char *ql_cpu_isa_widest(void)
{
    const ql_cpu_isa *found[SETS];
    (void)usable(found);
    return found[0]->name;
}
