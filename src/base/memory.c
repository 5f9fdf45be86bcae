/* Counted allocation (see memory.h). A header of one cache line before each block holds its size. */
#include "base/memory.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { HEADER = 64 };
static const uint64_t BLOCK_MAGIC = 0x71756164204c4f4fULL;

typedef struct block_header {
    uint64_t magic, bytes;
} block_header;

static atomic_int_fast64_t live_blocks, live_bytes, peak_bytes, fail_countdown;

static void count_change(int64_t blocks, int64_t bytes)
{
    atomic_fetch_add(&live_blocks, blocks);
    int_fast64_t now = atomic_fetch_add(&live_bytes, bytes) + bytes;
    int_fast64_t peak = atomic_load(&peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {}
}

static bool must_fail(void) { return atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1; }

static block_header *header_of(void *block)
{
    block_header *header = (block_header *)(void *)((unsigned char *)block - HEADER);
    assert(header->magic == BLOCK_MAGIC);
    return header;
}

void *ql_memory_take(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 2 * HEADER || must_fail()) return NULL;
    size_t padded = ql_arena_round(bytes) + HEADER;
    unsigned char *raw = aligned_alloc(HEADER, padded);
    if (raw == NULL) return NULL;
    memset(raw, 0, padded);
    *(block_header *)(void *)raw = (block_header){BLOCK_MAGIC, bytes};
    count_change(1, (int64_t)bytes);
    return raw + HEADER;
}

void *ql_memory_resize(void *block, size_t count, size_t size)
{
    void *grown = ql_memory_take(count, size);
    if (grown == NULL || block == NULL) return grown;
    size_t old_bytes = header_of(block)->bytes, new_bytes = count * size;
    memcpy(grown, block, old_bytes < new_bytes ? old_bytes : new_bytes);
    ql_free(block);
    return grown;
}

void ql_free(void *block)
{
    if (block == NULL) return;
    block_header *header = header_of(block);
    count_change(-1, -(int64_t)header->bytes);
    header->magic = 0;
    free(header);
}

char *ql_memory_string(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ql_memory_take(size, 1);
    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}

ql_memory_report ql_memory_balance(void)
{
    return (ql_memory_report){atomic_load(&live_blocks), atomic_load(&live_bytes), atomic_load(&peak_bytes)};
}

void ql_memory_reset_peak(void) { atomic_store(&peak_bytes, atomic_load(&live_bytes)); }

void ql_memory_fail_at(int64_t n) { atomic_store(&fail_countdown, n); }

int64_t ql_memory_peak_resident(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

ql_arena ql_arena_measuring(void) { return (ql_arena){NULL, PTRDIFF_MAX, 0}; }

ql_status ql_arena_create(ql_arena *arena, size_t bytes)
{
    *arena = (ql_arena){0};
    QL_TRY(QL_TAKE(arena->base, bytes));
    arena->size = bytes;
    return QL_OK;
}

void ql_arena_destroy(ql_arena *arena)
{
    if (arena == NULL) return;
    ql_free(arena->base);
    *arena = (ql_arena){0};
}

void *ql_arena_take(ql_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    bytes = ql_arena_round(bytes);
    if (bytes > arena->size - arena->used) return NULL;
    size_t at = arena->used;
    arena->used += bytes;
    static _Alignas(HEADER) unsigned char measured[HEADER];
    return arena->base != NULL ? arena->base + at : measured;
}
