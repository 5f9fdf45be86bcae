/* Where threads run: the physical cores that this process may use, in hwloc's order, in which neighbours share caches and
 * memory. Bindings given from outside (srun, mpirun, taskset, control groups) are what the process may use. */
#ifndef QL_ENGINE_CPU_PLACES_H
#define QL_ENGINE_CPU_PLACES_H

#include <pthread.h>

/* Cores with at least one hardware thread that the calling thread may run on; 0 when the system does not tell. */
int ql_places_count(void);

/* Binds a thread to core k of them, its hardware threads that are allowed. Does nothing where that is impossible. */
void ql_places_bind(pthread_t thread, int k);

/* From now on the calling thread and those that it starts have cores first .. first + count - 1 of these alone. */
void ql_places_keep(int first, int count);

#endif
