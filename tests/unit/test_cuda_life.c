/* Engine cuda's dealings with a device that is lost, short of memory or shared, on the host: injected failures, tables
 * uploaded ahead, smaller plans where memory is gone, steps that allocate nothing, ranks that a mesh needs, NCCL's choice and start,
 * the energy meter. */
#include "support/engine_fixture.h"

#include "comm/comm.h"
#include "host_engine.h"
#include "nccl_comm.h"
#include "nvml.h"

#include <dlfcn.h>

static const ql_engine_class *const HOST = &ql_engine_cuda_on_host;

/* All calls of an engine's life; the status of the first that fails. Every later one must fail alike. */
static ql_status live(fixture *f)
{
    ql_engine *engine = NULL;
    ql_engine_state state = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, 0);
    double terms[QL_LOSS_COUNT], norm, theta[2], field[20], several[1][QL_LOSS_COUNT], norms[1];
    ql_status status = HOST->create(&engine, &f->setup);
    if (status != QL_OK) {
        assert_null(engine);
        return status;
    }
    ql_status all[] = {
        HOST->set_state(engine, &state), HOST->evaluate(engine, 0, &weights, terms),
        HOST->apply(engine, 0, &norm),   HOST->advance(engine, 1, 1, &weights, several, norms),
        HOST->theta(engine, theta),      HOST->field(engine, f->tables.points, 1, field, field + 1, field + 4),
        HOST->state(engine, &state)};
    HOST->destroy(engine);
    for (size_t k = 0; k < sizeof all / sizeof *all; ++k) {
        if (status != QL_OK) assert_int_equal(all[k], status);
        status = all[k];
    }
    return status;
}

/* A launch that fails (a lost device: ENVIRONMENT) ends every call from there on with that status, nothing more is
 * launched, and nothing leaks (ql_test_main checks the balance). */
static void lost_device(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "torus", 1, 1);
    ql_cuda_host_faults(-1, QL_OK, 0);
    ASSERT_OK(live(&f));
    const int64_t calls = ql_cuda_host_calls();
    assert_true(calls > 500);
    const int64_t places[] = {0, 1, 2, 3, 4, 5, calls / 4, calls / 2, calls * 3 / 4, calls - 1};
    for (size_t k = 0; k < sizeof places / sizeof *places; ++k) {
        const int64_t at = places[k];
        ql_cuda_host_faults(at, QL_STATUS_ENVIRONMENT, 0);
        assert_int_equal(live(&f), QL_STATUS_ENVIRONMENT);
        assert_non_null(strstr(ql_error_text(), "injected"));
        assert_int_equal(ql_cuda_host_calls(), at + 1);
    }
    ql_cuda_host_faults(-1, QL_OK, 0);
    ASSERT_OK(live(&f)); /* the next mesh */
    close_fixture(&f);
}

static void gradient_of(fixture *f, double *gradient, double *theta)
{
    double terms[QL_LOSS_COUNT];
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, 3);
    ql_engine *engine = start(f, HOST);
    ASSERT_OK(HOST->evaluate(engine, 3, &weights, terms));
    ASSERT_OK(HOST->gradient(engine, gradient));
    ASSERT_OK(HOST->theta(engine, theta));
    HOST->destroy(engine);
}

