/* store_sample RUN_DIR COUNT [RINGS] [--parameters] [--timings]: a run directory with COUNT finished meshes that were never
 * trained (bipyramids of 2 * RINGS faces with a made-up field that is right in itself), one failed and one unfinished mesh. */
#include "support/store_samples.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/provenance.h"
#include "quad/fill.h"

static const char *directory;

/* Every triangle split into three quads: as good as made. */
static void split_triangles(ql_quads *quads, const ql_mesh *mesh)
{
    int32_t *start;
    uint8_t *pin;
    ASSERT_OK(QL_TAKE(start, mesh->face_count + 1));
    ASSERT_OK(QL_TAKE(pin, mesh->vertex_count));
    for (int32_t f = 0; f <= mesh->face_count; ++f) start[f] = 3 * f;
    ASSERT_OK(
        ql_fill_split(quads, mesh->vertices, mesh->vertex_count, start, mesh->faces, mesh->face_count, pin, NULL));
    ql_free(start);
    ql_free(pin);
}

static void write_result(int number, int rings, bool parameters)
{
    char name[32], id[QL_ID_SIZE], path[QL_PATH_SIZE];
    ql_mesh mesh;
    ql_quads split;
    ql_train_result train;
    ql_options options;
    (void)snprintf(name, sizeof name, "sample%d", number);
    ql_options_init(&options);
    sample_mesh(&mesh, name, rings + number % 7);
    sample_train(&train, &mesh, parameters);
    split_triangles(&split, &mesh);
    ql_quad_result quads = {.vertex_count = split.vertex_count,
                            .face_count = split.face_count,
                            .vertices = split.vertices,
                            .faces = split.faces,
                            .valid = true,
                            .note = "made up"};
    ql_rundir_id(id, &mesh);
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_RESULT, id));
    ql_result_content content = {
        .id = id, .mesh = &mesh, .train = &train, .options = &options, .quads = number % 2 == 0 ? &quads : NULL};
    ASSERT_OK(ql_result_write(path, &content));
    ql_quads_destroy(&split);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
}

static void write_failure(void)
{
    ql_failure failure;
    ql_failure_init(&failure);
    failure.status = QL_STATUS_MESH;
    failure.face = 12;
    failure.attempts = 1;
    (void)snprintf(failure.mesh, sizeof failure.mesh, "broken-0badf00d");
    (void)snprintf(failure.name, sizeof failure.name, "broken");
    (void)snprintf(failure.stage, sizeof failure.stage, "check");
    (void)snprintf(failure.reason, sizeof failure.reason, "face 12 has no area, \"really\"");
    (void)snprintf(failure.remedy, sizeof failure.remedy, "remove it");
    ASSERT_OK(ql_failure_write(directory, &failure));
}

static void write_checkpoint(void)
{
    char path[QL_PATH_SIZE];
    ql_snapshot snapshot;
    ql_options options;
    ql_options_init(&options);
    sample_snapshot(&snapshot, QL_FLOAT32, 1200);
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_CHECKPOINT, "slow-01234567"));
    ASSERT_OK(ql_checkpoint_write(path, &snapshot, &options, NULL));
    ql_snapshot_destroy(&snapshot);
}

static void write_events(int count)
{
    ql_events log;
    ASSERT_OK(ql_events_open(&log, directory, "0", 0, 1));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_start, .ranks = 1, .meshes = count + 2}));
    ql_event event = {.type = QL_EVENT_mesh_start, .steps = 10000, .faces = 600};
    (void)snprintf(event.mesh, sizeof event.mesh, "slow-01234567");
    ASSERT_OK(ql_events_write(&log, &event));
    event.type = QL_EVENT_sample;
    event.step = 1200;
    event.seconds_per_step = 0.5;
    event.loss = 31.25;
    ASSERT_OK(ql_events_write(&log, &event));
    ql_events_close(&log);
}

int main(int argc, char **argv)
{
    bool parameters = false, timings = false;
    int count = argc > 2 ? atoi(argv[2]) : 0, rings = 20;
    if (argc < 3) return 2;
    directory = argv[1];
    for (int i = 3; i < argc; ++i)
        if (strcmp(argv[i], "--parameters") == 0)
            parameters = true;
        else if (strcmp(argv[i], "--timings") == 0)
            timings = true;
        else
            rings = atoi(argv[i]);
    ASSERT_OK(ql_rundir_create(directory));
    double begin = ql_clock_s();
    for (int number = 0; number < count; ++number) write_result(number, rings, parameters);
    double written = ql_clock_s();
    write_failure();
    write_checkpoint();
    write_events(count);
    double summary = ql_clock_s();
    ASSERT_OK(ql_rundir_write_summary(directory));
    if (timings)
        (void)printf("{\"results\": %d, \"write_s\": %.3f, \"summary_s\": %.3f}\n", count, written - begin,
                     ql_clock_s() - summary);
    return 0;
}
