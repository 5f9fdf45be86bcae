/* Disjoint sets (union-find) over an array of parents: an element that is its own parent is the root of its set. */
#ifndef QL_MESH_SETS_H
#define QL_MESH_SETS_H

#include <stdbool.h>
#include <stdint.h>

static inline int32_t ql_set_root(int32_t *parent, int32_t i)
{
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

/* The smaller index becomes the root; returns whether the two were separate. */
static inline bool ql_set_join(int32_t *parent, int32_t a, int32_t b)
{
    a = ql_set_root(parent, a);
    b = ql_set_root(parent, b);
    if (a == b) return false;
    parent[a > b ? a : b] = a > b ? b : a;
    return true;
}

#endif
