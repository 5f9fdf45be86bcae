/* quadloom doctor: what was built in, what is in use here, what stands in the way. Facts go into one report, which is
 * printed as text or JSON; advice is what a person should change. */
#include "app/arguments.h"
#include "app/commands.h"
#include "app/kernels.h"
#include "base/binding.h"
#include "base/build.h"
#include "base/json.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/process.h"
#include "comm/comm.h"
#include "engine/cpu/isa.h"
#include "engine/engine.h"
#include "store/store.h"

#include <cblas.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FACT_MAX = 128, ADVICE_MAX = 16, TEXT = 512 };

typedef struct report {
    struct {
        const char *section; /* repeats while it lasts */
        char name[32];
        char value[TEXT];
    } facts[FACT_MAX];
    char advice[ADVICE_MAX][TEXT];
    int facts_count, advice_count;
    const char *section;
} report;

__attribute__((format(printf, 3, 4))) static void fact(report *r, const char *name, const char *format, ...)
{
    if (r->facts_count == FACT_MAX) return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(r->facts[r->facts_count].value, TEXT, format, arguments);
    va_end(arguments);
    r->facts[r->facts_count].section = r->section;
    (void)snprintf(r->facts[r->facts_count].name, sizeof r->facts[0].name, "%s", name);
    ++r->facts_count;
}

__attribute__((format(printf, 2, 3))) static void advise(report *r, const char *format, ...)
{
    if (r->advice_count == ADVICE_MAX) return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(r->advice[r->advice_count++], TEXT, format, arguments);
    va_end(arguments);
}

static const char *or_none(const char *text) { return text[0] != '\0' ? text : "not built in"; }

static void look_at_build(report *r)
{
    r->section = "build";
    fact(r, "version", "%s", ql_build.version);
    fact(r, "git", "%s", ql_build.git);
    fact(r, "compiler", "%s", ql_build.compiler);
    fact(r, "type", "%s", ql_build.build_type);
    fact(r, "flags", "%s", ql_build.flags);
    fact(r, "sanitizers", "%s", ql_build.sanitizers[0] != '\0' ? ql_build.sanitizers : "none");
    fact(r, "mpi", "%s", or_none(ql_build.mpi));
    fact(r, "hdf5", "%s (built with %s, %s)", ql_store_hdf5_version(), ql_build.hdf5, ql_build.hdf5_kind);
    fact(r, "libxsmm", "%s", or_none(ql_build.xsmm));
    fact(r, "libyaml", "%s", ql_build.libyaml);
    fact(r, "hwloc", "%s", ql_build.hwloc);
    if (strcmp(ql_build.build_type, "Release") != 0 && strcmp(ql_build.build_type, "RelWithDebInfo") != 0)
        advise(r, "build type %s is slow; for work configure with -DCMAKE_BUILD_TYPE=Release", ql_build.build_type);
    if (ql_build.sanitizers[0] != '\0')
        advise(r, "sanitizers (%s) make everything several times slower; this build is for tests", ql_build.sanitizers);
}

static void look_at_engines(report *r)
{
    r->section = "engines";
    for (const ql_engine_class *const *e = ql_engine_list(); *e != NULL; ++e) {
        if ((*e)->available() == QL_OK)
            fact(r, (*e)->name, "%s", (*e)->summary);
        else
            fact(r, (*e)->name, "unavailable: %s", ql_error_text());
    }
    fact(r, "cpu_kernels", "%s", ql_cpu_isa_find()->name);
    ql_error_clear();
}

static void look_at_blas(report *r, const ql_machine *machine)
{
    static const char *const models[] = {"one thread", "POSIX threads", "OpenMP"};
    const char *core = openblas_get_corename(), *pinned = getenv("OPENBLAS_CORETYPE");
    int parallel = openblas_get_parallel(), bits = ql_blas_kernel_bits();
    r->section = "blas";
    fact(r, "library", "%s", openblas_get_config());
    fact(r, "kernel", "%s", core);
    if (bits > 0) fact(r, "kernel_vector_bits", "%d", bits);
    if (machine->vector_bits > 0) fact(r, "processor_vector_bits", "%d", machine->vector_bits);
    fact(r, "pinned_by", "%s", pinned != NULL ? "OPENBLAS_CORETYPE" : "nothing");
    fact(r, "threads", "%s", models[parallel >= 0 && parallel <= 2 ? parallel : 0]);
    ql_kernel_advice advice;
    ql_kernels_look(&advice);
    for (int k = 0; k < advice.count; ++k) advise(r, "%s", advice.line[k]);
}

