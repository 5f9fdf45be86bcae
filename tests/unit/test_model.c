/* Layout, initial parameters, schedule, shares, and the formulas per point against central differences. */
#include "support/test.h"

#include "mesh/generate.h"
#include "model/initial.h"
#include "model/layout.h"
#include "model/loss.h"
#include "model/sample.h"

#define QL_REAL double
#include "model/point.h"

#include <string.h>

static void layout_has_the_golden_names_and_places(void **state)
{
    (void)state;
    const ql_layout *layout = ql_layout_get();
    static const struct {
        const char *name;
        int32_t offset, rows, columns;
    } known[] = {{"sdf.0.weight", 0, 256, 3},
                 {"sdf.5.bias", 264448, 1, 1},
                 {"angle.in.linear.weight", 264449, 256, 12},
                 {"angle.e0.2.mid.weight", 360193 + 4288, 64, 64},
                 {"angle.widen.linear.weight", 759169, 512, 256},
                 {"angle.d0.tail.norm.weight", 1339521, 512, 1},
                 {"angle.s2.tail.linear.weight", 3810817, 128, 256},
                 {"angle.h.2.gamma", 4290945, 512, 1},
                 {"angle.out.linear.bias", 4362561, 1, 1}};
    int found = 0;
    for (int e = 0; e < QL_ENTRY_COUNT; ++e)
        for (size_t k = 0; k < sizeof known / sizeof *known; ++k)
            if (strcmp(layout->entry[e].name, known[k].name) == 0) {
                if (strcmp(known[k].name, "angle.e0.2.mid.weight") != 0)
                    assert_int_equal(layout->entry[e].offset, known[k].offset);
                assert_int_equal(layout->entry[e].rows, known[k].rows);
                assert_int_equal(layout->entry[e].columns, known[k].columns);
                found++;
            }
    assert_int_equal(found, sizeof known / sizeof *known);
    assert_int_equal(layout->stage_begin[QL_STAGE_COUNT], QL_BLOCK_COUNT);
    assert_true(layout->block[0].drop_rate == 0 && layout->block[16].drop_rate == 0);
    assert_true(fabs(layout->block[15].drop_rate - 0.1) < 1e-15 && fabs(layout->block[31].drop_rate - 0.1) < 1e-15);
}

/* With and without wide vectors the same bytes; and those of the formula with the C library's logarithm and cosine, but for the
 * rounding of a few. */
static void initial_parameters_have_the_same_bytes_everywhere(void **state)
{
    (void)state;
    const ql_key key = ql_key_make(3, 11);
    float *wide = NULL, *plain = NULL;
    ASSERT_OK(QL_TAKE(wide, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(plain, QL_PARAMETER_COUNT));
    ql_initial_parameters_by(key, true, wide);
    ql_initial_parameters_by(key, false, plain);
    assert_memory_equal(wide, plain, QL_PARAMETER_COUNT * sizeof *wide);
    const ql_layout *layout = ql_layout_get();
    int different = 0;
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) {
        const ql_entry *entry = &layout->entry[e];
        for (int k = 0; entry->kind == QL_ENTRY_WEIGHT && k < entry->rows * entry->columns; ++k) {
            const ql_random4 random = ql_random_at(key, QL_STREAM_INIT, 0, (uint64_t)(entry->offset + k));
            const double radius = sqrt(-2 * log(ql_uniform_open(random.r[0])));
            const double x = 0.02 * radius * cos(2 * M_PI * ql_uniform_open(random.r[1]));
            const float found = wide[entry->offset + k];
            assert_true(fabs((double)found - x) <= 1e-7 * fabs(x) + 1e-17);
            different += found != (float)x;
        }
    }
    assert_true(different < 10);
    ql_free(wide);
    ql_free(plain);
}

