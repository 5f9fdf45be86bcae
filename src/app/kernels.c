/* Kernels in use and what narrows them (see kernels.h). */
#include "app/kernels.h"

#include "base/machine.h"
#include "engine/cpu/isa.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By their names (x86, version 0.3.x). */
int ql_blas_kernel_bits(void)
{
    static const struct {
        const char *names;
        int bits;
    } widths[] = {
        {" SkylakeX Cooperlake SapphireRapids ", 512},
        {" Haswell Zen Excavator Sandybridge Bulldozer Piledriver Steamroller ", 256},
        {" Prescott Katmai Coppermine Northwood Core2 Penryn Dunnington Atom Nano Nehalem Athlon Opteron "
         "Opteron_SSE3 Barcelona Bobcat ",
         128},
    };
    char word[64];
    (void)snprintf(word, sizeof word, " %s ", openblas_get_corename());
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; ++i)
        if (strstr(widths[i].names, word) != NULL) return widths[i].bits;
    return 0;
}

void ql_kernels_look(ql_kernel_advice *advice)
{
    ql_machine machine;
    const char *kernels = ql_cpu_isa_find()->name, *widest = ql_cpu_isa_widest(), *pinned = getenv("OPENBLAS_CORETYPE"),
               *core = openblas_get_corename();
    const int bits = ql_blas_kernel_bits();
    ql_machine_look(&machine);
    *advice = (ql_kernel_advice){0};
    if (strcmp(kernels, widest) != 0)
        (void)snprintf(advice->line[advice->count++], QL_KERNEL_LINE,
                       "engine cpu uses its %s kernels because QL_CPU_ISA asks for them; this processor runs %s",
                       kernels, widest);
    if (bits == 0 || bits >= machine.vector_bits) return;
    char *line = advice->line[advice->count++];
    if (pinned != NULL)
        (void)snprintf(line, QL_KERNEL_LINE,
                       "OpenBLAS uses its %s kernels (%d bit vectors) because OPENBLAS_CORETYPE=%.40s is set; this "
                       "processor has %d bit vectors: unset it",
                       core, bits, pinned, machine.vector_bits);
    else
        (void)snprintf(
            line, QL_KERNEL_LINE,
            "OpenBLAS uses its %s kernels (%d bit vectors), the processor has %d bit vectors: a newer OpenBLAS "
            "may know this processor; OPENBLAS_CORETYPE=SkylakeX forces wide kernels",
            core, bits, machine.vector_bits);
}

void ql_kernels_json(ql_json *json)
{
    ql_kernel_advice advice;
    ql_kernels_look(&advice);
    ql_json_array(json, "kernel_advice");
    for (int k = 0; k < advice.count; ++k) ql_json_string(json, NULL, advice.line[k]);
    ql_json_close_array(json);
}
