/* Engine cuda without a GPU: its bodies, sequences and memory layout compiled for the host, against engine ref at odd
 * sizes, in every precision, with lanes of a warp that really exchange, in chunks; golden numbers; plans; rank to GPU. */
#include "support/test.h"

#include "binding.h"
#include "golden/golden_check.h"
#include "gpu/engine_pairs.h"
#include "host_engine.h"
#include "model/sample.h"
#include "train/train.h"

static void odd_sizes_against_ref(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 31, 33};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
        fixture f;
        outcome truth, ours;
        open_fixture(&f, "torus", sizes[s], SEED);
        f.options.train.sampling = s % 2 == 0 ? QL_SAMPLING_NEAR : QL_SAMPLING_FAR;
        run(&truth, &f, &ql_engine_ref);
        for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; ++p) {
            if (p > 0 && sizes[s] != 33) continue;
            f.options.engine.precision = PRECISIONS[p].precision;
            run(&ours, &f, &ql_engine_cuda_on_host);
            compare(&ours, &truth, &f, &PRECISIONS[p], 1);
            discard(&ours);
        }
        discard(&truth);
        close_fixture(&f);
    }
}

/* The lanes of a warp give what a single one gives, but for the order of sums. */
static void lanes_of_a_warp(void **state)
{
    (void)state;
    fixture f;
    outcome single, lanes;
    open_fixture(&f, "torus", 33, SEED);
    run(&single, &f, &ql_engine_cuda_on_host);
    run(&lanes, &f, &ql_engine_cuda_in_lanes);
    compare(&lanes, &single, &f, &PRECISIONS[0], 1);
    discard(&single);
    discard(&lanes);
    close_fixture(&f);
}

/* Recomputed in chunks, and SDF chunks that do not divide the faces: the same numbers as in one piece. */
static void chunks_give_the_same(void **state)
{
    (void)state;
    fixture f;
    outcome whole, chunked;
    ql_plan_facts plan;
    open_fixture(&f, "torus", 1000, SEED_OF_1000);
    run(&whole, &f, &ql_engine_cuda_on_host);
    f.options.engine.memory = QL_MEMORY_RECOMPUTE;
    ASSERT_OK(ql_cuda_plan_of(&plan, &f.setup, INT64_MAX));
    assert_true(plan.angle_chunks > 1 && plan.angle_rows * plan.angle_chunks >= f.tables.face_count);
    run(&chunked, &f, &ql_engine_cuda_on_host);
    compare(&chunked, &whole, &f, &PRECISIONS[0], 1);
    discard(&whole);
    discard(&chunked);
    close_fixture(&f);
}

/* Both precisions that promise the golden tolerances; 3xtf32 with the operands rounded as tensor cores have them. */
static void golden(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("golden numbers with engine cuda's bodies");
    static const ql_precision precisions[] = {QL_PRECISION_FP32, QL_PRECISION_3XTF32};
    char path[4200];
    ql_golden g;
    ql_options options;
    ql_options_init(&options);
    (void)snprintf(path, sizeof path, "%s/golden/bracket352.h5", ql_test_shared());
    ASSERT_OK(ql_golden_read(&g, path));
    for (int p = 0; p < 2; ++p) {
        ql_golden_report report = {0};
        options.engine.precision = precisions[p];
        ASSERT_OK(ql_golden_check_engine(&report, &g, &ql_engine_cuda_on_host, &options.engine, NULL, true));
        for (int k = 0; k < report.count; ++k)
            if (!(report.line[k].error <= report.line[k].tolerance))
                print_message("precision %d, %s: %g, allowed %g\n", (int)precisions[p], report.line[k].quantity,
                              report.line[k].error, report.line[k].tolerance);
        assert_int_equal(report.failed, 0);
        assert_true(report.count > 20);
    }
    ql_golden_destroy(&g);
}