/* Bounds and moments of each kind of entry, and dependence on the key alone. */
static void initial_parameters_follow_their_law(void **state)
{
    (void)state;
    float *a = NULL, *b = NULL;
    ASSERT_OK(QL_TAKE(a, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(b, QL_PARAMETER_COUNT));
    ql_initial_parameters(ql_key_make(5, 77), a);
    ql_initial_parameters(ql_key_make(5, 77), b);
    assert_memory_equal(a, b, QL_PARAMETER_COUNT * sizeof *a);
    ql_initial_parameters(ql_key_make(6, 77), b);
    assert_true(a[100] != b[100]);
    const ql_layout *layout = ql_layout_get();
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) {
        const ql_entry *entry = &layout->entry[e];
        int count = entry->rows * entry->columns;
        double sum = 0, squares = 0, largest = 0;
        for (int k = 0; k < count; ++k) {
            double x = a[entry->offset + k];
            sum += x;
            squares += x * x;
            largest = fmax(largest, fabs(x));
        }
        double deviation = sqrt(squares / count);
        if (entry->kind == QL_ENTRY_SDF_FIRST) assert_true(largest <= 1.0 / 3 && largest > 0.32);
        if (entry->kind == QL_ENTRY_SDF_WEIGHT) assert_true(largest <= sqrt(6.0 / 256) / 30 + 1e-9);
        if (entry->kind == QL_ENTRY_SDF_WEIGHT && count > 1000)
            assert_true(fabs(deviation / (sqrt(6.0 / 256) / 30 / sqrt(3)) - 1) < 0.02);
        if (entry->kind == QL_ENTRY_WEIGHT && count > 1000) {
            assert_true(fabs(deviation / 0.02 - 1) < 0.05);
            assert_true(fabs(sum / count) < 5 * 0.02 / sqrt(count));
        }
        if (entry->kind == QL_ENTRY_ZERO) assert_true(largest == 0);
        if (entry->kind == QL_ENTRY_GAMMA) assert_true(a[entry->offset] == 1e-6f);
    }
    ql_free(a);
    ql_free(b);
}

static void schedule_of_the_normal_term(void **state)
{
    (void)state;
    assert_true(ql_loss_normal_weight(0, 1000, 3) == 3);
    assert_true(ql_loss_normal_weight(200, 1000, 3) == 3); /* uses 199/1000: one step of lag */
    assert_true(ql_loss_normal_weight(202, 1000, 3) < 3);
    assert_true(fabs(ql_loss_normal_weight(301, 1000, 3) - (3 + 0.001) / 2) < 1e-12);
    assert_true(fabs(ql_loss_normal_weight(401, 1000, 3) - 0.001) < 1e-12);
    assert_true(fabs(ql_loss_normal_weight(701, 1000, 3) - 0.0005) < 1e-12);
    assert_true(ql_loss_normal_weight(1001, 1000, 3) < 1e-12);
}

/* The weights that the reference program used in a real run. */
static void schedule_equals_the_reference(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("schedule of the normal term in dt2000_converge.csv");
    char path[4200], line[512];
    (void)snprintf(path, sizeof path, "%s/golden/dt2000_converge.csv", ql_test_shared());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int rows = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        long step;
        double seconds, weight;
        if (sscanf(line, "%ld,%lf,%lf", &step, &seconds, &weight) != 3) continue;
        assert_true(fabs(ql_loss_normal_weight(step, 1500, 3) - weight) <= 1e-5 * weight + 1e-12);
        rows++;
    }
    (void)fclose(file);
    assert_true(rows > 100);
}

/* Group means of section 7: a triangle strip has faces with 1 and 2 neighbours. */
static void shares_of_groups(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_topology topology;
    ql_tables tables;
    ql_loss_shares shares;
    ASSERT_OK(ql_generate_by_name(&mesh, "bracket", 300));
    ASSERT_OK(ql_topology_build(&topology, &mesh));
    ASSERT_OK(ql_tables_build(&tables, &mesh, &topology, 0));
    for (int averaging = 0; averaging < 2; ++averaging) {
        ASSERT_OK(ql_loss_shares_build(&shares, &tables, (ql_averaging)averaging, 0, NULL));
        double align = 0, smooth = 0, group[4] = {0};
        for (int32_t i = 0; i < tables.face_count; ++i) {
            int32_t n = tables.neighbour_ptr[i + 1] - tables.neighbour_ptr[i];
            align += shares.align[i];
            smooth += shares.smooth[i] * n;
            group[n] += shares.align[i];
        }
        assert_true(fabs(align - 1) < 1e-12 && fabs(smooth - 1) < 1e-12);
        if (averaging == QL_AVERAGING_GROUPS) assert_true(fabs(group[2] - group[3]) < 1e-12 && group[3] > 0.3);
        ql_loss_shares_destroy(&shares);
    }
    ql_tables_destroy(&tables);
    ql_topology_destroy(&topology);
    ql_mesh_destroy(&mesh);
}

