/* quadloom bench train|gemm|allreduce|io: how fast a training step, its matrix products, the sums between ranks and the files of
 * a run are on this machine. */
#include "app/arguments.h"
#include "app/bench.h"
#include "app/commands.h"
#include "app/kernels.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "engine/cpu/team.h"
#include "engine/engine.h"
#include "mesh/generate.h"
#include "mesh/seams.h"
#include "model/initial.h"
#include "model/layout.h"
#include "sweep/cores.h"

#include <string.h>

typedef struct bench_arguments {
    const char *mesh, *generator, *folder;
    int64_t faces, steps, repeats, at_once;
    double seconds;
    bool json;
} bench_arguments;

/* A mesh, its tables and an engine with initial parameters. Under mpirun or srun the ranks share the mesh. */
typedef struct bench_job {
    ql_comm *world;
    ql_mesh mesh;
    ql_topology topology;
    ql_tables tables;
    ql_loss_shares shares;
    ql_options options;
    const ql_engine_class *kind;
    ql_engine *engine;
    ql_bench_peak *peak;
    double prepare_s;
    int64_t memory;
} bench_job;

enum { STAGES_MOST = 16 };

static const char *const PRECISIONS[] = {"fp32", "bf16", "tf32", "3xtf32", "fp64"};

typedef struct bench_times {
    double warm[STAGES_MOST]; /* seconds of each stage before the timed steps */
    double *step, *peak;      /* per step */
    double median, least, cpu, peak_gflops, gflop;
    uint64_t checksum;
} bench_times;

static void job_close(bench_job *job)
{
    if (job->kind != NULL) job->kind->destroy(job->engine);
    ql_bench_peak_destroy(job->peak);
    ql_loss_shares_destroy(&job->shares);
    ql_tables_destroy(&job->tables);
    ql_topology_destroy(&job->topology);
    ql_mesh_destroy(&job->mesh);
}

static ql_status set_initial(bench_job *job, ql_key key)
{
    float *parameters = NULL, *zeros = NULL;
    ql_status status = QL_TAKE(parameters, QL_PARAMETER_COUNT);
    if (status == QL_OK) status = QL_TAKE(zeros, QL_PARAMETER_COUNT);
    if (status == QL_OK) {
        ql_initial_parameters(key, parameters);
        ql_engine_state state = {QL_FLOAT32, parameters, zeros, zeros};
        status = job->kind->set_state(job->engine, &state);
    }
    ql_free(parameters);
    ql_free(zeros);
    return status;
}

static ql_status build_tables(bench_job *job, const bench_arguments *arguments)
{
    if (arguments->mesh != NULL)
        QL_TRY(ql_mesh_read_joined(&job->mesh, arguments->mesh));
    else
        QL_TRY(ql_generate_by_name(&job->mesh, arguments->generator, (int)arguments->faces));
    const ql_train_options *train = &job->options.train;
    QL_TRY(ql_topology_build(&job->topology, &job->mesh));
    QL_TRY(ql_tables_build(&job->tables, &job->mesh, &job->topology, train->sampling == QL_SAMPLING_NEAR));
    return ql_loss_shares_build(&job->shares, &job->tables, train->averaging, 0, NULL);
}

static ql_engine_setup setup_of(const bench_job *job)
{
    return (ql_engine_setup){.tables = &job->tables,
                             .shares = &job->shares,
                             .train = &job->options.train,
                             .engine = &job->options.engine,
                             .key = ql_key_make(job->options.train.seed, job->mesh.hash),
                             .group = job->world};
}

static ql_status job_open(bench_job *job, const bench_arguments *arguments)
{
    const double since = ql_clock_s();
    QL_TRY(ql_comm_agree(job->world, ql_engine_find(job->options.engine.name, &job->kind)));
    QL_TRY(ql_comm_agree(job->world, build_tables(job, arguments)));
    const ql_engine_setup setup = setup_of(job);
    QL_TRY(ql_comm_agree(job->world, job->kind->memory(&setup, &job->memory)));
    QL_TRY(ql_engine_create(&job->engine, job->kind, &setup));
    QL_TRY(ql_comm_agree(job->world, set_initial(job, setup.key)));
    job->prepare_s = ql_clock_s() - since;
    return QL_OK;
}

/* Only then does the peak of the processor say anything; `quadloom bench` has no measure of a device. */
static bool on_cores(const bench_job *job) { return strcmp(job->kind->name, "cuda") != 0; }

static int thread_count(const bench_job *job)
{
    return job->options.engine.threads > 0 ? (int)job->options.engine.threads : ql_team_cores();
}

