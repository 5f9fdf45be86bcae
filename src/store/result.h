/* The result file of one mesh (HDF5): what is in it stands in docs/results.md.
 *
 * Every dataset carries units, long_name and xxh64, the hash of its values in file order; those of more than
 * one value are chunked with fletcher32. Equal runs give equal values, hence equal hashes; times are only in
 * /provenance, in the columns that are named seconds and in the row of the summary. */
#ifndef QL_STORE_RESULT_H
#define QL_STORE_RESULT_H

#include "base/options.h"
#include "base/provenance.h"
#include "mesh/mesh.h"
#include "quad/quad.h"
#include "store/summary.h"
#include "train/train.h"

/* What goes into a file; everything is borrowed. */
typedef struct ql_result_content {
    const char *id; /* NAME-HASH8 */
    const ql_mesh *mesh;
    const ql_train_result *train; /* arrays that are NULL are left out (parameters of an untrained field, sdf, ...) */
    const ql_options *options;    /* written to /provenance as options.NAME; or NULL */
    const ql_quad_result *quads;  /* or NULL */
    const ql_provenance *provenance; /* version, git id, device, ranks, job, ...; or NULL. HDF5 version, input
                                        path, hashes and date are added */
    uint64_t options_hash;
    int64_t attempts;
    int64_t ranks; /* that trained it together; 0 = 1 */
} ql_result_content;

/* Writes atomically: afterwards the file is there and complete, or as it was before. */
ql_status ql_result_write(const char *path, const ql_result_content *content);

/* The row that the file will carry. */
ql_status ql_result_summary(ql_summary *row, const ql_result_content *content);

/* Parts to read; a part that the file does not have stays empty. */
enum {
    QL_RESULT_MESH = 1,
    QL_RESULT_FIELD = 2,
    QL_RESULT_MODEL = 4,
    QL_RESULT_HISTORY = 8,
    QL_RESULT_QUADS = 16,
    QL_RESULT_PROVENANCE = 32,
    QL_RESULT_ALL = 63
};

typedef struct ql_result {
    ql_summary summary; /* always read */
    ql_mesh mesh;
    ql_train_result train; /* arrays, counts, history and what the summary tells */
    ql_quad_result quads;  /* no faces: none */
    ql_provenance provenance;
} ql_result;

/* Reads and checks shapes and hashes of what it reads. */
ql_status ql_result_read(ql_result *result, const char *path, unsigned parts);
void ql_result_destroy(ql_result *result); /* NULL-safe */

/* Copies /VTKHDF alone into a new file for ParaView. */
ql_status ql_result_export_vtkhdf(const char *result_path, const char *path);

/* What verification found: one line per problem, the first ones kept. */
typedef struct ql_findings {
    int count;
    char text[4096]; /* lines "dataset: problem\n" */
} ql_findings;

void ql_findings_add(ql_findings *findings, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads everything and checks it: hashes, shapes, unit orthogonal tangent directions, theta against alpha,
 * sum of indices, topology of the quads, provenance. QL_OK also when there are findings; an error only when
 * the check itself could not be done (no memory). */
ql_status ql_result_verify(ql_findings *findings, const char *path);

#endif
