/* Cross fields in text files: a line per face "alpha xyz beta xyz" (.txt), or the number of faces, 4, and a direction per
 * face (.rosy). */
#ifndef QL_FIELD_CROSS_FILE_H
#define QL_FIELD_CROSS_FILE_H

#include "base/status.h"

#include <stdint.h>

/* alpha: face_count x 3 (ql_free it). Told apart by content. Fails (FORMAT) with the line when the number of faces is not
 * `face_count`, a number is not finite or a line is short. */
ql_status ql_cross_read(double **alpha, const char *path, int32_t face_count);

#endif
