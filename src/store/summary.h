/* A row per mesh: the attributes of a result file's root, the columns of summary.csv and of the table in
 * index.h5. One definition for all three. */
#ifndef QL_STORE_SUMMARY_H
#define QL_STORE_SUMMARY_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { QL_ID_SIZE = 128, QL_SUMMARY_TEXT = 512 };

/* X(kind, name, unit, meaning) */
#define QL_SUMMARY_COLUMNS(X)                                                                                          \
    X(TEXT, mesh, "", "NAME-HASH8: the mesh in this run, name of its files")                                           \
    X(TEXT, name, "", "name of the input file without folder and extension")                                           \
    X(TEXT, status, "", "finished, failed or unfinished")                                                              \
    X(TEXT, stage, "", "where a failed mesh failed")                                                                   \
    X(TEXT, reason, "", "why a failed mesh failed")                                                                    \
    X(INT, attempts, "1", "times that the work on this mesh was begun")                                                \
    X(TEXT, input, "", "input path as given")                                                                          \
    X(TEXT, mesh_hash, "", "content hash (XXH64) of positions and faces")                                              \
    X(TEXT, options_hash, "", "hash of the options that decide the result")                                            \
    X(INT, faces, "1", "triangles")                                                                                    \
    X(INT, vertices, "1", "vertices")                                                                                  \
    X(INT, euler, "1", "V - E + F over referenced vertices")                                                           \
    X(INT, boundary_edges, "1", "edges with one face")                                                                 \
    X(TEXT, preset, "", "train.preset")                                                                                \
    X(TEXT, engine, "", "engine that trained")                                                                         \
    X(TEXT, seed, "", "train.seed")                                                                                    \
    X(INT, ranks, "1", "ranks that trained it together")                                                               \
    X(INT, steps, "1", "training steps taken")                                                                         \
    X(REAL, loss_total, "1", "weighted loss at the last step")                                                         \
    X(REAL, loss_sdf, "1", "E_sdf at the last step")                                                                   \
    X(REAL, loss_off, "1", "E_off at the last step")                                                                   \
    X(REAL, loss_eikonal, "1", "E_eik at the last step")                                                               \
    X(REAL, loss_normal, "1", "E_normal at the last step")                                                             \
    X(REAL, loss_align, "1", "E_align at the last step")                                                               \
    X(REAL, loss_smooth, "1", "E_smooth at the last step")                                                             \
    X(INT, singular_vertices, "1", "vertices of non-zero index")                                                       \
    X(INT, singularity_sum, "quarter turns", "sum of the indices; 4 euler on a closed surface")                        \
    X(REAL, mismatch_mean_deg, "degrees", "mean angle between neighbouring crosses")                                   \
    X(REAL, prepare_s, "s", "reading, checks and tables")                                                              \
    X(REAL, train_s, "s", "training, all attempts")                                                                    \
    X(REAL, s_per_step, "s", "one training step")                                                                      \
    X(REAL, cpu_s, "s", "processor time of the training")                                                              \
    X(REAL, quads_s, "s", "field to quads")                                                                            \
    X(REAL, memory_mb, "MB", "memory of the engine")                                                                   \
    X(INT, quads_faces, "1", "quads")                                                                                  \
    X(INT, quads_vertices, "1", "vertices of the quad mesh")                                                           \
    X(INT, quads_euler, "1", "Euler characteristic of the quad mesh")                                                  \
    X(INT, quads_boundary_loops, "1", "boundary loops of the quad mesh")                                               \
    X(INT, quads_irregular_interior, "1", "interior vertices of valence other than 4")                                 \
    X(INT, quads_irregular_boundary, "1", "boundary vertices of valence other than 3")                                 \
    X(REAL, quads_sj_min, "1", "scaled Jacobian, smallest")                                                            \
    X(REAL, quads_sj_mean, "1", "scaled Jacobian, mean of the quads' smallest corners")                                \
    X(REAL, quads_sj_p5, "1", "scaled Jacobian, 5th percentile")                                                       \
    X(REAL, quads_angle_dev_mean, "degrees", "mean deviation of corners from 90 degrees")                              \
    X(REAL, quads_jr_mean, "1", "mean ratio of smallest to largest corner Jacobian")                                   \
    X(REAL, quads_area_cv, "1", "standard deviation / mean of the areas")                                              \
    X(REAL, quads_edge_cv, "1", "standard deviation / mean of the edge lengths")                                       \
    X(REAL, quads_chamfer_pct, "% of diagonal", "mean distance to the input")                                          \
    X(REAL, quads_hausdorff_pct, "% of diagonal", "largest distance to the input")                                     \
    X(REAL, quads_feature_recall, "1", "share of sharp input edges that the quads follow")                             \
    X(INT, quads_ladder_step, "1", "rung of the ladder, 0 = field ... 4 = split")                                      \
    X(TEXT, date, "", "when the row was made, UTC")

/* "mesh", "input" and "reason" can be long; one size keeps the table simple. */
typedef struct ql_summary {
#define QL_SUMMARY_TEXT_FIELD(name) char name[QL_SUMMARY_TEXT];
#define QL_SUMMARY_INT_FIELD(name) int64_t name; /* QL_SUMMARY_NONE: not there */
#define QL_SUMMARY_REAL_FIELD(name) double name; /* NaN: not there */
#define QL_SUMMARY_FIELD(kind, name, unit, meaning) QL_SUMMARY_##kind##_FIELD(name)
    QL_SUMMARY_COLUMNS(QL_SUMMARY_FIELD)
#undef QL_SUMMARY_FIELD
} ql_summary;

#define QL_SUMMARY_NONE INT64_MIN

typedef enum ql_summary_kind { QL_SUMMARY_KIND_TEXT, QL_SUMMARY_KIND_INT, QL_SUMMARY_KIND_REAL } ql_summary_kind;

typedef struct ql_summary_column {
    const char *name, *unit, *meaning;
    ql_summary_kind kind;
    size_t offset; /* in ql_summary */
} ql_summary_column;

int ql_summary_column_count(void);
const ql_summary_column *ql_summary_column_at(int index);

/* Nothing known: empty texts, QL_SUMMARY_NONE, NaN. */
void ql_summary_init(ql_summary *row);

/* The row of a result file; opens only its root (about 0.2 ms). */
ql_status ql_summary_read(ql_summary *row, const char *path);

/* All rows as CSV (RFC 4180: header line, CRLF, quotes doubled) and as a table of columns plus an external
 * link to each finished mesh file ("meshes/ID.h5" relative to the index). Both replaced atomically. */
ql_status ql_summary_write_csv(const char *path, const ql_summary *rows, int64_t count);
ql_status ql_summary_write_index(const char *path, const ql_summary *rows, int64_t count);

#endif
