/* Engine ref on small meshes: gradient against central differences along single parameters, independence of threads and
 * of block boundaries, dropped blocks, points of both samplings, state round trip. */
#include "support/test.h"

#include "engine/engine.h"
#include "mesh/generate.h"
#include "model/initial.h"
#include "model/layout.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    ql_mesh mesh;
    ql_topology topology;
    ql_tables tables;
    ql_loss_shares shares;
    ql_options options;
    ql_engine *engine;
    double *parameters, *zeros;
} fixture;

static void open_fixture(fixture *f, int faces, ql_sampling sampling, int threads)
{
    memset(f, 0, sizeof *f);
    ql_options_init(&f->options);
    f->options.train.off_points = 37;
    f->options.train.sampling = sampling;
    f->options.engine.threads = threads;
    ASSERT_OK(ql_generate_by_name(&f->mesh, "bracket", faces));
    ASSERT_OK(ql_topology_build(&f->topology, &f->mesh));
    ASSERT_OK(ql_tables_build(&f->tables, &f->mesh, &f->topology, 1));
    ASSERT_OK(ql_loss_shares_build(&f->shares, &f->tables, QL_AVERAGING_GROUPS, 0, NULL));
    ql_engine_setup setup = {.tables = &f->tables,
                             .shares = &f->shares,
                             .train = &f->options.train,
                             .engine = &f->options.engine,
                             .key = ql_key_make(1, f->mesh.hash)};
    ASSERT_OK(ql_engine_ref.create(&f->engine, &setup));
    float *initial = NULL;
    ASSERT_OK(QL_TAKE(initial, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(f->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(f->zeros, QL_PARAMETER_COUNT));
    ql_initial_parameters(setup.key, initial);
    const ql_layout *layout = ql_layout_get();
    for (int i = 0; i < QL_PARAMETER_COUNT; ++i) f->parameters[i] = initial[i];
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) /* large gammas, so that the branches matter */
        for (int k = 0; k < layout->block[b].width; ++k) f->parameters[layout->block[b].gamma + k] = 0.3 + 0.001 * k;
    ql_free(initial);
}

static void close_fixture(fixture *f)
{
    ql_engine_ref.destroy(f->engine);
    ql_loss_shares_destroy(&f->shares);
    ql_tables_destroy(&f->tables);
    ql_topology_destroy(&f->topology);
    ql_mesh_destroy(&f->mesh);
    ql_free(f->parameters);
    ql_free(f->zeros);
}

static double total_at(fixture *f, int64_t step)
{
    double terms[QL_LOSS_COUNT];
    ql_engine_state state = {QL_FLOAT64, f->parameters, f->zeros, f->zeros};
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
    ASSERT_OK(ql_engine_ref.set_state(f->engine, &state));
    ASSERT_OK(ql_engine_ref.evaluate(f->engine, step, &weights, terms));
    return terms[QL_LOSS_TOTAL];
}

/* A step at which exactly some blocks are dropped, so that both kinds are seen. */
static void gradient_of_single_parameters(void **state)
{
    (void)state;
    for (int sampling = 0; sampling < 2; ++sampling) {
        fixture f;
        open_fixture(&f, 60, (ql_sampling)sampling, 2);
        double *gradient = NULL;
        ASSERT_OK(QL_TAKE(gradient, QL_PARAMETER_COUNT));
        int64_t step = 3;
        (void)total_at(&f, step);
        ASSERT_OK(ql_engine_ref.gradient(f.engine, gradient));
        const ql_layout *layout = ql_layout_get();
        int compared = 0;
        for (int e = 0; e < QL_ENTRY_COUNT; e += (e < 12 ? 3 : 67)) {
            const ql_entry *entry = &layout->entry[e];
            int32_t best = entry->offset; /* the largest entry of each array */
            for (int32_t k = 0; k < entry->rows * entry->columns; ++k)
                if (fabs(gradient[entry->offset + k]) > fabs(gradient[best])) best = entry->offset + k;
            double keep = f.parameters[best], h = e < 12 ? 1e-8 : 1e-7;
            f.parameters[best] = keep + h;
            double plus = total_at(&f, step);
            f.parameters[best] = keep - h;
            double minus = total_at(&f, step);
            f.parameters[best] = keep;
            double slope = (plus - minus) / (2 * h), gap = fabs(slope - gradient[best]);
            double noise = 1e-15 * 2000 / h; /* rounding of the loss itself */
            if (gap > 2e-3 * fabs(slope) + 50 * noise)
                fail_msg("%s[%d]: %g, by differences %g", entry->name, (int)(best - entry->offset), gradient[best],
                         slope);
            compared++;
        }
        assert_true(compared >= 9);
        ql_free(gradient);
        close_fixture(&f);
    }
}

static void same_bytes_for_every_thread_count(void **state)
{
    (void)state;
    double *first = NULL, *other = NULL;
    ASSERT_OK(QL_TAKE(first, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(other, QL_PARAMETER_COUNT));
    for (int threads = 1; threads <= 3; ++threads) {
        fixture f;
        open_fixture(&f, 90, QL_SAMPLING_NEAR, threads);
        double norm, *into = threads == 1 ? first : other;
        for (int64_t step = 0; step < 2; ++step) {
            if (step == 0) (void)total_at(&f, step);
            ASSERT_OK(ql_engine_ref.apply(f.engine, step, &norm));
        }
        ql_engine_state now;
        ASSERT_OK(ql_engine_ref.state(f.engine, &now));
        memcpy(into, now.parameters, QL_PARAMETER_COUNT * sizeof *into);
        if (threads > 1) assert_memory_equal(first, other, QL_PARAMETER_COUNT * sizeof *first);
        close_fixture(&f);
    }
    ql_free(first);
    ql_free(other);
}

/* A mesh of one face trains; predicted memory is what is taken. */
static void smallest_mesh_and_memory(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 60, QL_SAMPLING_FAR, 1);
    f.tables.face_count = 1;
    int32_t pointers[2] = {0, 0}, *keep = f.tables.neighbour_ptr;
    f.tables.neighbour_ptr = pointers;
    ql_engine_setup setup = {.tables = &f.tables,
                             .shares = &f.shares,
                             .train = &f.options.train,
                             .engine = &f.options.engine,
                             .key = ql_key_make(1, 2)};
    ql_engine *engine = NULL;
    int64_t predicted, before = ql_memory_balance().bytes;
    ASSERT_OK(ql_engine_ref.memory(&setup, &predicted));
    ASSERT_OK(ql_engine_ref.create(&engine, &setup));
    int64_t taken = ql_memory_balance().bytes - before;
    assert_true(fabs((double)taken / (double)predicted - 1) < 0.1);
    ql_engine_state state0 = {QL_FLOAT64, f.parameters, f.zeros, f.zeros};
    double terms[QL_LOSS_COUNT], norm, theta;
    ql_loss_weights weights = ql_loss_weights_at(&f.options.train, 0);
    ASSERT_OK(ql_engine_ref.set_state(engine, &state0));
    ASSERT_OK(ql_engine_ref.evaluate(engine, 0, &weights, terms));
    ASSERT_OK(ql_engine_ref.apply(engine, 0, &norm));
    ASSERT_OK(ql_engine_ref.theta(engine, &theta));
    assert_true(isfinite(terms[QL_LOSS_TOTAL]) && isfinite(norm) && isfinite(theta));
    ql_engine_ref.destroy(engine);
    f.tables.neighbour_ptr = keep;
    close_fixture(&f);
}

/* Every engine is listed; what is not there says how to get it; unknown names are refused with the list. */
static void engines_are_listed(void **state)
{
    (void)state;
    const ql_engine_class *found;
    ASSERT_OK(ql_engine_find("ref", &found));
    assert_ptr_equal(found, &ql_engine_ref);
    ASSERT_OK(ql_engine_find("auto", &found));
    assert_int_equal(ql_engine_find("abacus", &found), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "cuda"));
    assert_true(fabs(ql_engine_flop_formula(1, 0) / 1e6 - (7.9 + 24.3)) < 0.2);
    assert_true(fabs(ql_engine_flop_formula(0, 1) / 1e6 - 3.1) < 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_of_single_parameters),
        cmocka_unit_test(same_bytes_for_every_thread_count),
        cmocka_unit_test(smallest_mesh_and_memory),
        cmocka_unit_test(engines_are_listed),
    };
    return ql_test_main(tests);
}