static ql_status checksum(const bench_job *job, uint64_t *sum)
{
    ql_engine_state state;
    QL_TRY(job->kind->state(job->engine, &state));
    size_t size = state.type == QL_FLOAT32 ? sizeof(float) : sizeof(double);
    *sum = ql_hash_bytes(state.parameters, QL_PARAMETER_COUNT * size, 0);
    return QL_OK;
}

/* Seconds per timed step of each stage; returns how many there are. */
static int stages_of(const bench_job *job, const bench_times *times, int64_t steps, const char *const **names,
                     double per_step[STAGES_MOST])
{
    const double *seconds;
    if (job->kind->stages == NULL) return 0;
    const int count = job->kind->stages(job->engine, names, &seconds);
    for (int s = 0; s < count && s < STAGES_MOST; ++s) per_step[s] = (seconds[s] - times->warm[s]) / (double)steps;
    return count < STAGES_MOST ? count : STAGES_MOST;
}

static void keep_warm(const bench_job *job, bench_times *times)
{
    const char *const *names;
    const double *seconds;
    const int count = job->kind->stages != NULL ? job->kind->stages(job->engine, &names, &seconds) : 0;
    for (int s = 0; s < count && s < STAGES_MOST; ++s) times->warm[s] = seconds[s];
}

static ql_status take_steps(bench_job *job, int64_t first, int count)
{
    ql_loss_weights weights[QL_ENGINE_AHEAD];
    double terms[QL_ENGINE_AHEAD][QL_LOSS_COUNT], norms[QL_ENGINE_AHEAD];
    for (int k = 0; k < count; ++k) weights[k] = ql_loss_weights_at(&job->options.train, first + k);
    return ql_engine_steps(job->engine, first, count, weights, terms, norms);
}

/* One step to warm up (two where the second prepares what all later ones use), then `steps` timed ones, as many at a time as the
 * engine takes without us, the peak measured in between. */
static ql_status time_steps(bench_job *job, int64_t steps, bench_times *times)
{
    const bool ahead = job->kind->advance != NULL;
    const int64_t warm = ahead ? 2 : 1;
    double flop = 0;
    for (int64_t step = 0; step < warm; ++step) QL_TRY(take_steps(job, step, 1));
    keep_warm(job, times);
    for (int64_t done = 0; done < steps;) {
        const int count = !ahead ? 1 : steps - done < QL_ENGINE_AHEAD ? (int)(steps - done) : QL_ENGINE_AHEAD;
        const double since = ql_clock_s(), cpu = ql_clock_cpu_s();
        QL_TRY(take_steps(job, warm + done, count));
        const double took = ql_clock_s() - since;
        times->cpu += (ql_clock_cpu_s() - cpu) / (double)steps;
        flop += count * (job->kind->flop != NULL
                             ? job->kind->flop(job->engine)
                             : ql_engine_flop_formula(job->tables.face_count, job->options.train.off_points));
        const double peak = on_cores(job) ? ql_bench_peak_gflops(job->peak, 0.01) : 0;
        for (int k = 0; k < count; ++k, ++done) {
            times->step[done] = took / count;
            times->peak[done] = peak;
        }
    }
    times->gflop = flop / (double)steps * 1e-9;
    times->median = ql_bench_median(times->step, steps);
    times->least = times->step[0];
    times->peak_gflops = ql_bench_median(times->peak, steps);
    double *all[] = {&times->gflop, &times->cpu, &times->peak_gflops}; /* of all ranks */
    for (int k = 0; k < 3; ++k) QL_TRY(ql_comm_sum(job->world, all[k], 1, QL_NUMBER_FLOAT64));
    return checksum(job, &times->checksum);
}

static void stages_json(const bench_job *job, const bench_times *times, ql_json *json, int64_t steps)
{
    const char *const *names;
    double per_step[STAGES_MOST];
    const int count = stages_of(job, times, steps, &names, per_step);
    ql_json_object(json, "stages_s_per_step");
    for (int s = 0; s < count; ++s) ql_json_real(json, names[s], per_step[s]);
    ql_json_close_object(json);
}

