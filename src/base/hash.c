/* Content hashes (see hash.h). */
#include "base/hash.h"

#include <xxhash.h>

uint64_t ql_hash_bytes(const void *data, size_t size, uint64_t seed) { return XXH64(data, size, seed); }
