/* Edges of a list of faces, sorted by their vertices: those of one edge lie one behind the other, in the order of the list. */
#ifndef QL_QUAD_EDGE_KEY_H
#define QL_QUAD_EDGE_KEY_H

#include <stdint.h>

typedef struct ql_edge_key {
    int32_t low, high; /* vertices */
    int32_t at;        /* half-edge or face, as the caller numbers them */
} ql_edge_key;

static inline ql_edge_key ql_edge_key_of(int32_t a, int32_t b, int32_t at)
{
    return a < b ? (ql_edge_key){a, b, at} : (ql_edge_key){b, a, at};
}

void ql_edge_keys_sort(ql_edge_key *keys, int32_t count);

/* Keys [i, end) are of one edge. */
int32_t ql_edge_keys_end(const ql_edge_key *keys, int32_t i, int32_t count);

#endif
