/* quadloom bench io: what a folder's file system makes of the files of a run, each written as a run writes it (temporary
 * name, fsync, rename, fsync of the folder) and read back with all its checks. */
#include "app/bench.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "mesh/generate.h"
#include "model/initial.h"
#include "model/layout.h"
#include "store/checkpoint.h"
#include "store/result.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REPEATS_MOST = 100, NOTE_BYTES = 1024 };

typedef struct bench {
    ql_options options;
    ql_mesh mesh;
    ql_train_result train; /* borrows nothing */
    ql_snapshot snapshot;
    char folder[QL_PATH_SIZE], path[QL_PATH_SIZE];
} bench;

typedef struct operation {
    const char *name, *file;
    ql_status (*run)(bench *b);
} operation;

static ql_status write_note(bench *b)
{
    char note[NOTE_BYTES];
    memset(note, '.', sizeof note);
    return ql_file_write_whole(b->path, note, sizeof note);
}

static ql_status write_checkpoint(bench *b)
{
    ++b->snapshot.step;
    return ql_checkpoint_write(b->path, &b->snapshot, &b->options, NULL);
}

static ql_status read_checkpoint(bench *b)
{
    ql_snapshot read;
    ql_status status = ql_checkpoint_read(&read, b->path, NULL);
    if (status == QL_OK) ql_snapshot_destroy(&read);
    return status;
}

static ql_status write_result(bench *b)
{
    const ql_result_content content = {
        .id = "bench-00000000", .mesh = &b->mesh, .train = &b->train, .options = &b->options};
    return ql_result_write(b->path, &content);
}

static ql_status verify_result(bench *b)
{
    ql_findings findings = {0};
    QL_TRY(ql_result_verify(&findings, b->path));
    return findings.count == 0 ? QL_OK : QL_FAIL(IO, "%s came back damaged: %s", b->path, findings.text);
}