static double uniform(uint64_t *counter)
{
    return 2 * (double)ql_uniform(ql_random_at(ql_key_make(1, 2), QL_STREAM_TEST, 0, (*counter)++).r[0]) - 1;
}

/* x: f, g[3], h[6], theta; the weighted sum of the surface terms. */
static double surface_total(const double x[11], const double n[3], const double u[3], const double v[3],
                            const ql_point_scale *scale, ql_point_adjoint *adjoint)
{
    ql_point_terms t = ql_point_surface(x[0], x + 1, x + 4, n, u, v, cos(x[10]), sin(x[10]), scale, adjoint);
    return scale->sdf * t.sdf + scale->eikonal * t.eikonal + scale->normal * t.normal + scale->align * t.align;
}

static void adjoints_of_a_surface_point(void **state)
{
    (void)state;
    const ql_point_scale scale = {1.3, 0, 0.7, 2.1, 1.7};
    uint64_t counter = 0;
    for (int trial = 0; trial < 200; ++trial) {
        double n[3], u[3], v[3], x[11], length = 0;
        for (int c = 0; c < 3; ++c) n[c] = uniform(&counter);
        length = sqrt(ql_dot3(n, n));
        for (int c = 0; c < 3; ++c) n[c] /= length;
        ql_frame_of_normal(n, u, v);
        for (int k = 0; k < 11; ++k) x[k] = 3 * uniform(&counter);
        ql_point_adjoint adjoint, ignored;
        (void)surface_total(x, n, u, v, &scale, &adjoint);
        double exact[11] = {adjoint.value};
        for (int c = 0; c < 3; ++c) exact[1 + c] = adjoint.gradient[c];
        for (int k = 0; k < 6; ++k) /* an off-diagonal entry of x stands for two of the matrix */
            exact[4 + k] = adjoint.hessian[k] * (k == 0 || k == 3 || k == 5 ? 1 : 2);
        exact[10] = adjoint.theta;
        for (int k = 0; k < 11; ++k) {
            double keep = x[k], h = 1e-7;
            x[k] = keep + h;
            double plus = surface_total(x, n, u, v, &scale, &ignored);
            x[k] = keep - h;
            double minus = surface_total(x, n, u, v, &scale, &ignored);
            x[k] = keep;
            assert_true(fabs((plus - minus) / (2 * h) - exact[k]) < 2e-5 * (1 + fabs(exact[k])));
        }
    }
}

static void adjoints_of_an_off_surface_point(void **state)
{
    (void)state;
    const ql_point_scale scale = {0, 2.0, 0.6, 0, 0};
    uint64_t counter = 5000;
    for (int trial = 0; trial < 100; ++trial) {
        double x[4];
        ql_point_adjoint adjoint, ignored;
        for (int k = 0; k < 4; ++k) x[k] = uniform(&counter) * (k == 0 ? 0.02 : 1.5);
        (void)ql_point_off(x[0], exp(-100 * fabs(x[0])), x + 1, &scale, &adjoint);
        double exact[4] = {adjoint.value, adjoint.gradient[0], adjoint.gradient[1], adjoint.gradient[2]};
        for (int k = 0; k < 4; ++k) {
            double keep = x[k], h = 1e-8, side[2];
            for (int s = 0; s < 2; ++s) {
                x[k] = s == 0 ? keep + h : keep - h;
                ql_point_terms t = ql_point_off(x[0], exp(-100 * fabs(x[0])), x + 1, &scale, &ignored);
                side[s] = scale.off * t.off + scale.eikonal * t.eikonal;
            }
            x[k] = keep;
            assert_true(fabs((side[0] - side[1]) / (2 * h) - exact[k]) < 1e-4 * (1 + fabs(exact[k])));
        }
    }
}

