/* Aligned, counted allocation and the arena of a mesh.
 *
 * Everything that quadloom allocates comes from here, so that a test (and the end of every program run in debug
 * builds) can check that the balance is zero, and a peak can be reported. Memory is aligned to 64 bytes and zeroed.
 */
#ifndef QL_BASE_MEMORY_H
#define QL_BASE_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory for count elements of `size` bytes, aligned to 64 bytes; NULL when there is none or when the
 * product overflows. count = 0 gives a valid pointer to nothing. */
void *ql_memory_take(size_t count, size_t size);

/* Grows or shrinks (contents kept, new part zeroed). NULL and the old block untouched on failure. */
void *ql_memory_resize(void *block, size_t count, size_t size);

void ql_free(void *block); /* NULL-safe */

/* The same but for what is in it: remains of a block that went back by ql_memory_keep, unless *zeroed. Clearing fresh pages takes
 * longer than the training of a tiny mesh, so its large arrays go from one mesh to the next. Under sanitizers full of NaN. */
void *ql_memory_take_uncleared(size_t count, size_t size, bool *zeroed);

/* ql_free for such blocks: large ones stay mapped for the next, up to half a gigabyte in all. NULL-safe. */
void ql_memory_keep(void *block);

/* Gives what is kept back to the system. */
void ql_memory_drop_kept(void);

/* ql_status: takes `count` elements for the pointer variable p (a lvalue), e.g. QL_TRY(QL_TAKE(mesh->faces, 3 * n)). */
#define QL_TAKE(p, count)                                                                                              \
    (((p) = ql_memory_take((size_t)(count), sizeof *(p))) != NULL                                                      \
         ? QL_OK                                                                                                       \
         : QL_FAIL(NO_MEMORY, "no memory for %zu elements of %zu bytes (%s)", (size_t)(count), sizeof *(p), #p))

/* Copy of a string, or NULL. */
char *ql_memory_string(const char *text);

typedef struct ql_memory_report {
    int64_t blocks;     /* blocks taken and not yet freed */
    int64_t bytes;      /* bytes in them */
    int64_t peak_bytes; /* largest `bytes` so far in this process */
} ql_memory_report;

ql_memory_report ql_memory_balance(void);
void ql_memory_reset_peak(void);

/* Test hook: the n-th allocation from now on fails (1 = the next one); 0 switches it off. */
void ql_memory_fail_at(int64_t n);

/* Largest resident set size of this process so far, bytes (0 where the system does not tell). */
int64_t ql_memory_peak_resident(void);

/* One block, sized before the work starts, from which a mesh's training takes all its memory: too big a mesh is
 * known before it starts and a step allocates nothing. */
typedef struct ql_arena {
    unsigned char *base;
    size_t size, used;
} ql_arena;

/* Size that an array takes in an arena (rounded up to 64 bytes). */
static inline size_t ql_arena_round(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* An arena that only measures: takes return a dummy pointer and add to `used`, so that the function that lays out an
 * engine's memory also predicts it. */
ql_arena ql_arena_measuring(void);

ql_status ql_arena_create(ql_arena *arena, size_t bytes);        /* zeroed */
void ql_arena_destroy(ql_arena *arena);                          /* NULL-safe */
void *ql_arena_take(ql_arena *arena, size_t count, size_t size); /* 64-byte aligned; NULL when full */

/* One that may hold the remains of an earlier one, unless *zeroed; and its end, which keeps it for the next (NULL-safe). */
ql_status ql_arena_create_uncleared(ql_arena *arena, size_t bytes, bool *zeroed);
void ql_arena_keep(ql_arena *arena);
void ql_arena_clear_rest(ql_arena *arena); /* clears all that is taken from here on */

#endif