static ql_status report_json(const bench_job *job, const bench_times *times, int64_t steps)
{
    char hash[20];
    ql_json json = {0};
    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)times->checksum);
    ql_json_object(&json, NULL);
    ql_json_int(&json, "faces", job->tables.face_count);
    ql_json_int(&json, "off_points", job->options.train.off_points);
    ql_json_string(&json, "backend", job->kind->name);
    if (on_cores(job)) ql_json_string(&json, "kernels", ql_cpu_isa_find()->name);
    ql_json_string(&json, "precision", PRECISIONS[job->options.engine.precision]);
    ql_json_int(&json, "threads", thread_count(job));
    ql_json_int(&json, "ranks", job->world->size);
    ql_json_int(&json, "steps", steps);
    ql_json_real(&json, "s_per_step", times->median);
    ql_json_real(&json, "s_per_step_min", times->least);
    ql_json_real(&json, "cpu_s_per_step", times->cpu);
    ql_json_real(&json, "gflop_per_step", times->gflop);
    ql_json_real(&json, "gflops", times->gflop / times->median);
    if (on_cores(job)) {
        ql_json_real(&json, "peak_gflops", times->peak_gflops);
        ql_json_real(&json, "fraction_of_peak", times->gflop / times->median / times->peak_gflops);
    }
    ql_json_real(&json, "peak_rss_mb", (double)ql_memory_peak_resident() / 1048576.0);
    ql_json_real(&json, "memory_predicted_mb", (double)job->memory / 1048576.0);
    ql_json_real(&json, "prepare_s", job->prepare_s);
    ql_kernels_json(&json);
    stages_json(job, times, &json, steps);
    ql_json_string(&json, "checksum", hash);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

static void report_text(const bench_job *job, const bench_times *times, int64_t steps)
{
    const double rate = times->gflop / times->median;
    (void)printf("%d faces, %lld off-surface points, engine %s (%s), %d rank%s with %d thread%s, %lld steps\n",
                 job->tables.face_count, (long long)job->options.train.off_points, job->kind->name,
                 ql_cpu_isa_find()->name, job->world->size, job->world->size == 1 ? "" : "s", thread_count(job),
                 thread_count(job) == 1 ? "" : "s", (long long)steps);
    (void)printf("  %.4f s per step (median; least %.4f), %.4f s of processor time\n", times->median, times->least,
                 times->cpu);
    (void)printf("  %.1f GFLOP per step, %.1f GFLOP/s", times->gflop, rate);
    if (on_cores(job))
        (void)printf(", %.1f %% of the measured FP32 peak of %.1f GFLOP/s", 100 * rate / times->peak_gflops,
                     times->peak_gflops);
    (void)printf("\n");
    (void)printf("  %.0f MB at most (engine predicted %.0f MB), %.2f s to prepare\n",
                 (double)ql_memory_peak_resident() / 1048576.0, (double)job->memory / 1048576.0, job->prepare_s);
    const char *const *names;
    double per_step[STAGES_MOST];
    const int count = stages_of(job, times, steps, &names, per_step);
    ql_kernel_advice advice;
    ql_kernels_look(&advice);
    for (int k = 0; k < advice.count; ++k) (void)printf("  %s\n", advice.line[k]);
    for (int s = 0; s < count; ++s) (void)printf("    %-20s %8.2f ms per step\n", names[s], per_step[s] * 1e3);
}

