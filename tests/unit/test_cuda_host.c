/* Engine cuda's bodies, sequences and layout, compiled for the host, against engine ref and the golden numbers. */
#include "support/test.h"

#include "golden/golden_check.h"
#include "host_engine.h"

static void golden(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("golden numbers");
    static const char *const names[] = {"sphere320", "bracket352"};
    for (int k = 0; k < 2; ++k) {
        char path[4200];
        (void)snprintf(path, sizeof path, "%s/golden/%s.h5", ql_test_shared(), names[k]);
        ql_golden g;
        ASSERT_OK(ql_golden_read(&g, path));
        ql_golden_report report = {0};
        ql_options options;
        ql_options_init(&options);
        ASSERT_OK(ql_golden_check_engine(&report, &g, &ql_engine_cuda_on_host, &options.engine));
        for (int j = 0; j < report.count; ++j)
            print_message("%s %s %g (%g)\n", names[k], report.line[j].quantity, report.line[j].error, report.line[j].tolerance);
        assert_int_equal(report.failed, 0);
        ql_golden_destroy(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
    return ql_test_main(tests);
}
