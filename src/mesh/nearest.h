/* k nearest neighbours among 3D points (a k-d tree, median splits, leaves of a few points). */
#ifndef QL_MESH_NEAREST_H
#define QL_MESH_NEAREST_H

#include "base/status.h"

#include <stdint.h>

typedef struct ql_kdtree ql_kdtree;

/* The tree refers to `points` (count x 3) until destroyed. */
ql_status ql_kdtree_create(ql_kdtree **tree, const double *points, int32_t count);
void ql_kdtree_destroy(ql_kdtree *tree); /* NULL-safe */

/* Fills the k nearest points of `query`, nearest first, as index and squared distance; returns how many there are
 * (min(k, count)). Thread-safe. k <= 64. */
int ql_kdtree_nearest(const ql_kdtree *tree, const double query[3], int k, int32_t *index, double *distance2);

#endif