/* What a plan promises is what create takes; less memory gives chunks; too little says what would do. */
static void plans(void **state)
{
    (void)state;
    fixture f;
    ql_plan_facts keep, less, least;
    open_fixture(&f, "torus", 64, SEED);
    int64_t bytes, before = ql_memory_balance().bytes;
    ql_engine *engine = NULL;
    ASSERT_OK(ql_engine_cuda_on_host.memory(&f.setup, &bytes));
    ASSERT_OK(ql_engine_cuda_on_host.create(&engine, &f.setup));
    int64_t taken = ql_memory_balance().bytes - before, staging = 3 * 4 * (int64_t)QL_PARAMETER_COUNT;
    assert_true(fabs((double)(taken - staging) / (double)bytes - 1) < 0.1);
    ql_engine_device device = {.joules = 0};
    ql_engine_cuda_on_host.device(engine, &device);
    assert_true(device.bytes == bytes && device.joules < 0);
    ql_engine_cuda_on_host.destroy(engine);

    int32_t faces = f.tables.face_count, *pointers = NULL, *kept = f.tables.neighbour_ptr;
    ASSERT_OK(QL_TAKE(pointers, 200001)); /* plans of a large mesh read sizes only */
    f.tables.neighbour_ptr = pointers;
    f.tables.face_count = 200000;
    f.options.train.off_points = 15000;
    ASSERT_OK(ql_cuda_plan_of(&keep, &f.setup, INT64_MAX));
    assert_int_equal(keep.angle_chunks, 1);
    assert_true(keep.angle_rows % 1024 == 0 && keep.angle_rows >= 200000 && keep.angle_rows < 202000);
    assert_true(keep.bytes > 10000000000 && keep.bytes < 80000000000);
    ASSERT_OK(ql_cuda_plan_of(&less, &f.setup, keep.bytes - 1));
    assert_true(less.angle_chunks == 1 && less.bytes < keep.bytes && less.surface_rows < keep.surface_rows);
    const int rows = less.surface_rows;
    ASSERT_OK(ql_cuda_plan_of(&less, &f.setup, less.bytes - 1));
    assert_true(less.angle_chunks > 1 && less.surface_rows == rows);
    assert_non_null(strstr(less.text, "recomputes"));
    ASSERT_OK(ql_cuda_plan_of(&least, &f.setup, 1200000000));
    assert_true(least.bytes <= 1200000000 && least.surface_rows < keep.surface_rows);
    assert_int_equal(ql_cuda_plan_of(&least, &f.setup, 100000000), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "200000 faces need"));
    f.options.engine.memory = QL_MEMORY_KEEP;
    assert_int_equal(ql_cuda_plan_of(&less, &f.setup, keep.bytes / 2), QL_STATUS_NO_MEMORY);
    f.options.engine.precision = QL_PRECISION_FP64;
    assert_int_equal(ql_cuda_plan_of(&less, &f.setup, INT64_MAX), QL_STATUS_CONFIG);
    f.tables.neighbour_ptr = kept;
    f.tables.face_count = faces;
    ql_free(pointers);
    close_fixture(&f);
}

/* Tensor core tiles: every product, sizes that no tile divides, slices, epilogue, both shapes of tiles. The split leaves 2^-22
 * of each product; tf32 alone would leave 2^-11. */
static void products_by_tiles(void **state)
{
    (void)state;
    static const struct {
        int m, n, k, batch;
    } sizes[] = {{1, 4, 4, 1}, {31, 12, 12, 2}, {100, 64, 40, 1}, {68, 132, 20, 1}, {192, 128, 16, 1}};
    for (int product = 0; product < 3; ++product)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s)
            for (int way = 0; way < QL_WAYS; ++way) {
                ql_tile_case one = {product, sizes[s].m, sizes[s].n, sizes[s].k, sizes[s].batch, way, s % 2 == 1};
                double error = NAN;
                if (product == 2) one.m = (one.m + 3) / 4 * 4; /* m runs along the rows there */
                ASSERT_OK(ql_cuda_tile_error(&error, &one));
                if (!(error < 1e-6 * sqrt(one.k)))
                    fail_msg("product %d of %d x %d x %d: off by %g", product, one.m, one.n, one.k, error);
            }
}

