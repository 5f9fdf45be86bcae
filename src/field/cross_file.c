#include "field/cross_file.h"

#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of one line, at most `limit`; *text moves behind the line. Returns how many, -1 for what is not a number. */
static int numbers_of_line(const char **text, double *out, int limit)
{
    int n = 0;
    const char *p = *text;
    while (1) {
        while (*p == ' ' || *p == '\t' || *p == '\r' || *p == ',') ++p;
        if (*p == '\n' || *p == 0 || *p == '#') break;
        char *end;
        double x = strtod(p, &end);
        if (end == p) n = limit + 2;
        if (n < limit) out[n] = x;
        if (end == p) break;
        ++n;
        p = end;
    }
    while (*p != '\n' && *p != 0) ++p;
    *text = *p == '\n' ? p + 1 : p;
    return n == limit + 2 ? -1 : n;
}

static ql_status parse(double *alpha, const char *path, const char *text, int32_t face_count)
{
    double row[6];
    int32_t faces = 0, rosy = 0;
    for (int32_t line = 1; *text != 0; ++line) {
        int n = numbers_of_line(&text, row, 6);
        if (n == 0) continue;
        if (n == 1 && faces == 0 && rosy < 2) { /* the two header lines of a .rosy file */
            if (rosy == 0 && row[0] != face_count)
                return QL_FAIL(FORMAT, "%s: line %d: field of %g faces, the mesh has %d", path, line, row[0],
                               face_count);
            if (rosy == 1 && row[0] != 4)
                return QL_FAIL(FORMAT, "%s: line %d: %g directions per face, expected 4 (a cross field)", path, line,
                               row[0]);
            ++rosy;
            continue;
        }
        if (n != (rosy ? 3 : 6))
            return QL_FAIL(FORMAT, "%s: line %d: expected %d numbers (%s)", path, line, rosy ? 3 : 6,
                           rosy ? "one direction" : "alpha xyz beta xyz");
        if (faces == face_count)
            return QL_FAIL(FORMAT, "%s: line %d: more lines than the mesh has faces (%d)", path, line, face_count);
        for (int k = 0; k < n; ++k)
            if (!isfinite(row[k])) return QL_FAIL(FORMAT, "%s: line %d: not a finite number", path, line);
        memcpy(alpha + 3 * (int64_t)faces++, row, 3 * sizeof *row);
    }
    if (faces != face_count)
        return QL_FAIL(FORMAT, "%s: field of %d faces, the mesh has %d; was it made for another mesh?", path, faces,
                       face_count);
    return QL_OK;
}

ql_status ql_cross_read(double **alpha, const char *path, int32_t face_count)
{
    char *text = NULL;
    size_t size = 0;
    *alpha = NULL;
    QL_TRY(ql_file_read_whole(path, (size_t)4 << 30, &text, &size));
    ql_status status = QL_TAKE(*alpha, 3 * (int64_t)face_count + 1);
    if (status == QL_OK) status = parse(*alpha, path, text, face_count);
    ql_free(text);
    if (status != QL_OK) {
        ql_free(*alpha);
        *alpha = NULL;
    }
    return status;
}