/* --at-once: engines beside each other; what counts is what they do together. */
static ql_status measure_several(bench_job *job, const bench_arguments *arguments)
{
    double seconds;
    ql_json json = {0};
    QL_TRY(ql_engine_find(job->options.engine.name, &job->kind));
    QL_TRY(build_tables(job, arguments));
    ql_engine_setup setup = setup_of(job);
    setup.group = NULL;
    QL_TRY(ql_bench_several(job->kind, &setup, (int)arguments->at_once, arguments->steps, &seconds));
    const double per_step = seconds / (double)arguments->steps;
    const double gflop = ql_engine_flop_formula(job->tables.face_count, job->options.train.off_points) * 1e-9;
    const double gflops = (double)arguments->at_once * gflop / per_step;
    if (!arguments->json) {
        (void)printf("%s, %d faces, %d at once: %.3f ms for a step of each, %.1f GFLOP/s together\n", job->kind->name,
                     (int)job->tables.face_count, (int)arguments->at_once, per_step * 1e3, gflops);
        return QL_OK;
    }
    ql_json_object(&json, NULL);
    ql_json_int(&json, "at_once", arguments->at_once);
    ql_json_int(&json, "faces", job->tables.face_count);
    ql_json_int(&json, "off_points", job->options.train.off_points);
    ql_json_string(&json, "backend", job->kind->name);
    ql_json_string(&json, "precision", PRECISIONS[job->options.engine.precision]);
    ql_json_int(&json, "steps", arguments->steps);
    ql_json_real(&json, "s_per_step", per_step);
    ql_json_real(&json, "gflop_per_step", gflop);
    ql_json_real(&json, "gflops", gflops);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

/* On all ranks: rank 0 speaks. */
static ql_status measure_train(bench_job *job, const bench_arguments *arguments, const ql_config_arguments *config)
{
    bench_times times = {0};
    int threads = 1;
    ql_status status = ql_config_resolve(config, &job->options);
    QL_TRY(ql_comm_agree(job->world, status));
    QL_TRY(ql_cores_share(job->world, (int)job->options.engine.threads, &threads));
    job->options.engine.threads = threads;
    if (arguments->at_once > 0) return measure_several(job, arguments);
    QL_TRY(job_open(job, arguments));
    if (on_cores(job)) status = ql_bench_peak_create(&job->peak, thread_count(job));
    if (status == QL_OK) status = QL_TAKE(times.step, arguments->steps);
    if (status == QL_OK) status = QL_TAKE(times.peak, arguments->steps);
    status = ql_comm_agree(job->world, status);
    if (status == QL_OK) status = time_steps(job, arguments->steps, &times);
    if (status == QL_OK && arguments->json && job->world->rank == 0)
        status = report_json(job, &times, arguments->steps);
    else if (status == QL_OK && job->world->rank == 0)
        report_text(job, &times, arguments->steps);
    ql_free(times.step);
    ql_free(times.peak);
    return status;
}

static ql_status bench_train(const bench_arguments *arguments, const ql_config_arguments *config)
{
    bench_job job;
    const bool many = ql_launcher_mpi.launched();
    memset(&job, 0, sizeof job);
    QL_TRY(many ? ql_launcher_mpi.start(&job.world, NULL, NULL) : ql_comm_self(&job.world));
    ql_status status = measure_train(&job, arguments, config);
    job_close(&job);
    if (many)
        ql_launcher_mpi.stop(job.world);
    else
        ql_comm_destroy(job.world);
    return status;
}

static ql_status run(const char *what, const bench_arguments *arguments, const ql_config_arguments *config)
{
    if (strcmp(what, "gemm") == 0) return ql_bench_gemm(arguments->seconds, arguments->json);
    if (arguments->faces < 1 || arguments->faces > INT32_MAX)
        return QL_FAIL(USAGE, "--faces %lld: expected 1 to %d", (long long)arguments->faces, INT32_MAX);
    if (strcmp(what, "allreduce") == 0) return ql_bench_allreduce(arguments->repeats, arguments->json);
    if (strcmp(what, "io") == 0)
        return ql_bench_io(arguments->folder, arguments->faces, arguments->repeats, arguments->json);
    if (strcmp(what, "train") != 0)
        return QL_FAIL(USAGE, "no benchmark \"%s\"; there is train, gemm, allreduce, io", what);
    if (arguments->steps < 1) return QL_FAIL(USAGE, "--steps 0: there must be a step to measure");
    if (arguments->at_once < 0 || arguments->at_once > 64)
        return QL_FAIL(USAGE, "--at-once %lld: at most 64 engines", (long long)arguments->at_once);
    if (arguments->at_once > 0 && ql_launcher_mpi.launched())
        return QL_FAIL(USAGE, "--at-once is for one process; start the program without mpirun or srun");
    return bench_train(arguments, config);
}

int ql_cmd_bench(int argc, char **argv)
{
    bench_arguments what = {
        .generator = "torus", .folder = ".", .faces = 2000, .steps = 20, .repeats = 5, .seconds = 0.2};
    ql_config_arguments config = {0};
    const ql_argument table[] = {
        {"mesh", 0, QL_ARGUMENT_TEXT, &what.mesh, "FILE", "train: the mesh; default: a generated one"},
        {"generator", 0, QL_ARGUMENT_TEXT, &what.generator, "NAME", "train: which one (default torus)"},
        {"faces", 0, QL_ARGUMENT_COUNT, &what.faces, "N", "train, io: with about so many faces (default 2000)"},
        {"steps", 0, QL_ARGUMENT_COUNT, &what.steps, "N", "train: timed steps (default 20)"},
        {"at-once", 0, QL_ARGUMENT_COUNT, &what.at_once, "N",
         "train: so many engines at the same time in this process, what they do together"},
        {"seconds", 0, QL_ARGUMENT_SECONDS, &what.seconds, "T", "gemm: time for each shape (default 0.2)"},
        {"output", 'o', QL_ARGUMENT_TEXT, &what.folder, "DIR",
         "io: the folder whose file system is measured (default .)"},
        {"repeats", 0, QL_ARGUMENT_COUNT, &what.repeats, "N",
         "allreduce, io: how often each thing is done (default 5)"},
        {"json", 0, QL_ARGUMENT_SWITCH, &what.json, NULL, "print one JSON object"},
        QL_CONFIG_ARGUMENT_ROWS(config),
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0],
                          "train: seconds per training step and where they go; under mpirun or srun the ranks share "
                          "the mesh.\ngemm: speed of the matrix products.\n"
                          "allreduce (under mpirun or srun): the sums of a step between ranks. io: writing and reading "
                          "of checkpoints and results.",
                          table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count != 1)
        status = QL_FAIL(USAGE, "expected what to measure: train, gemm, allreduce or io");
    if (status == QL_OK) status = run(arguments.operands[0], &what, &config);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