/* Tables that were sent ahead serve as those that create sends: the same bytes, also where the host's have gone meanwhile. */
static void uploaded_ahead(void **state)
{
    (void)state;
    fixture f;
    double *first = NULL, *second = NULL, theta[2][33];
    ql_engine_upload *upload = NULL;
    open_fixture(&f, "torus", 33, 1);
    ASSERT_OK(QL_TAKE(first, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(second, QL_PARAMETER_COUNT));
    gradient_of(&f, first, theta[0]);
    ASSERT_OK(HOST->prepare(&upload, &f.setup));
    assert_non_null(upload);
    for (int k = 0; k < 3 * 33; ++k) f.tables.points[k] = NAN;
    for (int k = 0; k < f.tables.neighbour_ptr[33]; ++k) f.tables.transport[k] = NAN;
    f.setup.upload = upload;
    gradient_of(&f, second, theta[1]);
    HOST->discard(upload);
    assert_memory_equal(first, second, QL_PARAMETER_COUNT * sizeof *first);
    assert_memory_equal(theta[0], theta[1], sizeof theta[0]);
    ASSERT_OK(HOST->prepare(&upload, &f.setup));
    HOST->discard(upload); /* the mesh was not trained after all */
    HOST->discard(NULL);
    ql_free(first);
    ql_free(second);
    close_fixture(&f);
}

/* Memory that was free a moment ago and is gone at the allocation: smaller plans have their turn, and when none fits the
 * error says how much and how many ranks. */
static void memory_gone(void **state)
{
    (void)state;
    fixture f;
    ql_plan_facts keep;
    double *first = NULL, *second = NULL, *theta = NULL;
    open_fixture(&f, "torus", 33, 1);
    f.options.train.off_points = 1100; /* more than the smallest chunk has */
    ASSERT_OK(QL_TAKE(first, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(second, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(theta, 33));
    ASSERT_OK(ql_cuda_plan_of(&keep, &f.setup, INT64_MAX));
    assert_int_equal(keep.angle_chunks, 1);
    gradient_of(&f, first, theta);
    ql_cuda_host_faults(-1, QL_OK, keep.bytes - keep.table_bytes - 1);
    gradient_of(&f, second, theta);
    assert_true(distance(second, first, QL_PARAMETER_COUNT) < 1e-5);
    assert_true(distance(second, first, QL_PARAMETER_COUNT) > 0); /* another way of adding */
    ql_cuda_host_faults(-1, QL_OK, 1000000);
    ql_engine *engine = NULL;
    assert_int_equal(HOST->create(&engine, &f.setup), QL_STATUS_NO_MEMORY);
    assert_null(engine);
    assert_non_null(strstr(ql_error_text(), "33 faces need"));
    ql_cuda_host_faults(-1, QL_OK, 0);
    ql_free(first);
    ql_free(second);
    ql_free(theta);
    close_fixture(&f);
}

/* Two steps, in which a device records its graph; then one by evaluate and two sent ahead, in which nobody takes anything: the
 * next to take memory, for itself or for a device, would get none. */
static void steps_take_nothing(fixture *f)
{
    ql_engine *engine = start(f, HOST);
    ql_loss_weights weights[2] = {ql_loss_weights_at(&f->options.train, 0), ql_loss_weights_at(&f->options.train, 0)};
    double terms[2][QL_LOSS_COUNT], norms[2];
    int64_t allocations = 0;
    ql_memory_report before = {0}, after;
    for (int step = 0; step < 4; ++step) {
        if (step == 2) {
            ql_memory_reset_peak();
            before = ql_memory_balance();
            allocations = ql_cuda_host_allocations();
            assert_true(allocations > 0);
            ql_memory_fail_at(1);
        }
        ql_status status = step < 3 ? HOST->evaluate(engine, step, &weights[0], terms[0])
                                    : HOST->advance(engine, step, 2, weights, terms, norms);
        if (step < 3 && status == QL_OK) status = HOST->apply(engine, step, &norms[0]);
        if (status != QL_OK) ql_memory_fail_at(0);
        ASSERT_OK(status);
    }
    after = ql_memory_balance();
    const bool untouched = ql_memory_take(1, 1) == NULL; /* the failure that was ordered is still there */
    ql_memory_fail_at(0);
    assert_true(untouched);
    assert_int_equal(ql_cuda_host_allocations(), allocations);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.peak_bytes, before.peak_bytes);
    HOST->destroy(engine);
}

/* Alone, and as a group of one rank through the host and from device to device; in chunks with the last, since the others' exchanges
 * know nothing of chunks. */
static void nothing_is_allocated(void **state)
{
    (void)state;
    enum { ALONE = -1 };
    static const struct {
        int faces, way;
    } cases[] = {{33, ALONE}, {33, QL_GROUP_HOST}, {33, QL_GROUP_DIRECT}, {65, QL_GROUP_DIRECT}};
    (void)setenv("QL_CUDA_NCCL_ALONE", "1", 1);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; ++k) {
        const bool recompute = cases[k].faces > 64;
        fixture f;
        ql_comm *one = NULL;
        ql_plan_facts plan;
        open_fixture(&f, "torus", cases[k].faces, 1);
        if (recompute) f.options.engine.memory = QL_MEMORY_RECOMPUTE;
        ASSERT_OK(ql_cuda_plan_of(&plan, &f.setup, INT64_MAX));
        assert_int_equal(plan.angle_chunks > 1, recompute);
        ASSERT_OK(ql_comm_self(&one));
        if (cases[k].way != ALONE) {
            f.setup.group = one;
            f.options.train.deterministic = false;
            ql_cuda_host_group(cases[k].way);
        }
        steps_take_nothing(&f);
        ql_comm_destroy(one);
        close_fixture(&f);
    }
    (void)unsetenv("QL_CUDA_NCCL_ALONE");
    ql_cuda_host_group(QL_GROUP_HOST);
}

/* A mesh of any number of faces as a plan sees it, which reads sizes only. */
typedef struct planned {
    fixture f;
    int32_t faces, *pointers, *kept;
} planned;

static void open_planned(planned *p, int32_t most_faces)
{
    open_fixture(&p->f, "torus", 64, 1);
    p->faces = p->f.tables.face_count;
    p->kept = p->f.tables.neighbour_ptr;
    ASSERT_OK(QL_TAKE(p->pointers, most_faces + 1));
    p->f.tables.neighbour_ptr = p->pointers;
    p->f.options.train.off_points = 15000;
}

static void close_planned(planned *p)
{
    p->f.tables.neighbour_ptr = p->kept;
    p->f.tables.face_count = p->faces;
    ql_free(p->pointers);
    close_fixture(&p->f);
}

/* By count, no measurement: the operations are the method's; the bytes of a step are bounded, so that no pass over memory
 * slips in unseen; the graph's length likewise (cuda/README.md has the table). */
static void traffic(void **state)
{
    (void)state;
    static const struct {
        ql_precision precision;
        int launches;              /* at 2,000 faces and at 50,000, one chunk of each kind */
        double kilobytes_per_face; /* at 50,000 faces: all of a step over the faces */
    } bounds[] = {{QL_PRECISION_FP32, 393, 1320},
                  {QL_PRECISION_3XTF32, 304, 1215},
                  {QL_PRECISION_TF32, 304, 1215},
                  {QL_PRECISION_BF16, 312, 1090}};
    static const int sizes[] = {2000, 50000};
    planned sized;
    open_planned(&sized, 50000);
    print_message("faces  precision  launches   GB     TFLOP\n");
    for (int p = 0; p < 4; ++p)
        for (int s = 0; s < 2; ++s) {
            ql_traffic t[QL_TRAFFIC_MOST], all = {0};
            ql_launch_limits limits;
            int count;
            sized.f.tables.face_count = sizes[s];
            sized.f.options.engine.precision = bounds[p].precision;
            ASSERT_OK(ql_cuda_traffic_of(t, &count, &limits, &sized.f.setup, INT64_MAX));
            for (int r = 0; r < count; ++r) {
                all.launches += t[r].launches;
                all.bytes += t[r].bytes;
                all.flop += t[r].flop;
            }
            print_message("%6d %d %5d %7.2f %7.3f  ", sizes[s], (int)bounds[p].precision, (int)all.launches,
                          all.bytes * 1e-9, all.flop * 1e-12);
            for (int r = 0; r < count; ++r)
                print_message(" %s: %d, %.2f GB;", t[r].name, (int)t[r].launches, t[r].bytes * 1e-9);
            print_message("\n");
            const double formula = ql_engine_flop_formula(sizes[s], 15000);
            assert_true(all.flop > formula && all.flop < 1.1 * formula); /* rows are padded */
            assert_true(all.launches <= bounds[p].launches);
            if (s == 1) assert_true(all.bytes <= bounds[p].kilobytes_per_face * 1e3 * sizes[s]);
        }
    close_planned(&sized);
}

/* At any size, kept or recomputed: grids within a GPU's limits, every product aligned as cuBLASLt is promised and as the tiles' copies
 * of 16 bytes need it. */
static void launches_within_limits(void **state)
{
    (void)state;
    static const int sizes[] = {1, 31, 33, 2000, 16385, 50000, 1000000};
    static const ql_precision precisions[] = {QL_PRECISION_FP32, QL_PRECISION_3XTF32, QL_PRECISION_TF32,
                                              QL_PRECISION_BF16};
    planned sized;
    open_planned(&sized, 1000000);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s)
        for (int p = 0; p < 4; ++p)
            for (int tight = 0; tight < 2; ++tight) {
                ql_traffic t[QL_TRAFFIC_MOST];
                ql_launch_limits limits;
                int count;
                sized.f.tables.face_count = sizes[s];
                sized.f.options.engine.precision = precisions[p];
                sized.f.options.engine.memory = tight ? QL_MEMORY_RECOMPUTE : QL_MEMORY_KEEP;
                ASSERT_OK(ql_cuda_traffic_of(t, &count, &limits, &sized.f.setup, INT64_MAX));
                assert_true(limits.most_blocks > 0 && limits.most_blocks < (int64_t)1 << 31);
                if (limits.unaligned + limits.refused > 0)
                    fail_msg("%d faces, precision %d: %d products not aligned, %d refused", sizes[s],
                             (int)precisions[p], (int)limits.unaligned, (int)limits.refused);
            }
    close_planned(&sized);
}

