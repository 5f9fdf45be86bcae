/* Between cmd_plan.c and plan_print.c only. */
#ifndef QL_APP_PLAN_COMMAND_H
#define QL_APP_PLAN_COMMAND_H

#include "app/arguments.h"
#include "sweep/plan.h"

typedef struct ql_plan_arguments {
    ql_config_arguments config;
    const char *run_directory, *cost_file, *sizes_file;
    int64_t ranks, count, seed;
    double median, sigma, noise;
    bool calibrate, json, simulate;
} ql_plan_arguments;

typedef struct ql_planning {
    const ql_plan_arguments *given;
    const ql_arguments *arguments;
    ql_options options;
    const ql_engine_class *engine;
    ql_collection collection;
    ql_survey survey;
    ql_cost cost;
    ql_plan plan;
    int ranks;
    ql_allot_outcome outcome; /* simulated */
    double planning_s;        /* that making the plan took */
} ql_planning;

/* The path of mesh i of the plan; "" in a plan of sizes. */
const char *ql_planning_path(const ql_planning *p, int64_t mesh);

/* A limit with a quarter on top of the prediction, in whole minutes. */
double ql_planning_time_limit_s(const ql_planning *p);

void ql_planning_print(const ql_planning *p);
ql_status ql_planning_print_json(const ql_planning *p);

#endif