/* A residual block in two launches: every kind of operands (plain, tf32, bf16, 3xtf32), both widths, slices of sums within a tile, with
 * and without the wide products; threads that exchange and wait, and a single one. In bfloat16 a number on the border between two
 * may be rounded to either. */
static void residual_blocks(void **state)
{
    (void)state;
    static const double most[] = {1e-6, 1e-4, 1e-3, 2e-6};
    static const ql_residual_case cases[] = {
        {0, 128, 64, 128, 16, true, true, true, true},  {0, 64, 64, 64, 32, true, false, false, true},
        {0, 128, 64, 64, 64, false, false, true, true}, {0, 64, 32, 64, 16, true, true, true, true},
        {0, 128, 32, 64, 32, true, true, false, true},  {0, 128, 64, 64, 64, true, true, true, false},
        {0, 64, 32, 32, 16, true, true, false, false}};
    for (int kind = 0; kind < 4; ++kind)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; ++k) {
            ql_residual_case one = cases[k];
            one.kind = kind;
            double error[2] = {NAN, NAN};
            ASSERT_OK(ql_cuda_residual_errors(error, &one));
            for (int way = 0; way < 2; ++way)
                if (!(error[way] < most[kind]))
                    fail_msg("kind %d, case %d, way %d: off by %g", kind, (int)k, way, error[way]);
        }
}

/* Trains a mesh on from parameters of which one (>= 0) is not a number, and expects the error that names the step. */
static void assert_stops(ql_train_job *job, ql_snapshot *from, int32_t place, const char *what)
{
    const ql_key key = ql_key_make(job->options->train.seed, job->mesh->hash);
    ql_train_result result;
    ql_initial_parameters(key, from->state.parameters);
    ((float *)from->state.parameters)[place] = NAN;
    const ql_status status = ql_train_mesh(&result, job, from, NULL);
    if (status == QL_OK) ql_train_result_destroy(&result);
    if (status != QL_STATUS_NUMERIC) fail_msg("%s: status %d", what, (int)status);
    if (strstr(ql_error_text(), "step 0: ") == NULL || strstr(ql_error_text(), "finite") == NULL)
        fail_msg("%s: %s", what, ql_error_text());
}

/* A NaN in the angle network, before a residual block or in it, ends training at once, fused or not. A ReLU makes zero of NaN, here
 * as in engine ref, so the loss may stay finite; but the products of the way back make NaN of zero times NaN, and the gradient's norm
 * tells. (A norm's bias is in no product, so there it would be silent; it cannot get that far, since whatever makes a parameter NaN is
 * a gradient that is.) */
