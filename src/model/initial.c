/* Initial parameters (see initial.h). Normal deviates by Box-Muller (1958); the truncation at +-2 is 100 standard
 * deviations away and so never acts. */
#include "model/initial.h"

#include "model/layout.h"

#include <math.h>

static float uniform_between(ql_random4 random, double bound)
{
    return (float)(bound * (2.0 * ql_uniform_open(random.r[0]) - 1.0));
}

static float normal_with(ql_random4 random, double deviation)
{
    double radius = sqrt(-2.0 * log(ql_uniform_open(random.r[0])));
    return (float)(deviation * radius * cos(2.0 * M_PI * ql_uniform_open(random.r[1])));
}

static float initial_value(const ql_entry *entry, ql_random4 random)
{
    switch (entry->kind) {
    case QL_ENTRY_SDF_FIRST: return uniform_between(random, 1.0 / 3.0);
    case QL_ENTRY_SDF_WEIGHT: return uniform_between(random, sqrt(6.0 / QL_SDF_WIDTH) / QL_SDF_OMEGA);
    case QL_ENTRY_SDF_BIAS: return uniform_between(random, 1.0 / sqrt((double)entry->fan_in));
    case QL_ENTRY_WEIGHT: return normal_with(random, 0.02);
    case QL_ENTRY_ONE: return 1.0f;
    case QL_ENTRY_GAMMA: return 1e-6f;
    case QL_ENTRY_ZERO: break;
    }
    return 0.0f;
}

void ql_initial_parameters(ql_key key, float *parameters)
{
    const ql_layout *layout = ql_layout_get();
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) {
        const ql_entry *entry = &layout->entry[e];
        for (int32_t k = 0; k < entry->rows * entry->columns; ++k) {
            uint64_t index = (uint64_t)(entry->offset + k);
            parameters[index] = initial_value(entry, ql_random_at(key, QL_STREAM_INIT, 0, index));
        }
    }
}
