/* One input through the mesh floor: read, edges, preflight, text and JSON of the report, write. Shared by the libFuzzer target
 * and by the mutation test. The first byte chooses the format, the rest is the file. */
#ifndef QL_TEST_FUZZ_READ_H
#define QL_TEST_FUZZ_READ_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Status of the reader. Aborts where a promise is broken: an index out of range, a number that is not finite, an error without
 * text, memory kept. */
ql_status ql_fuzz_read(const uint8_t *data, size_t size);

#endif
