/* Counted allocation (see memory.h). A header of one cache line before each block holds its size. Large blocks are mapped
 * in huge pages (fewer TLB misses in the matrix products) and not touched here, so that each page lands on the memory node
 * of the thread that first uses it. */
#include "base/memory.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { HEADER = 64, HUGE_PAGE = 2 << 20, MAP_FROM = 16 << 20 };
static const uint64_t BLOCK_MAGIC = 0x71756164204c4f4fULL, MAPPED_MAGIC = 0x71756164204d4150ULL;

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
    assert(header->magic == BLOCK_MAGIC || header->magic == MAPPED_MAGIC);
    return header;
}

#ifndef __has_feature /* of clang */
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||               \
    __has_feature(thread_sanitizer)
static const bool may_map = false; /* the sanitizers watch what malloc gives */
#else
static const bool may_map = true;
#endif

static size_t mapped_size(size_t padded) { return (padded + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1); }

/* Zero pages at a multiple of the size of a huge page: map more, give back the ends. */
static unsigned char *map_pages(size_t padded)
{
    size_t size = mapped_size(padded);
    unsigned char *raw = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return NULL;
    size_t lead = (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE;
    if (lead > 0) (void)munmap(raw, lead);
    (void)munmap(raw + lead + size, HUGE_PAGE - lead);
    (void)madvise(raw + lead, size, MADV_HUGEPAGE); /* a wish: kernels may be without */
    return raw + lead;
}

/* ---- mappings that wait for their next use ---- */

enum { KEPT = 4 };
static const size_t KEPT_BYTES = (size_t)512 << 20;

static struct {
    pthread_mutex_t mutex;
    unsigned char *raw[KEPT];
    size_t size[KEPT], bytes;
} kept = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool keep_pages(unsigned char *raw, size_t size)
{
    bool done = false;
    (void)pthread_mutex_lock(&kept.mutex);
    for (int k = 0; k < KEPT && !done && kept.bytes + size <= KEPT_BYTES; ++k) {
        if (kept.raw[k] != NULL) continue;
        kept.raw[k] = raw;
        kept.size[k] = size;
        kept.bytes += size;
        done = true;
    }
    (void)pthread_mutex_unlock(&kept.mutex);
    return done;
}

/* The smallest that is large enough, with its surplus given back. */
static unsigned char *kept_pages(size_t size)
{
    unsigned char *raw = NULL;
    int best = -1;
    (void)pthread_mutex_lock(&kept.mutex);
    for (int k = 0; k < KEPT; ++k)
        if (kept.raw[k] != NULL && kept.size[k] >= size && (best < 0 || kept.size[k] < kept.size[best])) best = k;
    if (best >= 0) {
        raw = kept.raw[best];
        kept.raw[best] = NULL;
        kept.bytes -= kept.size[best];
        if (kept.size[best] > size) (void)munmap(raw + size, kept.size[best] - size);
    }
    (void)pthread_mutex_unlock(&kept.mutex);
    return raw;
}

void ql_memory_drop_kept(void)
{
    (void)pthread_mutex_lock(&kept.mutex);
    for (int k = 0; k < KEPT; ++k) {
        if (kept.raw[k] != NULL) (void)munmap(kept.raw[k], kept.size[k]);
        kept.raw[k] = NULL;
    }
    kept.bytes = 0;
    (void)pthread_mutex_unlock(&kept.mutex);
}

/* ---- blocks ---- */

/* `zeroed` NULL: must be. */
static void *take(size_t count, size_t size, bool *zeroed)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 2 * HUGE_PAGE || must_fail()) return NULL;
    size_t padded = ql_arena_round(bytes) + HEADER;
    bool mapped = may_map && padded >= MAP_FROM;
    unsigned char *raw = mapped && zeroed != NULL ? kept_pages(mapped_size(padded)) : NULL;
    if (zeroed != NULL) *zeroed = may_map && raw == NULL;
    if (raw == NULL) raw = mapped ? map_pages(padded) : aligned_alloc(HEADER, padded);
    if (raw == NULL) return NULL;
    if (!mapped) memset(raw, zeroed == NULL || may_map ? 0 : 0xff, padded);
    *(block_header *)(void *)raw = (block_header){mapped ? MAPPED_MAGIC : BLOCK_MAGIC, bytes};
    count_change(1, (int64_t)bytes);
    return raw + HEADER;
}

void *ql_memory_take(size_t count, size_t size) { return take(count, size, NULL); }

void *ql_memory_take_uncleared(size_t count, size_t size, bool *zeroed) { return take(count, size, zeroed); }

void *ql_memory_resize(void *block, size_t count, size_t size)
{
    void *grown = ql_memory_take(count, size);
    if (grown == NULL || block == NULL) return grown;
    size_t old_bytes = header_of(block)->bytes, new_bytes = count * size;
    memcpy(grown, block, old_bytes < new_bytes ? old_bytes : new_bytes);
    ql_free(block);
    return grown;
}

static void give(void *block, bool keep)
{
    if (block == NULL) return;
    block_header *header = header_of(block);
    count_change(-1, -(int64_t)header->bytes);
    if (header->magic == MAPPED_MAGIC) {
        const size_t size = mapped_size(ql_arena_round(header->bytes) + HEADER);
        header->magic = 0;
        if (!keep || !keep_pages((unsigned char *)header, size)) (void)munmap(header, size);
        return;
    }
    header->magic = 0;
    free(header);
}

void ql_free(void *block) { give(block, false); }

void ql_memory_keep(void *block) { give(block, true); }

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

ql_status ql_arena_create_uncleared(ql_arena *arena, size_t bytes, bool *zeroed)
{
    *arena = (ql_arena){0};
    arena->base = ql_memory_take_uncleared(bytes, 1, zeroed);
    if (arena->base == NULL) return QL_FAIL(NO_MEMORY, "no memory for %zu bytes", bytes);
    arena->size = bytes;
    return QL_OK;
}

void ql_arena_keep(ql_arena *arena)
{
    if (arena == NULL) return;
    ql_memory_keep(arena->base);
    *arena = (ql_arena){0};
}

void ql_arena_clear_rest(ql_arena *arena)
{
    if (arena->base != NULL) memset(arena->base + arena->used, 0, arena->size - arena->used);
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
