/* quadloom bench allreduce: what it costs the ranks to sum a gradient, the price of sharing one mesh. */
#include "app/bench.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "model/layout.h"

#include <stdio.h>

/* What a step of a group sends: its loss terms, some sizes in between, its two buckets, all of the gradient. */
static const struct {
    const char *name;
    int floats;
} sizes[] = {{"loss terms", 8},
             {"1 KiB", 256},
             {"64 KiB", 16384},
             {"bucket of the SDF network", QL_SDF_PARAMETER_COUNT},
             {"bucket of the angle network", QL_PARAMETER_COUNT - QL_SDF_PARAMETER_COUNT},
             {"whole gradient", QL_PARAMETER_COUNT}};
enum { SIZES = sizeof sizes / sizeof sizes[0], REPEATS_MOST = 1000 };

/* Median of the seconds that the slowest rank saw. `values` holds 1 everywhere, so that the sum can be checked. */
static ql_status time_sum(ql_comm *world, float *values, int count, int64_t repeats, double *median_s)
{
    double seconds[REPEATS_MOST];
    for (int64_t k = -1; k < repeats; ++k) { /* one to warm up */
        for (int i = 0; i < count; ++i) values[i] = 1;
        QL_TRY(world->kind->barrier(world));
        const double since = ql_clock_s();
        QL_TRY(ql_comm_sum(world, values, count, QL_NUMBER_FLOAT32));
        if (k >= 0) seconds[k] = ql_clock_s() - since;
        for (int i = 0; i < count; ++i)
            if (values[i] != (float)world->size)
                return QL_FAIL(ENVIRONMENT, "the sum of %d ones is %g: this MPI does not add up", world->size,
                               values[i]);
    }
    *median_s = ql_bench_median(seconds, repeats);
    return QL_OK;
}

static ql_status slowest(ql_comm *world, double *seconds)
{
    double *all;
    QL_TRY(QL_TAKE(all, world->size));
    ql_status status = world->kind->allgather(world, seconds, all, sizeof *seconds);
    for (int r = 0; status == QL_OK && r < world->size; ++r) *seconds = all[r] > *seconds ? all[r] : *seconds;
    ql_free(all);
    return status;
}

/* A ring moves 2 (n - 1)/n of the data through every rank's link: that rate is comparable between numbers of ranks. */
static void report(const ql_comm *world, bool json, ql_json *out, int k, double seconds)
{
    const double bytes = 4.0 * sizes[k].floats;
    const double link = 2 * bytes * (world->size - 1) / world->size / seconds * 1e-9;
    if (!json) {
        (void)printf("  %-28s %10.0f bytes %10.3f ms %8.2f GB/s per link\n", sizes[k].name, bytes, seconds * 1e3, link);
        return;
    }
    ql_json_object(out, NULL);
    ql_json_string(out, "what", sizes[k].name);
    ql_json_real(out, "bytes", bytes);
    ql_json_real(out, "s", seconds);
    ql_json_real(out, "link_gb_s", link);
    ql_json_close_object(out);
}

static ql_status measure(ql_comm *world, int64_t repeats, bool json)
{
    float *values = NULL;
    ql_json out = {0};
    ql_status status = QL_TAKE(values, QL_PARAMETER_COUNT);
    ql_json_object(&out, NULL);
    ql_json_int(&out, "ranks", world->size);
    ql_json_int(&out, "ranks_per_node", world->local_size);
    ql_json_string(&out, "comm", world->kind->name);
    ql_json_array(&out, "sums");
    if (!json && world->rank == 0)
        (void)printf("%d rank%s, %d on the first node, %s, median of %lld\n", world->size, world->size == 1 ? "" : "s",
                     world->local_size, ql_launcher_mpi.summary, (long long)repeats);
    for (int k = 0; status == QL_OK && k < SIZES; ++k) {
        double seconds = 0;
        status = time_sum(world, values, sizes[k].floats, repeats, &seconds);
        if (status == QL_OK) status = slowest(world, &seconds);
        if (status == QL_OK && world->rank == 0) report(world, json, &out, k, seconds);
    }
    ql_json_close_array(&out);
    ql_json_close_object(&out);
    if (status == QL_OK) status = ql_json_end(&out);
    if (status == QL_OK && json && world->rank == 0) (void)printf("%s\n", out.text);
    ql_json_destroy(&out);
    ql_free(values);
    return status;
}

ql_status ql_bench_allreduce(int64_t repeats, bool json)
{
    ql_comm *world;
    if (repeats < 1 || repeats > REPEATS_MOST)
        return QL_FAIL(USAGE, "--repeats %lld: 1 to %d", (long long)repeats, (int)REPEATS_MOST);
    if (!ql_launcher_mpi.launched())
        return QL_FAIL(USAGE, "one process has nobody to sum with; start it as `mpirun -n 4 quadloom bench allreduce`");
    QL_TRY(ql_launcher_mpi.start(&world, NULL, NULL));
    ql_status status = ql_comm_agree(world, measure(world, repeats, json));
    ql_launcher_mpi.stop(world);
    return status;
}