static void look_at_machine(report *r, const ql_machine *machine)
{
    char host[QL_HOST_SIZE], job[QL_JOB_SIZE];
    r->section = "machine";
    fact(r, "host", "%s", ql_process_host(host));
    fact(r, "job", "%s", ql_process_job(job)[0] != '\0' ? job : "none");
    fact(r, "processor", "%s", machine->cpu[0] != '\0' ? machine->cpu : "unknown");
    fact(r, "cores_allowed", "%d", machine->cores);
    fact(r, "threads_allowed", "%d", machine->threads);
    if (machine->cpu_quota > 0) fact(r, "cpu_quota", "%.2f", machine->cpu_quota);
    fact(r, "memory_mb", "%lld", (long long)(machine->memory_bytes >> 20));
    fact(r, "memory_available_mb", "%lld", (long long)(machine->available_bytes >> 20));
    if (machine->limit_bytes > 0) fact(r, "memory_limit_mb", "%lld", (long long)(machine->limit_bytes >> 20));
    fact(r, "memory_usable_mb", "%lld", (long long)(ql_machine_memory_left(machine) >> 20));
    fact(r, "swap_mb", "%lld", (long long)(machine->swap_bytes >> 20));
    if (machine->cpu_quota > 0 && machine->cpu_quota < machine->cores)
        advise(
            r,
            "a control group grants %.2f processors of time on %d cores: start no more ranks times threads than that",
            machine->cpu_quota, machine->cores);
}

static void add_limit(report *r, const char *name, int resource, rlim_t divisor)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) return;
    if (limit.rlim_cur == RLIM_INFINITY)
        fact(r, name, "unlimited");
    else
        fact(r, name, "%llu", (unsigned long long)(limit.rlim_cur / divisor));
}

/* What a rank tells the first one. */
typedef struct rank_place {
    char host[64];
    int threads, local_rank, local_size;
    ql_binding binding;
} rank_place;

static void place_of_rank(report *r, int rank, const rank_place *place)
{
    char name[24], gpu[QL_GPU_SIZE], text[2 * QL_GPU_SIZE + 32] = "";
    if (ql_binding_gpu(&place->binding, place->local_rank, gpu)[0] != '\0')
        (void)snprintf(text, sizeof text, ", GPU %s of %s", gpu, place->binding.gpus);
    (void)snprintf(name, sizeof name, "rank_%d", rank);
    fact(r, name, "%s, local rank %d, %d hardware threads (%s), NUMA %s%s", place->host, place->local_rank,
         place->threads, place->binding.cpus, place->binding.numa[0] != '\0' ? place->binding.numa : "unknown", text);
}

/* Collective when started by a launcher; alone, MPI is not started: it may end the process when it is broken. */
static ql_status look_at_mpi(report *r, const ql_machine *machine, ql_comm **world)
{
    r->section = "mpi";
    fact(r, "library", "%s", ql_launcher_mpi.summary);
    if (!ql_launcher_mpi.launched()) {
        fact(r, "ranks", "1");
        fact(r, "started", "no; `mpirun -n 2 quadloom doctor` tries it");
        return QL_OK;
    }
    QL_TRY(ql_launcher_mpi.start(world, NULL, NULL));
    char host[QL_HOST_SIZE];
    rank_place mine = {.threads = machine->threads,
                       .local_rank = (*world)->local_rank,
                       .local_size = (*world)->local_size},
               *all;
    ql_binding_look(&mine.binding);
    (void)snprintf(mine.host, sizeof mine.host, "%.63s", ql_process_host(host));
    QL_TRY(QL_TAKE(all, (*world)->size));
    ql_status status = (*world)->kind->allgather(*world, &mine, all, sizeof mine);
    fact(r, "ranks", "%d", (*world)->size);
    fact(r, "threads", "%s", (*world)->threads ? "multiple" : "not MPI_THREAD_MULTIPLE");
    for (int i = 0; status == QL_OK && i < (*world)->size && i < 32; ++i) place_of_rank(r, i, &all[i]);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (status == QL_OK && (long)all[0].threads * all[0].local_size < online)
        advise(
            r,
            "%d ranks on %s are bound to %d of its %ld hardware threads each: the others idle; mpirun --bind-to none "
            "or --map-by slot:PE=N, srun --cpus-per-task=N",
            all[0].local_size, all[0].host, all[0].threads, online);
    ql_free(all);
    return status;
}

static void look_at_limits(report *r)
{
    struct rlimit limit;
    r->section = "limits";
    add_limit(r, "open_files", RLIMIT_NOFILE, 1);
    add_limit(r, "processes", RLIMIT_NPROC, 1);
    add_limit(r, "file_size_mb", RLIMIT_FSIZE, 1 << 20);
    add_limit(r, "address_space_mb", RLIMIT_AS, 1 << 20);
    add_limit(r, "locked_memory_kb", RLIMIT_MEMLOCK, 1 << 10);
    add_limit(r, "stack_kb", RLIMIT_STACK, 1 << 10);
    add_limit(r, "core_dump_mb", RLIMIT_CORE, 1 << 20);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 256)
        advise(r, "only %llu files may be open at once; raise it: ulimit -n 1024", (unsigned long long)limit.rlim_cur);
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (256u << 20))
        advise(r, "files may not grow beyond %llu MB; a checkpoint takes 53 MB and more: ulimit -f unlimited",
               (unsigned long long)(limit.rlim_cur >> 20));
}

