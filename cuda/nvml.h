/* Energy of a GPU by NVIDIA's management library, which comes with the driver and is opened at run time; its few functions
 * used here are declared here (their interface is stable since 2012; the energy counter came with driver 384). */
#ifndef QL_CUDA_NVML_H
#define QL_CUDA_NVML_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ql_meter {
    void *library, *device;
    bool counts;           /* the GPU has a counter; else power is sampled and summed */
    double begin_j, sum_j; /* counter at open; sum of the samples */
    double last_w, last_s; /* last sample: power, and when */
    double open_s;
} ql_meter;

/* Opens the library (NULL: the driver's) and begins to count; bus_id as the CUDA runtime has it ("0000:1b:00.0"). Without
 * library, device or permission the meter stays closed and reads as unknown: no error, energy is a plus. */
void ql_meter_open(ql_meter *meter, const char *library, const char *bus_id, double now_s);
/* Where the GPU has no counter this must be called at least every few seconds (it samples at most ten times a second). */
void ql_meter_sample(ql_meter *meter, double now_s);
/* Joules of the whole GPU since open; < 0: unknown. */
double ql_meter_joules(ql_meter *meter, double now_s);
/* Mean power of the whole GPU since open; < 0: unknown. */
double ql_meter_watts(ql_meter *meter, double now_s);
void ql_meter_close(ql_meter *meter); /* also of zeros */

#ifdef __cplusplus
}
#endif

#endif
