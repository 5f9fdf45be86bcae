/* Mutates the corpus by a fixed random sequence and reads every mutant: the fuzzing that runs with the tests.
 *
 *     mutate_read CORPUS [COUNT [FIRST]]     mutants FIRST, FIRST + 1, ... (default 200,000 from 0)
 *
 * A mutant depends on its number and the corpus alone, so a finding is repeated by `mutate_read CORPUS 1 NUMBER`; where one
 * crashes, its number is the last one printed to standard error.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "fuzz/fuzz_read.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SEEDS = 1024, MAX_SIZE = 8192, MAX_CHANGES = 6 };

typedef struct seed_file {
    char *path;
    char *data;
    size_t size;
    int format;
    bool good;
} seed_file;

static seed_file seeds[MAX_SEEDS];
static int seed_count;
static char running[32]; /* number of the mutant, for the report of a crash */

static const char *const FOLDERS[] = {"obj", "ply", "off", "stl"};

static ql_status add_seed(const char *folder, const char *name, int format)
{
    char path[QL_PATH_SIZE];
    if (name[0] == '.' || seed_count == MAX_SEEDS) return QL_OK;
    QL_TRY(ql_path_join(path, folder, name));
    seed_file *seed = &seeds[seed_count];
    QL_TRY(ql_file_read_whole(path, 1 << 20, &seed->data, &seed->size));
    seed->path = ql_memory_string(path);
    seed->format = format;
    seed->good = strncmp(name, "ok-", 3) == 0;
    if (seed->path == NULL) return QL_FAIL(NO_MEMORY, "no memory for seeds");
    ++seed_count;
    return QL_OK;
}

static int compare_seeds(const void *a, const void *b)
{
    return strcmp(((const seed_file *)a)->path, ((const seed_file *)b)->path);
}

static ql_status load_seeds(const char *corpus)
{
    for (int format = 0; format < 4; ++format) {
        char folder[QL_PATH_SIZE];
        QL_TRY(ql_path_join(folder, corpus, FOLDERS[format]));
        DIR *stream = opendir(folder);
        if (stream == NULL) return QL_FAIL(IO, "%s cannot be opened", folder);
        ql_status status = QL_OK;
        for (struct dirent *entry; status == QL_OK && (entry = readdir(stream)) != NULL;)
            status = add_seed(folder, entry->d_name, format);
        (void)closedir(stream);
        QL_TRY(status);
    }
    qsort(seeds, (size_t)seed_count, sizeof seeds[0], compare_seeds); /* readdir has no order */
    return QL_OK;
}

/* ---- mutation ---- */

typedef struct dice {
    uint64_t mutant, drawn;
} dice;

static uint32_t draw(dice *d, size_t below)
{
    ql_random4 r = ql_random_at(ql_key_make(20, 26), QL_STREAM_TEST, 0, d->mutant << 16 | d->drawn++);
    return below > 0 ? (uint32_t)(r.r[0] % below) : 0;
}

/* Texts that mean something to a reader. */
static const char *const WORDS[] = {
    "0",
    "-1",
    "1",
    "4294967296",
    "2147483647",
    "-2147483648",
    "99999999999999999999",
    "1e400",
    "-1e-400",
    "nan",
    "inf",
    "\n",
    "\r",
    "\r\n",
    "\\\n",
    "#",
    "/",
    "//",
    " ",
    "\t",
    "f ",
    "v ",
    "OFF\n",
    "COFF",
    "ply\n",
    "end_header\n",
    "element vertex 3\n",
    "element face 9\n",
    "property list uchar int vertex_index\n",
    "property double x\n",
    "property list uint8 uint8 a\n",
    "format ascii 1.0\n",
    "format binary_big_endian 1.0\n",
    "solid",
    "facet",
    "endloop\n",
    "vertex",
    "endsolid\n",
    "1.5e",
    "0x1",
    "1,5",
    "\"",
    "%s",
    "1e38",
    "1e-60",
    "1e69",
    "-0",
    "1099511627776",
    "65535",
    "255",
    "3 0 1 2\n",
    "f 1 2 3 4 5\n",
    "f -1 -2 -3\n",
};
enum { WORD_COUNT = sizeof WORDS / sizeof WORDS[0] };

/* Another digit where there is one: the file stays well-formed and says something else. */
static void change_digit(dice *d, uint8_t *data, size_t size, size_t at)
{
    for (size_t i = 0; i < size; ++i, at = at + 1 < size ? at + 1 : 0) {
        if (at >= size || data[at] < '0' || data[at] > '9') continue;
        data[at] = (uint8_t)('0' + draw(d, 10));
        return;
    }
}

/* Replaces `cut` bytes at `at` by `length` bytes of `text`, as far as there is room. */
static void splice(uint8_t *data, size_t *size, size_t at, size_t cut, const void *text, size_t length)
{
    if (cut > *size - at) cut = *size - at;
    if (*size - cut + length > MAX_SIZE) return;
    memmove(data + at + length, data + at + cut, *size - at - cut);
    memcpy(data + at, text, length);
    *size += length - cut;
}

