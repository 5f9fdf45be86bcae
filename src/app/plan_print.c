/* What `quadloom plan` prints. */
#include "app/plan_command.h"
#include "base/clock.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>

enum { MESHES_SHOWN = 30 };

const char *ql_planning_path(const ql_planning *p, int64_t mesh)
{
    if (p->plan.work == NULL) return "";
    return p->collection.items[p->survey.work[p->plan.work[mesh]].item].path;
}

double ql_planning_time_limit_s(const ql_planning *p)
{
    double predicted = fmax(p->plan.allotment.makespan_s, p->outcome.makespan_s);
    return 60 * (ceil(1.25 * predicted / 60) + 5);
}

static void print_meshes(const ql_planning *p)
{
    char a[QL_DURATION_SIZE], b[QL_DURATION_SIZE];
    const ql_allotment *allotment = &p->plan.allotment;
    (void)printf("%10s %6s %12s %12s  mesh\n", "faces", "ranks", "start", "time");
    for (int64_t i = 0; i < allotment->count && i < MESHES_SHOWN; ++i) {
        int64_t mesh = allotment->order[i];
        (void)printf("%10lld %6d %12s %12s  %s\n", (long long)p->plan.jobs[mesh].faces, (int)allotment->group[mesh],
                     ql_clock_duration(a, allotment->start_s[mesh]), ql_clock_duration(b, allotment->seconds[mesh]),
                     ql_planning_path(p, mesh));
    }
    if (allotment->count > MESHES_SHOWN) (void)printf("and %lld more\n", (long long)(allotment->count - MESHES_SHOWN));
}

/* Meshes of the group size that begins at a position of the order. */
static int64_t run_length(const ql_allotment *allotment, int64_t from)
{
    int64_t length = 1;
    while (from + length < allotment->count &&
           allotment->group[allotment->order[from + length]] == allotment->group[allotment->order[from]])
        ++length;
    return length;
}

static void print_groups(const ql_allotment *allotment)
{
    (void)printf("Groups           ");
    for (int64_t at = 0, length; at < allotment->count; at += length) {
        int32_t group = allotment->group[allotment->order[at]];
        length = run_length(allotment, at);
        (void)printf("%s%lld on %d rank%s", at > 0 ? ", " : "", (long long)length, (int)group,
                     group == 1 ? "" : "s each");
    }
    (void)printf("\n");
}

/* The memory of a rank: its share of a mesh, the mesh read ahead, the program. */
static long rank_memory_mb(const ql_planning *p) { return (long)(1.3 * p->plan.memory_bytes / 1e6) + 500; }

static void print_sbatch(const ql_planning *p)
{
    long minutes = (long)(ql_planning_time_limit_s(p) / 60), threads = (long)p->options.engine.threads;
    (void)printf("sbatch --ntasks=%d --cpus-per-task=%ld --mem-per-cpu=%ldM --time=%ld:%02ld:00 --signal=USR1@120 "
                 "--wrap 'srun --mpi=pmix quadloom run",
                 p->ranks, threads, rank_memory_mb(p) / threads + 1, minutes / 60, minutes % 60);
    for (int i = 0; i < p->arguments->operand_count; ++i) (void)printf(" %s", p->arguments->operands[i]);
    (void)printf(" -o %s'\n", p->given->run_directory != NULL ? p->given->run_directory : "RUN_DIR");
}

void ql_planning_print(const ql_planning *p)
{
    char a[QL_DURATION_SIZE], b[QL_DURATION_SIZE];
    const ql_allotment *allotment = &p->plan.allotment;
    print_meshes(p);
    (void)printf("\n%lld meshes to do, %lld finished; %d ranks with %lld threads, engine %s\n",
                 (long long)p->plan.count, (long long)p->survey.states[QL_WORK_FINISHED], p->ranks,
                 (long long)p->options.engine.threads, p->engine->name);
    if (p->plan.count > 0) print_groups(allotment);
    char lost[320];
    ql_plan_describe_loss(&p->plan, p->engine->name, lost, sizeof lost);
    if (lost[0] != '\0') (void)printf("Note: %s\n", lost);
    (void)printf("Predicted time   %s (no schedule beats %s); %.0f %% of the ranks' time is work\n",
                 ql_clock_duration(a, allotment->makespan_s), ql_clock_duration(b, allotment->lower_bound_s),
                 100 * allotment->efficiency);
    if (p->given->simulate)
        (void)printf("Simulated        %s when single meshes take %.0f %% more or less; %.1f %% of the ranks' time is "
                     "work\n",
                     ql_clock_duration(a, p->outcome.makespan_s), 100 * p->given->noise, 100 * p->outcome.efficiency);
    (void)printf("Memory per rank  up to %.0f MB\n", p->plan.memory_bytes / 1e6);
    (void)printf("Speed            %.3g s + %.3g s per TFLOP and step (from %.0f meshes)\n", p->cost.fixed_s,
                 p->cost.s_per_flop * 1e12, p->cost.samples);
    if (p->plan.work != NULL) print_sbatch(p);
}

static void put_groups(ql_json *json, const ql_allotment *allotment)
{
    ql_json_array(json, "groups");
    for (int64_t at = 0, length; at < allotment->count; at += length) {
        length = run_length(allotment, at);
        ql_json_object(json, NULL);
        ql_json_int(json, "ranks", allotment->group[allotment->order[at]]);
        ql_json_int(json, "meshes", length);
        ql_json_close_object(json);
    }
    ql_json_close_array(json);
}

static void put_cost(ql_json *json, const ql_cost *cost)
{
    ql_json_object(json, "cost");
#define PUT(name, meaning) ql_json_real(json, #name, cost->name);
    QL_COST_COEFFICIENTS(PUT)
#undef PUT
    ql_json_close_object(json);
}

ql_status ql_planning_print_json(const ql_planning *p)
{
    const ql_allotment *allotment = &p->plan.allotment;
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_json_int(&json, "meshes", p->plan.count);
    ql_json_int(&json, "finished", p->survey.states[QL_WORK_FINISHED]);
    ql_json_int(&json, "ranks", p->ranks);
    ql_json_int(&json, "threads", p->options.engine.threads);
    ql_json_string(&json, "engine", p->engine->name);
    ql_json_real(&json, "makespan_s", allotment->makespan_s);
    ql_json_real(&json, "lower_bound_s", allotment->lower_bound_s);
    ql_json_real(&json, "total_s", allotment->work_s);
    ql_json_real(&json, "longest_s", allotment->count > 0 ? allotment->seconds[allotment->order[0]] : 0);
    ql_json_real(&json, "efficiency", allotment->efficiency);
    ql_json_real(&json, "forming_s", allotment->forming_s);
    ql_json_real(&json, "time_limit_s", ql_planning_time_limit_s(p));
    ql_json_real(&json, "memory_mb", p->plan.memory_bytes / 1e6);
    if (p->plan.lost > 0) ql_json_real(&json, "times_slower_for_deterministic", p->plan.lost);
    ql_json_int(&json, "rank_memory_mb", rank_memory_mb(p));
    ql_json_real(&json, "planning_s", p->planning_s);
    if (p->given->simulate) {
        ql_json_real(&json, "noise", p->given->noise);
        ql_json_real(&json, "simulated_makespan_s", p->outcome.makespan_s);
        ql_json_real(&json, "simulated_efficiency", p->outcome.efficiency);
        ql_json_real(&json, "simulated_forming_s", p->outcome.forming_s);
    }
    put_groups(&json, allotment);
    put_cost(&json, &p->cost);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}