static void meter(void **state)
{
    (void)state;
    ql_meter m;
    (void)unsetenv("FAKE_NVML_ENERGY");
    (void)unsetenv("FAKE_NVML_POWER");
    ql_meter_open(&m, "/no/such/library.so", "0000:01:00.0", 0);
    assert_true(ql_meter_joules(&m, 1) < 0);
    ql_meter_sample(&m, 2);
    ql_meter_close(&m);
    ql_meter_open(&m, QL_FAKE_NVML, "0000:01:00.0", 0); /* neither counter nor power */
    assert_true(ql_meter_joules(&m, 1) < 0 && ql_meter_watts(&m, 1) < 0);
    ql_meter_close(&m);
    (void)setenv("FAKE_NVML_POWER", "100000", 1);
    ql_meter_open(&m, QL_FAKE_NVML, "0000:02:00.0", 0); /* another GPU */
    assert_true(ql_meter_joules(&m, 1) < 0);
    ql_meter_close(&m);
    ql_meter_open(&m, QL_FAKE_NVML, "0000:01:00.0", 10); /* power alone: sampled, trapezoids */
    ql_meter_sample(&m, 10.05);
    ql_meter_sample(&m, 12);
    (void)setenv("FAKE_NVML_POWER", "300000", 1);
    ql_meter_sample(&m, 14);
    assert_true(fabs(ql_meter_joules(&m, 14) - (200 + 400)) < 1e-9);
    assert_true(fabs(ql_meter_watts(&m, 14) - 150) < 1e-9);
    ql_meter_close(&m);
    (void)setenv("FAKE_NVML_ENERGY", "5000", 1);
    ql_meter_open(&m, QL_FAKE_NVML, "0000:01:00.0", 0);
    (void)setenv("FAKE_NVML_ENERGY", "17500", 1);
    assert_true(fabs(ql_meter_joules(&m, 1) - 12.5) < 1e-9);
    assert_true(fabs(ql_meter_watts(&m, 5) - 2.5) < 1e-9);
    (void)setenv("FAKE_NVML_ENERGY", "100", 1);
    assert_true(ql_meter_joules(&m, 1) < 0);
    ql_meter_close(&m);
}

