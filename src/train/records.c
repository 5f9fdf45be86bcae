/* History, snapshot and result of a training: taking and giving back their memory (see train.h). */
#include "train/train.h"

#include "base/memory.h"
#include "model/layout.h"

#include <assert.h>
#include <string.h>

static const char *const column_names[QL_HISTORY_COLUMNS] = {
    "step", "total", "sdf", "off", "eikonal", "normal", "align", "smooth", "weight_normal", "gradient_norm", "seconds"};

const char *ql_history_column_name(int column)
{
    assert(column >= 0 && column < QL_HISTORY_COLUMNS);
    return column_names[column];
}

const char *ql_history_column_unit(int column)
{
    assert(column >= 0 && column < QL_HISTORY_COLUMNS);
    return column == QL_HISTORY_COLUMNS - 1 ? "s" : "1";
}

static ql_status enlarge(ql_history *history, int64_t capacity)
{
    double *grown = ql_memory_resize(history->values, (size_t)capacity * QL_HISTORY_COLUMNS, sizeof *grown);
    if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %lld rows of history", (long long)capacity);
    history->values = grown;
    history->capacity = capacity;
    return QL_OK;
}

ql_status ql_history_reserve(ql_history *history, int64_t rows)
{
    return history->rows + rows > history->capacity ? enlarge(history, history->rows + rows) : QL_OK;
}

ql_status ql_history_append(ql_history *history, const double row[QL_HISTORY_COLUMNS])
{
    if (history->rows == history->capacity) QL_TRY(enlarge(history, history->rows > 0 ? 2 * history->rows : 64));
    memcpy(history->values + history->rows++ * QL_HISTORY_COLUMNS, row, QL_HISTORY_COLUMNS * sizeof *row);
    return QL_OK;
}

ql_status ql_history_copy(ql_history *to, const ql_history *from)
{
    double *values;
    size_t count = (size_t)from->rows * QL_HISTORY_COLUMNS;
    QL_TRY(QL_TAKE(values, count));
    if (count > 0) memcpy(values, from->values, count * sizeof *values);
    ql_history_destroy(to);
    *to = (ql_history){.rows = from->rows, .capacity = from->rows, .values = values};
    return QL_OK;
}

void ql_history_destroy(ql_history *history)
{
    if (history == NULL) return;
    ql_free(history->values);
    *history = (ql_history){0};
}

ql_status ql_snapshot_create(ql_snapshot *snapshot, ql_real_type type)
{
    *snapshot = (ql_snapshot){.state.type = type};
    size_t size = type == QL_FLOAT64 ? sizeof(double) : sizeof(float);
    void **arrays[] = {&snapshot->state.parameters, &snapshot->state.moment1, &snapshot->state.moment2};
    for (size_t k = 0; k < 3; ++k) {
        *arrays[k] = ql_memory_take(QL_PARAMETER_COUNT, size);
        if (*arrays[k] == NULL) {
            ql_snapshot_destroy(snapshot);
            return QL_FAIL(NO_MEMORY, "no memory for the %d parameters of a snapshot", (int)QL_PARAMETER_COUNT);
        }
    }
    return QL_OK;
}

void ql_snapshot_destroy(ql_snapshot *snapshot)
{
    if (snapshot == NULL) return;
    ql_free(snapshot->state.parameters);
    ql_free(snapshot->state.moment1);
    ql_free(snapshot->state.moment2);
    ql_history_destroy(&snapshot->history);
    *snapshot = (ql_snapshot){0};
}

void ql_train_result_destroy(ql_train_result *result)
{
    if (result == NULL) return;
    void *arrays[] = {result->theta,
                      result->alpha,
                      result->beta,
                      result->sdf,
                      result->curvature_min,
                      result->curvature_max,
                      result->singularity_index};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) ql_free(arrays[k]);
    ql_memory_keep(result->parameters);
    ql_history_destroy(&result->history);
    *result = (ql_train_result){0};
}
