/* How many small meshes at once: what is measured decides, whatever it is; sizes share a device. */
#include "support/test.h"

#include "sweep/several.h"

#include <math.h>

/* A device that gives n meshes together rate(n) of work per second, divided fairly; a step is one unit of work. */
typedef double (*rate_of)(int n);

typedef struct bench {
    ql_several several;
    double now, next[QL_SEVERAL_MOST]; /* end of each lane's step */
    int active, most;
} bench;

/* Lets meshes of a class train for `seconds`: as many as are admitted, never more than `most`. */
static void train(bench *b, int size_class, rate_of rate, double seconds)
{
    const double end = b->now + seconds;
    while (b->now < end) {
        while (b->active < b->most && ql_several_admits(&b->several, size_class)) {
            ql_several_begin(&b->several, b->active, size_class);
            b->next[b->active++] = b->now;
        }
        const double step_s = b->active / rate(b->active);
        for (int lane = 0; lane < b->active; ++lane)
            (void)ql_several_step(&b->several, lane, 1, b->now + step_s * (lane + 1) / b->active);
        b->now += step_s;
        while (b->active > ql_several_number(&b->several, size_class)) ql_several_end(&b->several, --b->active);
    }
}

static double until_four(int n) { return 100.0 * (n < 4 ? n : 4); }
static double never(int n) { return 100.0 / n; }
static double always(int n) { return 100.0 * n; }
static double slightly(int n) { return 100 * pow(1.02, n); }

static void finds_what_pays(void **state)
{
    (void)state;
    static const struct {
        rate_of rate;
        int size_class, found;
    } cases[] = {{until_four, 4, 4}, {never, 4, 1}, {always, 4, 16}, {always, 2, 4}, {slightly, 4, 1}, {always, 0, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; ++k) {
        bench b = {.most = QL_SEVERAL_MOST};
        ql_several_init(&b.several, 0);
        assert_int_equal(ql_several_number(&b.several, cases[k].size_class), 1); /* nothing known: one */
        train(&b, cases[k].size_class, cases[k].rate, 60);
        assert_true(b.several.sizes[cases[k].size_class].settled);
        assert_int_equal(ql_several_number(&b.several, cases[k].size_class), cases[k].found);
    }
}

/* Three meshes cannot tell what four would do; what is known so far stays, and the fourth finds it out. */
static void waits_for_enough(void **state)
{
    (void)state;
    bench b = {.most = 3};
    ql_several_init(&b.several, 0);
    train(&b, 3, always, 30);
    assert_false(b.several.sizes[3].settled);
    assert_int_equal(ql_several_number(&b.several, 3), 4);
    assert_int_equal(b.active, 3);
    b.most = 8;
    train(&b, 3, always, 30);
    assert_int_equal(ql_several_number(&b.several, 3), 8);
}

/* Meshes that come and go before anything can be timed change nothing. */
static void too_short(void **state)
{
    (void)state;
    ql_several s;
    ql_several_init(&s, 0);
    for (int mesh = 0; mesh < 50; ++mesh) {
        ql_several_begin(&s, 0, 4);
        for (int step = 0; step < 20; ++step) assert_false(ql_several_step(&s, 0, 1, mesh + 0.01 * step));
        ql_several_end(&s, 0);
    }
    assert_int_equal(ql_several_number(&s, 4), 1);
}

static void shares_add_up(void **state)
{
    (void)state;
    ql_several s;
    ql_several_init(&s, 0);
    assert_int_equal(ql_several_class(1), 0);
    assert_int_equal(ql_several_class(3), 1);
    assert_int_equal(ql_several_class(15), 3);
    assert_int_equal(ql_several_class(1000), 4);
    s.sizes[3].level = 3;
    s.sizes[1].level = 1;
    assert_true(ql_several_admits(&s, 0));
    for (int lane = 0; lane < 4; ++lane) ql_several_begin(&s, lane, 3);
    assert_false(ql_several_admits(&s, 0)); /* a large mesh wants the device to itself */
    assert_true(ql_several_admits(&s, 1));
    ql_several_begin(&s, 4, 1);
    assert_false(ql_several_admits(&s, 3));
    ql_several_end(&s, 0);
    assert_true(ql_several_admits(&s, 3));
    assert_false(ql_several_admits(&s, 1));

    ql_several_init(&s, 3); /* the user's word */
    for (int lane = 0; lane < 3; ++lane) {
        assert_true(ql_several_admits(&s, 0));
        ql_several_begin(&s, lane, 0);
        assert_false(ql_several_step(&s, lane, 1, 1));
    }
    assert_false(ql_several_admits(&s, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_what_pays), cmocka_unit_test(waits_for_enough),
                                       cmocka_unit_test(too_short), cmocka_unit_test(shares_add_up)};
    return ql_test_main(tests);
}
