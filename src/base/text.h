/* Reading short texts that people type: numbers, durations, names with a typo. Everything is strict: the
 * whole text must be the value, no spaces, no hexadecimal, no "inf" or "nan", always a decimal point whatever
 * the locale. */
#ifndef QL_BASE_TEXT_H
#define QL_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "12", "-3", "1e4", "2.5e3": any decimal form whose value is a whole number of int64. */
bool ql_text_to_int(const char *text, int64_t *value);
bool ql_text_to_uint(const char *text, uint64_t *value);

/* Decimal number, finite. */
bool ql_text_to_real(const char *text, double *value);

/* true, yes, on, 1 and false, no, off, 0 in lower, upper or title case. */
bool ql_text_to_bool(const char *text, bool *value);

/* "90", "1.5e3" (seconds), "MM:SS", "HH:MM:SS" or "D-HH:MM:SS" (as Slurm writes it). */
bool ql_text_to_seconds(const char *text, double *seconds);

/* Shortest text that ql_text_to_real reads back to the same value. */
enum { QL_REAL_SIZE = 32 };
const char *ql_text_from_real(char out[QL_REAL_SIZE], double value);

/* Position of `word` in "a|b|c" (exact), or -1; and the number of words. */
int ql_text_choice(const char *choices, const char *word);

/* Word `index` of "a|b|c" and its length; NULL when there are fewer. */
const char *ql_text_choice_at(const char *choices, int index, size_t *length);

/* Edit distance with transpositions (optimal string alignment; Damerau 1964), without regard to case. Texts
 * longer than 63 bytes count as far away. */
int ql_text_distance(const char *a, const char *b);

/* A distance at which `candidate` is worth proposing for what was typed. */
bool ql_text_is_near(const char *typed, int distance);

#endif