static void not_a_number(void **state)
{
    (void)state;
    static const char *const levels[] = {"0", "1", "2"};
    const ql_layout *layout = ql_layout_get();
    const ql_block *first = &layout->block[0], *wide = first;
    for (int b = 0; b < QL_BLOCK_COUNT; ++b)
        if (layout->block[b].inner == 128) wide = &layout->block[b];
    assert_true(first->inner == 64 && wide->inner == 128);
    const struct {
        int32_t place;
        const char *what;
    } places[] = {
        {layout->in.weight, "input layer"}, {first->down.weight, "down"},          {first->norm1.weight + 5, "norm1"},
        {wide->mid.weight + 3, "mid"},      {wide->mid.bias + 127, "bias of mid"}, {wide->norm2.weight, "norm2"},
        {wide->up.weight + 511, "up"},      {first->up.bias, "bias of up"},        {first->gamma + 255, "gamma"}};
    ql_mesh mesh;
    ql_options options;
    ql_snapshot from;
    ql_options_init(&options);
    options.train.off_points = 40;
    options.train.steps = 1;
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 20));
    ASSERT_OK(ql_snapshot_create(&from, QL_FLOAT32));
    ql_train_job job = {&mesh, &options, &ql_engine_cuda_on_host, NULL, NULL};
    for (int level = 0; level < 3; ++level) {
        (void)setenv("QL_CUDA_FUSED", levels[level], 1);
        options.engine.precision = level == 1 ? QL_PRECISION_FP32 : QL_PRECISION_BF16;
        from.mesh_hash = mesh.hash;
        from.options_hash = ql_train_options_hash(&options, job.engine->name);
        for (size_t k = 0; k < sizeof places / sizeof *places; ++k)
            assert_stops(&job, &from, places[k].place, places[k].what);
    }
    (void)unsetenv("QL_CUDA_FUSED");
    ql_snapshot_destroy(&from);
    ql_mesh_destroy(&mesh);
}

/* Through host memory, and as between devices. */
static void a_group_of_one(void **state)
{
    (void)state;
    for (int way = QL_GROUP_HOST; way <= QL_GROUP_DIRECT; ++way) {
        ql_cuda_host_group(way);
        group_of_one(&ql_engine_cuda_on_host);
    }
    ql_cuda_host_group(QL_GROUP_HOST);
}

/* The same points and dropped blocks as the other engines draw (model/sample.h), near and far, from anywhere on. */
static void identical_streams(void **state)
{
    (void)state;
    enum { COUNT = 100, FIRST = 20 };
    fixture f;
    float points[3 * COUNT], drop[QL_BLOCK_COUNT], expected[3];
    open_fixture(&f, "torus", 33, SEED);
    for (int near = 0; near < 2; ++near) {
        f.options.train.sampling = near ? QL_SAMPLING_NEAR : QL_SAMPLING_FAR;
        for (uint32_t step = 0; step < 7; step += 3) {
            int64_t near_count = ql_sample_near_count(f.options.train.off_points, near, f.options.train.near_fraction);
            ASSERT_OK(ql_cuda_draws_of(points, COUNT, FIRST, drop, &f.setup, step));
            for (int64_t i = 0; i < COUNT; ++i) {
                const uint64_t index = (uint64_t)(FIRST + i);
                if ((int64_t)index < near_count) {
                    int64_t face = ql_sample_near(f.setup.key, step, index, 33, expected);
                    for (int c = 0; c < 3; ++c)
                        expected[c] = (float)f.tables.points[3 * face + c] + (float)f.tables.sigma[face] * expected[c];
                } else {
                    ql_sample_uniform(f.setup.key, step, index, near ? QL_NEAR_RANGE : QL_FAR_RANGE, expected);
                }
                for (int c = 0; c < 3; ++c)
                    if (fabsf(points[3 * i + c] - expected[c]) > 1e-7f * fabsf(expected[c]) + 1e-9f)
                        fail_msg("point %d of step %d: %g, not %g", (int)index, (int)step, (double)points[3 * i + c],
                                 (double)expected[c]);
            }
            for (int b = 0; b < QL_BLOCK_COUNT; ++b)
                assert_true(drop[b] ==
                            (float)ql_sample_drop(f.setup.key, step, (uint32_t)b, ql_layout_get()->block[b].drop_rate));
        }
    }
    close_fixture(&f);
}

static double *gradient_in_order(fixture *f, int when, double terms[QL_LOSS_COUNT])
{
    double *gradient = NULL;
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, 3);
    ASSERT_OK(QL_TAKE(gradient, QL_PARAMETER_COUNT));
    ql_cuda_host_aside(when);
    ql_engine *engine = start(f, &ql_engine_cuda_on_host);
    for (int step = 0; step < 2; ++step) ASSERT_OK(ql_engine_cuda_on_host.evaluate(engine, 3, &weights, terms));
    ASSERT_OK(ql_engine_cuda_on_host.gradient(engine, gradient));
    ql_engine_cuda_on_host.destroy(engine);
    ql_cuda_host_aside(QL_ASIDE_EARLY);
    return gradient;
}

