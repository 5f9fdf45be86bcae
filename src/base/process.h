/* Who we are: host, process, job. Identities that tell two writers apart and a dead process from a living
 * one. */
#ifndef QL_BASE_PROCESS_H
#define QL_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QL_HOST_SIZE = 256, QL_JOB_SIZE = 128 };

/* Host name; "unknown" where the system does not tell. Returns `out`. */
const char *ql_process_host(char out[QL_HOST_SIZE]);

/* Where process numbers are valid (host name and process namespace) and which start of that machine this is;
 * hashes. */
typedef struct ql_place {
    uint32_t host, boot;
} ql_place;
ql_place ql_process_place(void);

/* Start time of a process here, in clock ticks since boot; 0 when there is none (or only a zombie). With the
 * number it identifies a process for ever. */
uint64_t ql_process_start(int64_t pid);

/* Whether the process `pid` here, started at `start`, still runs. */
bool ql_process_is_alive(int64_t pid, uint64_t start);

/* Number of the batch job, with array task and restart count where there are such ("4711", "4711_3",
 * "4711+r2"); "" outside a job. Knows Slurm, PBS, LSF, Grid Engine and Flux. Returns `out`. */
const char *ql_process_job(char out[QL_JOB_SIZE]);

/* Seconds until the scheduler ends our job (SLURM_JOB_END_TIME, seconds since 1970; Slurm 22.05 has none yet); negative when
 * that is past, 0 when it is not known or there is no limit. */
double ql_process_job_left_s(void);

#endif
