/* What every cmocka test file includes: cmocka's prerequisites, the shared folder, the balance check at the end. */
#ifndef QL_TEST_H
#define QL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/memory.h"
#include "base/status.h"

/* Fails the test with the error text when a call does not return QL_OK. */
#define ASSERT_OK(expression)                                                                                          \
    do {                                                                                                               \
        ql_status assert_status_ = (expression);                                                                       \
        if (assert_status_ != QL_OK) fail_msg("%s: %s (%s)", #expression, ql_error_text(), ql_error_place());          \
    } while (0)

/* Folder with golden numbers and real meshes: $QL_SHARED, or `../shared` beside the checkout; NULL when absent, and then
 * the caller prints what it skips and calls skip(). */
static inline const char *ql_test_shared(void)
{
    const char *set = getenv("QL_SHARED");
    if (set == NULL) set = QL_TEST_SHARED_DEFAULT;
    static char probe[4096];
    (void)snprintf(probe, sizeof probe, "%s/golden/README.md", set);
    FILE *file = fopen(probe, "r");
    if (file == NULL) return NULL;
    (void)fclose(file);
    return set;
}

#define SKIP_WITHOUT_SHARED(what)                                                                                      \
    do {                                                                                                               \
        if (ql_test_shared() == NULL) {                                                                                \
            print_message("SKIPPED: %s (no shared folder; set QL_SHARED)\n", what);                                    \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

static inline int ql_test_main_(const char *name, const struct CMUnitTest *tests, size_t count)
{
    int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    ql_memory_report balance = ql_memory_balance();
    if (balance.blocks != 0) {
        print_error("memory balance: %lld blocks, %lld bytes not freed\n", (long long)balance.blocks,
                    (long long)balance.bytes);
        return failed + 1;
    }
    return failed;
}

#define ql_test_main(tests) ql_test_main_(#tests, tests, sizeof(tests) / sizeof((tests)[0]))

#endif
