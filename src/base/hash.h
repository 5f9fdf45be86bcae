/* Content hashes (XXH64, from libxxhash): identity of a mesh, checksum of stored arrays. */
#ifndef QL_BASE_HASH_H
#define QL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t ql_hash_bytes(const void *data, size_t size, uint64_t seed);

#endif
