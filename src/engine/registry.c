/* The list of engines and the choice among them (see engine.h). */
#include "engine/engine.h"

#include "comm/comm.h"
#include "model/layout.h"

#include <stdio.h>
#include <string.h>

/* Best first: what "auto" tries. */
static const ql_engine_class *const engines[] = {&ql_engine_cuda, &ql_engine_cpu, &ql_engine_ref, NULL};

const ql_engine_class *const *ql_engine_list(void) { return engines; }

static ql_status find_best(const ql_engine_class **engine_class)
{
    for (int k = 0; engines[k] != NULL; ++k)
        if (engines[k]->available() == QL_OK) {
            ql_error_clear();
            *engine_class = engines[k];
            return QL_OK;
        }
    return QL_FAIL(ENVIRONMENT, "no engine can run on this machine");
}

ql_status ql_engine_find(const char *name, const ql_engine_class **engine_class)
{
    *engine_class = NULL;
    if (strcmp(name, "auto") == 0) return find_best(engine_class);
    char known[128] = "auto";
    for (int k = 0; engines[k] != NULL; ++k) {
        if (strcmp(name, engines[k]->name) == 0) {
            QL_TRY(QL_CHAIN(engines[k]->available(), "engine %s", name));
            *engine_class = engines[k];
            return QL_OK;
        }
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, ", %s", engines[k]->name);
    }
    return QL_FAIL(CONFIG, "engine.name: no engine \"%s\"; there is %s", name, known);
}

bool ql_engine_shares(const ql_engine_class *engine_class, const ql_train_options *train)
{
    return engine_class->groups && (engine_class->groups_exact || !train->deterministic);
}

static ql_status may_share(const ql_engine_class *engine_class, const ql_train_options *train)
{
    if (ql_engine_shares(engine_class, train)) return QL_OK;
    if (!engine_class->groups)
        return QL_FAIL(ENVIRONMENT, "engine %s: a mesh cannot be shared by several ranks; use sweep.group 1",
                       engine_class->name);
    return QL_FAIL(
        CONFIG,
        "engine %s adds up a shared mesh in another order than alone, which train.deterministic forbids; set "
        "it to false (the same ranks still give the same bytes) or use sweep.group 1",
        engine_class->name);
}

ql_status ql_engine_create(ql_engine **engine, const ql_engine_class *engine_class, const ql_engine_setup *setup)
{
    const bool shared = setup->group != NULL && setup->group->size > 1;
    *engine = NULL;
    if (!shared) return engine_class->create(engine, setup);
    ql_status status = may_share(engine_class, setup->train);
    if (status == QL_OK) status = engine_class->create(engine, setup);
    status = ql_comm_agree(setup->group, status);
    if (status != QL_OK) {
        engine_class->destroy(*engine);
        *engine = NULL;
    }
    return status;
}

/* Multiply-adds of one forward pass of the angle network per face. */
static double angle_products(void)
{
    const ql_layout *layout = ql_layout_get();
    double products = 0;
    for (int e = 0; e < QL_ENTRY_COUNT; ++e)
        if (layout->entry[e].kind == QL_ENTRY_WEIGHT)
            products += (double)layout->entry[e].rows * layout->entry[e].columns;
    return products;
}

double ql_engine_flop_formula(int64_t faces, int64_t off_points)
{
    const double unit = 2.0 * QL_SDF_WIDTH * QL_SDF_WIDTH * 4; /* one pass through the four inner layers */
    return (double)faces * (15 * unit + 6 * angle_products()) + (double)off_points * 6 * unit;
}

ql_status ql_engine_steps(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                          double (*terms)[QL_LOSS_COUNT], double *norms)
{
    if (engine->kind->advance != NULL) return engine->kind->advance(engine, first, count, weights, terms, norms);
    for (int k = 0; k < count; ++k) {
        QL_TRY(engine->kind->evaluate(engine, first + k, &weights[k], terms[k]));
        QL_TRY(engine->kind->apply(engine, first + k, &norms[k]));
    }
    return QL_OK;
}