static const operation operations[] = {
    {"a file of 1 KiB, write", "note", write_note},         {"checkpoint, write", "checkpoint.h5", write_checkpoint},
    {"checkpoint, read", "checkpoint.h5", read_checkpoint}, {"result, write", "result.h5", write_result},
    {"result, verify", "result.h5", verify_result},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

/* A torus, where a field without singularities is right, so that the result is one that verifies. */
static ql_status make_train(bench *b)
{
    ql_topology topology = {0};
    ql_tables tables = {0};
    ql_train_result *train = &b->train;
    const size_t faces = (size_t)b->mesh.face_count, vertices = (size_t)b->mesh.vertex_count;
    ql_status status = ql_topology_build(&topology, &b->mesh);
    if (status == QL_OK) status = ql_tables_build(&tables, &b->mesh, &topology, false);
    if (status == QL_OK) status = QL_TAKE(train->theta, faces);
    if (status == QL_OK) status = QL_TAKE(train->alpha, 3 * faces);
    if (status == QL_OK) status = QL_TAKE(train->beta, 3 * faces);
    if (status == QL_OK) status = QL_TAKE(train->sdf, faces);
    if (status == QL_OK) status = QL_TAKE(train->singularity_index, vertices);
    if (status == QL_OK) status = QL_TAKE(train->parameters, QL_PARAMETER_COUNT);
    if (status == QL_OK) {
        for (size_t i = 0; i < 3 * faces; ++i) {
            train->alpha[i] = (float)tables.u[i];
            train->beta[i] = (float)tables.v[i];
        }
        ql_initial_parameters(ql_key_make(1, b->mesh.hash), train->parameters);
        train->face_count = b->mesh.face_count;
        train->vertex_count = b->mesh.vertex_count;
    }
    ql_tables_destroy(&tables);
    ql_topology_destroy(&topology);
    return status;
}

static ql_status open_bench(bench *b, const char *folder, int64_t faces)
{
    ql_options_init(&b->options);
    QL_TRY(ql_generate_by_name(&b->mesh, "torus", (int)faces));
    QL_TRY(make_train(b));
    QL_TRY(ql_snapshot_create(&b->snapshot, QL_FLOAT32));
    memcpy(b->snapshot.state.parameters, b->train.parameters, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(b->snapshot.state.moment1, b->train.parameters, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(b->snapshot.state.moment2, b->train.parameters, QL_PARAMETER_COUNT * sizeof(float));
    char name[64];
    (void)snprintf(name, sizeof name, "quadloom-bench-io-%ld", (long)getpid());
    QL_TRY(ql_path_join(b->folder, folder, name));
    return ql_directory_make(b->folder);
}

static void close_bench(bench *b)
{
    for (int k = 0; b->folder[0] != '\0' && k < OPERATIONS; ++k) {
        if (ql_path_join(b->path, b->folder, operations[k].file) != QL_OK) continue;
        (void)ql_checkpoint_remove(b->path); /* also its predecessor */
        (void)ql_file_remove(b->path);
    }
    if (b->folder[0] != '\0') (void)rmdir(b->folder);
    ql_snapshot_destroy(&b->snapshot);
    ql_train_result_destroy(&b->train);
    ql_mesh_destroy(&b->mesh);
}

static double megabytes(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? (double)about.st_size / 1048576.0 : 0;
}

static ql_status time_operation(bench *b, const operation *o, int64_t repeats, double *median_s)
{
    double seconds[REPEATS_MOST];
    QL_TRY(ql_path_join(b->path, b->folder, o->file));
    for (int64_t k = 0; k < repeats; ++k) {
        const double since = ql_clock_s();
        QL_TRY(o->run(b));
        seconds[k] = ql_clock_s() - since;
    }
    *median_s = ql_bench_median(seconds, repeats);
    return QL_OK;
}

static void report(bool json, ql_json *out, const operation *o, double seconds, double size_mb)
{
    if (!json) {
        (void)printf("  %-24s %9.2f ms  %8.2f MB  %8.1f MB/s\n", o->name, seconds * 1e3, size_mb, size_mb / seconds);
        return;
    }
    ql_json_object(out, NULL);
    ql_json_string(out, "operation", o->name);
    ql_json_real(out, "s", seconds);
    ql_json_real(out, "mb", size_mb);
    ql_json_close_object(out);
}

static ql_status measure(bench *b, int64_t repeats, bool json, ql_json *out)
{
    double checkpoint_s = 0;
    const double interval_s = b->options.train.checkpoint_every_s;
    for (int k = 0; k < OPERATIONS; ++k) {
        double seconds;
        QL_TRY(time_operation(b, &operations[k], repeats, &seconds));
        if (operations[k].run == write_checkpoint) checkpoint_s = seconds;
        report(json, out, &operations[k], seconds, megabytes(b->path));
    }
    if (!json)
        (void)printf("a checkpoint every %g s takes %.2f %% of a training's time here\n", interval_s,
                     100 * checkpoint_s / (interval_s + checkpoint_s));
    return QL_OK;
}

ql_status ql_bench_io(const char *folder, int64_t faces, int64_t repeats, bool json)
{
    bench b;
    memset(&b, 0, sizeof b);
    ql_json out = {0};
    if (repeats < 1 || repeats > REPEATS_MOST)
        return QL_FAIL(USAGE, "--repeats %lld: 1 to %d", (long long)repeats, (int)REPEATS_MOST);
    if (!ql_path_is_directory(folder)) return QL_FAIL(USAGE, "-o %s: no such folder", folder);
    ql_json_object(&out, NULL);
    ql_json_string(&out, "folder", folder);
    ql_json_int(&out, "faces", faces);
    ql_json_int(&out, "repeats", repeats);
    ql_json_array(&out, "operations");
    ql_status status = open_bench(&b, folder, faces);
    if (status == QL_OK && !json)
        (void)printf("%s, median of %lld, a mesh of %d faces\n", folder, (long long)repeats, b.mesh.face_count);
    if (status == QL_OK) status = measure(&b, repeats, json, &out);
    ql_json_close_array(&out);
    ql_json_close_object(&out);
    if (status == QL_OK) status = ql_json_end(&out);
    if (status == QL_OK && json) (void)printf("%s\n", out.text);
    ql_json_destroy(&out);
    close_bench(&b);
    return status;
}