static void splice_from_other(dice *d, uint8_t *data, size_t *size, size_t at)
{
    const seed_file *other = &seeds[draw(d, (size_t)seed_count)];
    size_t from = draw(d, other->size + 1), length = draw(d, other->size - from + 1);
    if (length > 0) splice(data, size, at, draw(d, 2) * length, other->data + from, length);
}

static void change(dice *d, uint8_t *data, size_t *size)
{
    uint8_t copy[256], byte = (uint8_t)draw(d, 256);
    size_t at = draw(d, *size + 1), length = 1 + draw(d, draw(d, 2) ? 16 : 200);
    const char *word = WORDS[draw(d, WORD_COUNT)];
    switch (draw(d, 24)) {
    case 0:
        if (at < *size) data[at] ^= (uint8_t)(1u << draw(d, 8));
        break;
    case 1:
        if (at < *size) data[at] = byte;
        break;
    case 2: splice(data, size, at, 0, &byte, 1); break;
    case 3: splice(data, size, at, length, "", 0); break;
    case 4: splice(data, size, at, draw(d, 2) * strlen(word), word, strlen(word)); break;
    case 5: /* a piece of its own, again */
        if (at + length > *size) length = *size - at;
        memcpy(copy, data + at, length);
        splice(data, size, draw(d, *size + 1), 0, copy, length);
        break;
    case 6: *size = at; break;
    case 7: splice_from_other(d, data, size, at); break;
    case 8:
    case 9:
        if (at < *size && data[at] == ' ') data[at] = '\t';
        break;
    default: change_digit(d, data, *size, at); break;
    }
}

static ql_status read_mutant(uint64_t mutant)
{
    static uint8_t data[1 + MAX_SIZE];
    dice d = {mutant, 0};
    const seed_file *seed = &seeds[draw(&d, (size_t)seed_count)];
    if (!seed->good && draw(&d, 4) != 0)
        seed = &seeds[draw(&d, (size_t)seed_count)]; /* more of those that can be read */
    size_t size = seed->size < MAX_SIZE ? seed->size : MAX_SIZE;
    data[0] = (uint8_t)(draw(&d, 10) == 0 ? draw(&d, 5) : (uint32_t)seed->format);
    memcpy(data + 1, seed->data, size);
    for (uint32_t changes = 1 + draw(&d, 1 + draw(&d, MAX_CHANGES)); changes > 0; --changes)
        change(&d, data + 1, &size);
    uint8_t *exact = malloc(1 + size); /* so that a sanitizer sees a byte read behind it */
    if (exact == NULL) return QL_FAIL(NO_MEMORY, "no memory for a mutant");
    memcpy(exact, data, 1 + size);
    ql_status status = ql_fuzz_read(exact, 1 + size);
    free(exact);
    return status;
}

/* ---- program ---- */

static void report_crash(void)
{
    static const char text[] = "mutate_read: crashed on mutant ";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    written += write(STDERR_FILENO, running, strlen(running));
    if (written < 0) _exit(135);
}

static void on_signal(int signal_number)
{
    report_crash();
    _exit(128 + signal_number);
}

/* Present when a sanitizer is linked in; it ends the process without a signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_crashes(void)
{
    static const int SIGNALS[] = {SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGALRM};
    if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(report_crash);
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; ++i) (void)signal(SIGNALS[i], on_signal);
}

static ql_status run(const char *corpus, uint64_t count, uint64_t first)
{
    QL_TRY(load_seeds(corpus));
    double start = ql_clock_s(), slowest = 0.0;
    uint64_t accepted = 0, slowest_mutant = first;
    for (uint64_t mutant = first; mutant < first + count; ++mutant) {
        (void)snprintf(running, sizeof running, "%llu\n", (unsigned long long)mutant);
        double begun = ql_clock_s();
        (void)alarm(20); /* a mutant of a few kilobytes that takes so long is a finding */
        accepted += read_mutant(mutant) == QL_OK;
        double taken = ql_clock_s() - begun;
        if (taken > slowest) slowest = taken, slowest_mutant = mutant;
    }
    (void)printf("%llu mutants of %d files in %.1f s: %llu read, the others refused; slowest %.3f s (mutant %llu)\n",
                 (unsigned long long)count, seed_count, ql_clock_s() - start, (unsigned long long)accepted, slowest,
                 (unsigned long long)slowest_mutant);
    if (count >= 1000 && (accepted < count / 20 || accepted > count - count / 20))
        return QL_FAIL(INTERNAL, "mutants are too tame or too wild: %llu of %llu were read",
                       (unsigned long long)accepted, (unsigned long long)count);
    return QL_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        (void)fprintf(stderr, "usage: mutate_read CORPUS [COUNT [FIRST]]\n");
        return 2;
    }
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000,
             first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    watch_for_crashes();
    ql_status status = run(argv[1], count, first);
    if (status != QL_OK) (void)fprintf(stderr, "mutate_read: %s\n", ql_error_text());
    for (int i = 0; i < seed_count; ++i) {
        ql_free(seeds[i].path);
        ql_free(seeds[i].data);
    }
    return status == QL_OK ? 0 : 1;
}