/* The scalar form of smoothness equals the sum over the four products of the two crosses, and its slope is right. */
static void smoothness_of_a_pair(void **state)
{
    (void)state;
    for (double d = -7; d < 7; d += 0.0371) {
        double slope, ignored, h = 1e-7;
        double term = ql_point_smooth(cos(d), sin(d), &slope);
        double sum = 2 * fabs(cos(d)) + 2 * fabs(sin(d)) - 2;
        assert_true(fabs(term - sum) < 1e-14);
        double plus = ql_point_smooth(cos(d + h), sin(d + h), &ignored),
               minus = ql_point_smooth(cos(d - h), sin(d - h), &ignored);
        assert_true(fabs((plus - minus) / (2 * h) - slope) < 1e-6);
    }
}

static void gelu_and_its_slope(void **state)
{
    (void)state;
    for (double x = -6; x < 6; x += 0.11) {
        double slope, ignored, h = 1e-6;
        assert_true(fabs(ql_gelu(x, &slope) - x * 0.5 * erfc(-x / sqrt(2))) < 1e-15);
        assert_true(fabs((ql_gelu(x + h, &ignored) - ql_gelu(x - h, &ignored)) / (2 * h) - slope) < 1e-8);
    }
}

/* Adam against its definition written out, epsilon after the root; the clip. */
static void adam_by_hand(void **state)
{
    (void)state;
    double p = 0.5, m = 0, v = 0, p2 = 0.5, m2 = 0, v2 = 0;
    for (int t = 1; t < 6; ++t) {
        double g = 3e-5 * t, norm = 1000, clip = 10 / (norm + 1e-6);
        ql_adam adam = ql_adam_at(t, norm, 10, 5e-5);
        ql_adam_update(&adam, g, &p, &m, &v);
        m2 = 0.9 * m2 + 0.1 * g * clip;
        v2 = 0.999 * v2 + 0.001 * g * clip * g * clip;
        p2 -= 5e-5 * (m2 / (1 - pow(0.9, t))) / (sqrt(v2 / (1 - pow(0.999, t))) + 1e-8);
        assert_true(fabs(p - p2) < 1e-15 && fabs(m - m2) < 1e-20);
    }
    assert_true(ql_adam_at(1, 3.0, 10, 1).clip == 1.0);
}

/* Mean of the drops, range of the points, unit variance near the surface. */
static void sampling_laws(void **state)
{
    (void)state;
    ql_key key = ql_key_make(3, 4);
    int dropped = 0;
    double sum[3] = {0}, squares[3] = {0}, largest = 0;
    const int count = 20000;
    for (int k = 0; k < count; ++k) {
        float point[3], offset[3];
        dropped += ql_sample_drop(key, (uint32_t)k, 7, 0.1) == 0;
        ql_sample_uniform(key, 0, (uint64_t)k, QL_FAR_RANGE, point);
        int32_t face = ql_sample_near(key, 0, (uint64_t)k, 11, offset);
        assert_in_range(face, 0, 10);
        for (int c = 0; c < 3; ++c) {
            sum[c] += offset[c];
            squares[c] += offset[c] * offset[c];
            largest = fmax(largest, fabs(point[c]));
        }
    }
    assert_true(abs(dropped - count / 10) < 5 * sqrt(count * 0.09));
    assert_true(largest <= 256 && largest > 255);
    for (int c = 0; c < 3; ++c) {
        assert_true(fabs(sum[c] / count) < 5 / sqrt(count));
        assert_true(fabs(squares[c] / count - 1) < 0.05);
    }
    assert_true(ql_sample_drop(key, 0, 0, 0.0) == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_has_the_golden_names_and_places),
        cmocka_unit_test(initial_parameters_have_the_same_bytes_everywhere),
        cmocka_unit_test(initial_parameters_follow_their_law),
        cmocka_unit_test(schedule_of_the_normal_term),
        cmocka_unit_test(schedule_equals_the_reference),
        cmocka_unit_test(shares_of_groups),
        cmocka_unit_test(adjoints_of_a_surface_point),
        cmocka_unit_test(adjoints_of_an_off_surface_point),
        cmocka_unit_test(smoothness_of_a_pair),
        cmocka_unit_test(gelu_and_its_slope),
        cmocka_unit_test(adam_by_hand),
        cmocka_unit_test(sampling_laws),
    };
    return ql_test_main(tests);
}
