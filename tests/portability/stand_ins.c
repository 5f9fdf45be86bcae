/* What stands in for libraries that a cross build lacks: threads are not bound (hwloc), no file of options is read (libyaml). */
#include "engine/cpu/places.h"

#include "base/options.h"

int ql_places_count(void) { return 0; }

void ql_places_bind(pthread_t thread, int k) { (void)thread, (void)k; }

void ql_places_keep(int first, int count) { (void)first, (void)count; }

ql_status ql_options_read_yaml(const char *path, ql_options_visit visit, void *context)
{
    (void)visit, (void)context;
    return QL_FAIL(ENVIRONMENT, "%s: no YAML in this build", path);
}