/* Which groups may use NCCL: the same answer on all ranks, with the reason for the log. */
static void nccl_or_not(void **state)
{
    (void)state;
    char why[256] = "";
    ql_nccl_candidate all[3] = {{true, true, 22803, "a", "0000:01:00.0"},
                                {true, true, 22803, "a", "0000:02:00.0"},
                                {true, true, 22803, "b", "0000:01:00.0"}};
    assert_true(ql_nccl_choose(all, 3, why, sizeof why)); /* the same bus on another host is another GPU */
    assert_true(ql_nccl_choose(all, 1, why, sizeof why));
    (void)snprintf(all[2].host, sizeof all[2].host, "a");
    assert_false(ql_nccl_choose(all, 3, why, sizeof why));
    assert_string_equal(why, "ranks 0 and 2 of the group share GPU 0000:01:00.0 of a");
    (void)snprintf(all[2].host, sizeof all[2].host, "b");
    all[1].version = 22000;
    assert_false(ql_nccl_choose(all, 3, why, sizeof why));
    assert_string_equal(why, "NCCL 22803 on a, 22000 on a");
    assert_true(ql_nccl_records(20906, 11030) && ql_nccl_records(22803, 13000));
    assert_false(ql_nccl_records(2804, 12000)); /* 2.8.4 */
    assert_false(ql_nccl_records(22803, 11020));
    all[1].available = false;
    assert_false(ql_nccl_choose(all, 3, why, sizeof why));
    assert_string_equal(why, "rank 1 of the group (a) has no NCCL");
}

/* ---- NCCL's start ---- */

typedef struct fake_nccl {
    int first, then; /* what begin gives, and what becomes of it */
    int asked, asks; /* how often state was asked; after so often it says `then` (< 0: never) */
    int finished;    /* what finish gives */
    int destroys, aborts;
} fake_nccl;

static int fake_begin(void *of) { return ((fake_nccl *)of)->first; }
static int fake_state(void *of)
{
    fake_nccl *n = of;
    return n->asks >= 0 && ++n->asked > n->asks ? n->then : QL_NCCL_IN_PROGRESS;
}
static int fake_finish(void *of)
{
    ((fake_nccl *)of)->asked = 0;
    return ((fake_nccl *)of)->finished;
}
static void fake_destroy(void *of) { ++((fake_nccl *)of)->destroys; }
static void fake_abort(void *of) { ++((fake_nccl *)of)->aborts; }
static const char *fake_text(int result) { return result == 6 ? "remote process exited" : "?"; }
static const ql_nccl_calls FAKE = {fake_begin, fake_state, fake_finish, fake_destroy, fake_abort, fake_text};

