/* As much of cmocka as the tests of engine cpu use, for machines that have a compiler but no cmocka: cross builds under an
 * emulator (aarch64.sh). Runs the tests named in TESTS (separated by spaces), or all. */
#ifndef QL_PORTABILITY_CMOCKA_H
#define QL_PORTABILITY_CMOCKA_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QL_TEST_SHARED_DEFAULT "" /* no shared folder */

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
};

#define cmocka_unit_test(f)                                                                                            \
    {                                                                                                                  \
#f, f                                                                                                          \
    }
#define fail_msg(...) (printf("%s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), printf("\n"), exit(1))
#define print_message(...) printf(__VA_ARGS__)
#define print_error(...) printf(__VA_ARGS__)
#define skip() exit(77)
#define assert_true(x)                                                                                                 \
    do {                                                                                                               \
        if (!(x)) fail_msg("not true: %s", #x);                                                                        \
    } while (0)
#define assert_null(x) assert_true((x) == NULL)
#define assert_non_null(x) assert_true((x) != NULL)
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_memory_equal(a, b, size) assert_true(memcmp(a, b, size) == 0)

static inline int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count, void *setup,
                                          void *teardown)
{
    const char *wanted = getenv("TESTS");
    (void)group, (void)setup, (void)teardown;
    for (size_t k = 0; k < count; ++k) {
        void *state = NULL;
        if (wanted != NULL && strstr(wanted, tests[k].name) == NULL) continue;
        tests[k].test(&state);
        printf("[       OK ] %s\n", tests[k].name);
        (void)fflush(stdout);
    }
    return 0;
}

#endif
