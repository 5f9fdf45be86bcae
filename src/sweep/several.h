/* How many small meshes a rank trains at the same time, each by a thread of its own: chosen by measurement.
 *
 * A small mesh does not fill a GPU. The engine says how many of a size could pay (engine.h, at_once); how many do is found out
 * while they train: one alone is timed, then two, four, ..., as long as together they compute 5 % more per second than half as
 * many did; otherwise it is that half. Sizes whose number could be the same are one class and share what was found. Meshes of
 * different classes train beside each other as long as their shares of the device, 1 / number of their class, add up to one.
 *
 * Plain bookkeeping: no threads, no clock of its own; the worker calls it with its mutex held. */
#ifndef QL_SWEEP_SEVERAL_H
#define QL_SWEEP_SEVERAL_H

#include <stdbool.h>
#include <stdint.h>

enum { QL_SEVERAL_CLASSES = 5, QL_SEVERAL_MOST = 1 << (QL_SEVERAL_CLASSES - 1) };

typedef struct ql_several {
    int fixed; /* the user's number; 0: measure */
    struct {
        int level; /* 2^level meshes at once */
        bool settled;
        double rate[QL_SEVERAL_CLASSES]; /* work per second by level; 0: not measured */
    } sizes[QL_SEVERAL_CLASSES];
    struct {
        int size_class; /* -1: idle */
        int64_t steps;  /* since the others last changed, or since the timing began */
    } lane[QL_SEVERAL_MOST];
    bool timing;
    double since_s, work;
} ql_several;

void ql_several_init(ql_several *several, int fixed);

/* The class of meshes of which an engine says that so many could pay. */
int ql_several_class(int at_once);

/* How many of a class train at once, as far as is known. */
int ql_several_number(const ql_several *several, int size_class);

/* Whether a mesh of this class may begin beside those that train. */
bool ql_several_admits(const ql_several *several, int size_class);

/* Whether no mesh trains. */
bool ql_several_idle(const ql_several *several);

void ql_several_begin(ql_several *several, int lane, int size_class);
void ql_several_end(ql_several *several, int lane);

/* A step of the mesh on this lane is done: so much work, at this time. True: the number of its class has changed or is settled,
 * so who waits should ask again. */
bool ql_several_step(ql_several *several, int lane, double work, double now_s);

#endif
