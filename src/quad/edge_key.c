#include "quad/edge_key.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    const ql_edge_key *a = left, *b = right;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

void ql_edge_keys_sort(ql_edge_key *keys, int32_t count) { qsort(keys, (size_t)count, sizeof *keys, compare); }

int32_t ql_edge_keys_end(const ql_edge_key *keys, int32_t i, int32_t count)
{
    int32_t end = i + 1;
    while (end < count && keys[end].low == keys[i].low && keys[end].high == keys[i].high) ++end;
    return end;
}
