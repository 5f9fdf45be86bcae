/* Small meshes at the same time (see several.h). */
#include "sweep/several.h"

#include <string.h>

/* Steps that each mesh takes before the timing begins (the first ones prepare launches), and within it; its least length; and
 * how much more twice as many must compute. */
enum { WARM_STEPS = 5, TIMED_STEPS = 30 };
static const double TIMED_S = 0.2, WORTH_IT = 1.05;

void ql_several_init(ql_several *several, int fixed)
{
    memset(several, 0, sizeof *several);
    several->fixed = fixed > QL_SEVERAL_MOST ? QL_SEVERAL_MOST : fixed;
    for (int k = 0; k < QL_SEVERAL_MOST; ++k) several->lane[k].size_class = -1;
}

int ql_several_class(int at_once)
{
    int class = 0;
    while (class + 1 < QL_SEVERAL_CLASSES && 2 << class <= at_once) ++class;
    return class;
}

int ql_several_number(const ql_several *several, int size_class)
{
    return several->fixed > 0 ? several->fixed : 1 << several->sizes[size_class].level;
}

static int count_active(const ql_several *several)
{
    int count = 0;
    for (int k = 0; k < QL_SEVERAL_MOST; ++k) count += several->lane[k].size_class >= 0;
    return count;
}

bool ql_several_idle(const ql_several *several) { return count_active(several) == 0; }

bool ql_several_admits(const ql_several *several, int size_class)
{
    double taken = 0;
    for (int k = 0; k < QL_SEVERAL_MOST; ++k)
        if (several->lane[k].size_class >= 0) taken += 1.0 / ql_several_number(several, several->lane[k].size_class);
    return taken + 1.0 / ql_several_number(several, size_class) < 1 + 1e-9;
}

/* Who trains has changed: what was timed so far is of no use. */
static void start_again(ql_several *several)
{
    several->timing = false;
    for (int k = 0; k < QL_SEVERAL_MOST; ++k) several->lane[k].steps = 0;
}

void ql_several_begin(ql_several *several, int lane, int size_class)
{
    several->lane[lane].size_class = size_class;
    start_again(several);
}

void ql_several_end(ql_several *several, int lane)
{
    several->lane[lane].size_class = -1;
    start_again(several);
}

/* The same class on all lanes that are active, as many as its level says, each so many steps on. */
static bool all_alike(const ql_several *several, int size_class, int64_t steps)
{
    for (int k = 0; k < QL_SEVERAL_MOST; ++k) {
        const int its = several->lane[k].size_class;
        if (its >= 0 && (its != size_class || several->lane[k].steps < steps)) return false;
    }
    return count_active(several) == 1 << several->sizes[size_class].level;
}

static void judge(ql_several *several, int size_class, double rate)
{
    const int level = several->sizes[size_class].level;
    double *rates = several->sizes[size_class].rate;
    rates[level] = rate;
    const bool paid = level == 0 || rate >= WORTH_IT * rates[level - 1];
    if (!paid) several->sizes[size_class].level--;
    several->sizes[size_class].settled = !paid || level == size_class;
    if (!several->sizes[size_class].settled) several->sizes[size_class].level++;
}

bool ql_several_step(ql_several *several, int lane, double work, double now_s)
{
    const int size_class = several->lane[lane].size_class;
    if (size_class < 0 || several->fixed > 0 || several->sizes[size_class].settled) return false;
    several->lane[lane].steps++;
    if (!several->timing) {
        if (!all_alike(several, size_class, WARM_STEPS)) return false;
        start_again(several);
        several->timing = true;
        several->since_s = now_s;
        several->work = 0;
        return false;
    }
    several->work += work;
    if (now_s < several->since_s + TIMED_S || !all_alike(several, size_class, TIMED_STEPS)) return false;
    judge(several, size_class, several->work / (now_s - several->since_s));
    start_again(several);
    return true;
}