/* What a second stream does in a small mesh's step may come before or after all that is beside it: the same bytes, so neither reads
 * what the other writes. Also in chunks, which reuse the angle network's memory; and as a large mesh has it, all in one stream. */
static void order_beside_the_rest(void **state)
{
    (void)state;
    fixture f;
    double terms[3][QL_LOSS_COUNT], *gradient[3];
    for (int recompute = 0; recompute < 2; ++recompute) {
        open_fixture(&f, "torus", recompute ? 130 : 33, SEED);
        if (recompute) f.options.engine.memory = QL_MEMORY_RECOMPUTE;
        for (int when = QL_ASIDE_EARLY; when <= QL_ASIDE_NEVER; ++when)
            gradient[when] = gradient_in_order(&f, when, terms[when]);
        assert_memory_equal(terms[QL_ASIDE_EARLY], terms[QL_ASIDE_LATE], sizeof terms[0]);
        assert_memory_equal(terms[QL_ASIDE_EARLY], terms[QL_ASIDE_NEVER], sizeof terms[0]);
        assert_memory_equal(gradient[QL_ASIDE_EARLY], gradient[QL_ASIDE_LATE], QL_PARAMETER_COUNT * sizeof(double));
        assert_true(distance(gradient[QL_ASIDE_EARLY], gradient[QL_ASIDE_NEVER], QL_PARAMETER_COUNT) < 1e-6);
        for (int when = 0; when < 3; ++when) ql_free(gradient[when]);
        close_fixture(&f);
    }
}

static void steps_sent_ahead(void **state)
{
    (void)state;
    ahead_as_one_by_one(&ql_engine_cuda_on_host);
}

static void rank_to_gpu(void **state)
{
    (void)state;
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID",
                                        "PMIX_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"};
    for (int k = 0; k < 5; ++k) (void)unsetenv(names[k]);
    assert_int_equal(ql_cuda_local_rank(), 0);
    (void)setenv("SLURM_LOCALID", "5", 1);
    assert_int_equal(ql_cuda_local_rank(), 5);
    (void)setenv("OMPI_COMM_WORLD_LOCAL_RANK", "3", 1); /* mpirun inside a Slurm job: its own numbers count */
    assert_int_equal(ql_cuda_local_rank(), 3);
    (void)setenv("OMPI_COMM_WORLD_LOCAL_RANK", "x", 1);
    assert_int_equal(ql_cuda_local_rank(), 5);
    for (int k = 0; k < 5; ++k) (void)unsetenv(names[k]);
    assert_int_equal(ql_cuda_device_of_rank(3, 4), 3);
    assert_int_equal(ql_cuda_device_of_rank(5, 4), 1);
    assert_int_equal(ql_cuda_device_of_rank(5, 1), 0);
    char text[128];
    ql_cuda_describe_binding(text, sizeof text, 5, 4, "H200", "0000:1b:00.0");
    assert_string_equal(text, "engine cuda: local rank 5 has GPU 1 of the 4 that it sees (H200, 0000:1b:00.0)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_to_gpu),
        cmocka_unit_test(plans),
        cmocka_unit_test(odd_sizes_against_ref),
        cmocka_unit_test(lanes_of_a_warp),
        cmocka_unit_test(chunks_give_the_same),
        cmocka_unit_test(products_by_tiles),
        cmocka_unit_test(residual_blocks),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(a_group_of_one),
        cmocka_unit_test(steps_sent_ahead),
        cmocka_unit_test(order_beside_the_rest),
        cmocka_unit_test(identical_streams),
        cmocka_unit_test(golden),
    };
    return ql_test_main(tests);
}
