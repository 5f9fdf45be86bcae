/* Facts that every result carries: program, build, machine, process (see provenance.h). */
#include "base/build.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/process.h"
#include "base/provenance.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

static ql_status add_build(ql_provenance *provenance)
{
    const struct {
        const char *name, *value;
    } facts[] = {
        {"program", "quadloom"},
        {"version", ql_build.version},
        {"git", ql_build.git},
        {"compiler", ql_build.compiler},
        {"build_type", ql_build.build_type},
        {"build_flags", ql_build.flags},
        {"sanitizers", ql_build.sanitizers},
        {"mpi", ql_build.mpi},
        {"cuda", ql_build.cuda},
        {"libxsmm", ql_build.xsmm},
        {"hdf5", ql_build.hdf5},
        {"openblas", ql_build.openblas},
        {"libyaml", ql_build.libyaml},
        {"xxhash", ql_build.xxhash},
        {"hwloc", ql_build.hwloc},
    };
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; ++i)
        if (facts[i].value[0] != '\0') QL_TRY(ql_provenance_text(provenance, facts[i].name, facts[i].value));
    return QL_OK;
}

static ql_status add_machine(ql_provenance *provenance)
{
    char host[QL_HOST_SIZE], text[256];
    struct utsname system;
    ql_machine machine;
    ql_machine_look(&machine);
    QL_TRY(ql_provenance_text(provenance, "host", ql_process_host(host)));
    if (uname(&system) == 0) {
        (void)snprintf(text, sizeof text, "%.40s %.80s %.40s", system.sysname, system.release, system.machine);
        QL_TRY(ql_provenance_text(provenance, "system", text));
    }
    if (machine.cpu[0] != '\0') QL_TRY(ql_provenance_text(provenance, "cpu", machine.cpu));
    QL_TRY(ql_provenance_int(provenance, "cores", machine.cores));
    return ql_provenance_int(provenance, "memory_mb", machine.memory_bytes >> 20);
}

ql_status ql_provenance_collect(ql_provenance *provenance)
{
    char job[QL_JOB_SIZE], stamp[QL_STAMP_SIZE];
    QL_TRY(add_build(provenance));
    QL_TRY(add_machine(provenance));
    QL_TRY(ql_provenance_int(provenance, "pid", getpid()));
    if (ql_process_job(job)[0] != '\0') QL_TRY(ql_provenance_text(provenance, "job", job));
    return ql_provenance_text(provenance, "start", ql_clock_stamp(stamp));
}