enum { REMOTE_ERROR = 6 };

/* What is there at once (a library that blocks), after a while, ends in an error or never; all but the first two end without NCCL,
 * aborted once, with nothing left to report. */
static void nccl_starts_or_not(void **state)
{
    (void)state;
    const int going = QL_NCCL_IN_PROGRESS;
    fake_nccl cases[] = {{0, 0, 0, 0, 0, 0, 0},
                         {going, 0, 0, 5, 0, 0, 0},
                         {REMOTE_ERROR, 0, 0, 0, 0, 0, 0},
                         {going, REMOTE_ERROR, 0, 5, 0, 0, 0},
                         {going, 0, 0, -1, 0, 0, 0}};
    ql_comm *one = NULL;
    ql_error_clear(); /* of an earlier test */
    ASSERT_OK(ql_comm_self(&one));
    for (int k = 0; k < 5; ++k) {
        bool joined = k >= 2;
        ASSERT_OK(ql_nccl_join(&FAKE, &cases[k], one, 0.02, &joined));
        assert_int_equal(joined, k < 2);
        assert_int_equal(cases[k].aborts, k < 2 ? 0 : 1);
        assert_int_equal(cases[k].asked, k == 1 || k == 3 ? 6 : 0);
        assert_string_equal(ql_error_text(), "");
    }
    ql_comm_destroy(one);
    assert_int_equal(ql_nccl_settle(&FAKE, &cases[4], going, "ncclAllReduce", 0.02), QL_STATUS_ENVIRONMENT);
    assert_non_null(strstr(ql_error_text(), "ncclAllReduce: not done after 0.02 s"));
    cases[3].asked = 0;
    assert_int_equal(ql_nccl_settle(&FAKE, &cases[3], going, "ncclGroupEnd", 1), QL_STATUS_ENVIRONMENT);
    assert_non_null(strstr(ql_error_text(), "ncclGroupEnd: remote process exited"));
    ql_error_clear();
}

/* Its end: destroyed when all is over, aborted when that does not come; the error that ended a mesh stays. */
static void nccl_ends(void **state)
{
    (void)state;
    const int going = QL_NCCL_IN_PROGRESS;
    fake_nccl cases[] = {{0, 0, 0, 0, 0, 0, 0},
                         {0, 0, 0, 5, going, 0, 0},
                         {0, REMOTE_ERROR, 0, 5, going, 0, 0},
                         {0, 0, 0, -1, going, 0, 0}};
    const ql_status lost = QL_FAIL(ENVIRONMENT, "the device was lost");
    assert_int_equal(lost, QL_STATUS_ENVIRONMENT);
    for (int k = 0; k < 4; ++k) {
        ql_nccl_leave(&FAKE, &cases[k], false, 0.02);
        assert_int_equal(cases[k].destroys, k < 2);
        assert_int_equal(cases[k].aborts, k >= 2);
    }
    ql_nccl_leave(&FAKE, &cases[0], true, 0.02);
    assert_int_equal(cases[0].aborts, 1);
    assert_non_null(strstr(ql_error_text(), "the device was lost"));
    ql_error_clear();
}

/* A library without an optional function (calls block then) and without a required one (no NCCL). */
static void nccl_functions(void **state)
{
    (void)state;
    char why[128] = "";
    void *function = NULL, *library = dlopen(QL_FAKE_NVML, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    assert_true(ql_nccl_find(library, "nvmlShutdown", true, &function, why, sizeof why));
    assert_non_null(function);
    assert_true(ql_nccl_find(library, "ncclCommInitRankConfig", false, &function, why, sizeof why));
    assert_null(function);
    assert_string_equal(why, "");
    assert_false(ql_nccl_find(library, "ncclAllReduce", true, &function, why, sizeof why));
    assert_string_equal(why, "libnccl.so.2 has no function ncclAllReduce");
    (void)dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meter),
        cmocka_unit_test(nccl_or_not),
        cmocka_unit_test(traffic),
        cmocka_unit_test(launches_within_limits),
        cmocka_unit_test(lost_device),
        cmocka_unit_test(uploaded_ahead),
        cmocka_unit_test(memory_gone),
        cmocka_unit_test(nothing_is_allocated),
        cmocka_unit_test(nccl_starts_or_not),
        cmocka_unit_test(nccl_ends),
        cmocka_unit_test(nccl_functions),
    };
    return ql_test_main(tests);
}