static void look_at_disk(report *r)
{
    char folder[2048];
    struct statvfs disk;
    r->section = "disk";
    if (getcwd(folder, sizeof folder) == NULL || statvfs(".", &disk) != 0) return;
    unsigned long long free_mb = (unsigned long long)disk.f_bavail * disk.f_frsize >> 20;
    fact(r, "folder", "%.500s", folder);
    fact(r, "free_mb", "%llu", free_mb);
    fact(r, "free_files", "%llu", (unsigned long long)disk.f_favail);
    fact(r, "writable", "%s", access(".", W_OK) == 0 ? "yes" : "no");
    if (free_mb < 1024)
        advise(r, "only %llu MB are free here; a mesh takes 20 to 150 MB of results and checkpoints", free_mb);
}

static void look_at_environment(report *r)
{
    static const char *const names[] = {
        "OMP_NUM_THREADS",      "OMP_PROC_BIND",         "OMP_PLACES", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE",
        "CUDA_VISIBLE_DEVICES", "HDF5_USE_FILE_LOCKING", "TMPDIR"};
    char variable[QL_OPTION_TEXT];
    r->section = "environment";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        const char *value = getenv(names[i]);
        if (value != NULL) fact(r, names[i], "%s", value);
    }
    ql_options options;
    if (ql_options_resolve(&options, NULL, NULL, NULL, 0) != QL_OK) advise(r, "%s", ql_error_text());
    for (int i = 0; i < ql_option_count(); ++i) {
        const char *value = getenv(ql_option_variable(ql_option_at(i), variable));
        if (value != NULL) fact(r, ql_option_at(i)->name, "%s", value);
    }
}

static void print_text(const report *r)
{
    const char *section = "";
    for (int i = 0; i < r->facts_count; ++i) {
        if (r->facts[i].section != section) (void)printf("%s%s\n", i > 0 ? "\n" : "", r->facts[i].section);
        section = r->facts[i].section;
        (void)printf("  %-22s %s\n", r->facts[i].name, r->facts[i].value);
    }
    (void)printf("\nadvice\n");
    for (int i = 0; i < r->advice_count; ++i) ql_options_print_wrapped(stdout, r->advice[i], "  ", 100);
    if (r->advice_count == 0) (void)printf("  nothing stands in the way\n");
}

/* {"build": {...}, ..., "advice": [...]}; whole numbers as numbers. */
static ql_status print_json(const report *r)
{
    ql_json json = {0};
    const char *section = NULL;
    ql_json_object(&json, NULL);
    for (int i = 0; i < r->facts_count; ++i) {
        const char *value = r->facts[i].value;
        if (r->facts[i].section != section) {
            if (section != NULL) ql_json_close_object(&json);
            ql_json_object(&json, section = r->facts[i].section);
        }
        if (value[0] != '\0' && strlen(value) < 18 && value[strspn(value, "0123456789")] == '\0')
            ql_json_int(&json, r->facts[i].name, strtoll(value, NULL, 10));
        else
            ql_json_string(&json, r->facts[i].name, value);
    }
    if (section != NULL) ql_json_close_object(&json);
    ql_json_array(&json, "advice");
    for (int i = 0; i < r->advice_count; ++i) ql_json_string(&json, NULL, r->advice[i]);
    ql_json_close_array(&json);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

static ql_status print(const report *r, bool json)
{
    if (json) return print_json(r);
    print_text(r);
    return QL_OK;
}

static ql_status examine(bool json)
{
    static report r;
    ql_machine machine;
    ql_comm *world = NULL;
    ql_machine_look(&machine);
    look_at_build(&r);
    look_at_engines(&r);
    look_at_blas(&r, &machine);
    ql_status status = look_at_mpi(&r, &machine, &world);
    look_at_machine(&r, &machine);
    look_at_limits(&r);
    look_at_disk(&r);
    look_at_environment(&r);
    if (status == QL_OK && (world == NULL || world->rank == 0)) status = print(&r, json);
    ql_launcher_mpi.stop(world);
    return status;
}

int ql_cmd_doctor(int argc, char **argv)
{
    bool json = false;
    const ql_argument table[] = {{"json", 0, QL_ARGUMENT_SWITCH, &json, NULL, "print one JSON object"}};
    ql_arguments a;
    ql_status status = ql_arguments_parse(&a, argc, argv, table, 1);
    if (status == QL_OK && a.help) {
        ql_arguments_help(stdout, argv[0], NULL, table, 1);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && a.operand_count > 0) status = QL_FAIL(USAGE, "%.60s: takes no operand", a.operands[0]);
    if (status == QL_OK) status = examine(json);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
