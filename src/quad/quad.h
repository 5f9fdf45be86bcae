/* From a triangle mesh and a cross field to a verified pure quad mesh: the one call that the floors above use.
 *
 * The route is an integer-grid map (Bommes et al. 2009) with exact extraction (Ebke et al. 2013), verified at the end;
 * when a rung of the ladder does not verify, the next one is tried, and what was used is in the result.
 * Everything here is thread-safe and reentrant: no state outside the arguments.
 */
#ifndef QL_QUAD_QUAD_H
#define QL_QUAD_QUAD_H

#include "base/options.h"
#include "mesh/mesh.h"

#include <stdbool.h>
#include <stdint.h>

/* Rungs of the ladder, best first. A mesh of several components records the worst rung that any of them needed. */
typedef enum ql_quad_rung {
    QL_RUNG_FIELD,  /* integer-grid map of the given field at the target size */
    QL_RUNG_SCALED, /* the same at another size */
    QL_RUNG_SMOOTH, /* integer-grid map of a plain smooth field with features fixed */
    QL_RUNG_COARSE, /* coarse map of quads and other polygons, each split once (Catmull-Clark connectivity) */
    QL_RUNG_SPLIT,  /* triangles of a re-meshed surface, in pairs where two make a quad, each split once */
    QL_RUNG_COUNT
} ql_quad_rung;
const char *ql_quad_rung_name(ql_quad_rung rung); /* "field", "scaled", ... */

/* X(name, unit, long name): columns of the quality table; all are double, not-a-number = does not apply. */
#define QL_QUAD_QUALITY_LIST(X)                                                                                        \
    X(faces, "1", "quads")                                                                                             \
    X(vertices, "1", "vertices of the quad mesh")                                                                      \
    X(euler, "1", "Euler characteristic of the quad mesh")                                                             \
    X(boundary_loops, "1", "boundary loops of the quad mesh")                                                          \
    X(irregular_interior, "1", "interior vertices of valence other than 4")                                            \
    X(irregular_boundary, "1", "boundary vertices of valence other than 3")                                            \
    X(singularities_below, "1", "interior vertices of valence 2 or less (index 2 and more)")                           \
    X(singularities_3, "1", "interior vertices of valence 3 (index 1)")                                                \
    X(singularities_5, "1", "interior vertices of valence 5 (index -1)")                                               \
    X(singularities_6, "1", "interior vertices of valence 6 (index -2)")                                               \
    X(singularities_above, "1", "interior vertices of valence 7 and more")                                             \
    X(sj_min, "1", "smallest scaled Jacobian (minimum corner)")                                                        \
    X(sj_p5, "1", "scaled Jacobian, 5th percentile")                                                                   \
    X(sj_mean, "1", "scaled Jacobian, mean")                                                                           \
    X(angle_dev_mean, "degree", "mean deviation of corner angles from 90 degrees")                                     \
    X(jr_mean, "1", "mean ratio of smallest to largest corner Jacobian")                                               \
    X(area_cv, "1", "coefficient of variation of quad areas")                                                          \
    X(edge_cv, "1", "coefficient of variation of edge lengths")                                                        \
    X(chamfer_pct, "percent", "mean two-sided distance to the input, of the bounding-box diagonal")                    \
    X(hausdorff_pct, "percent", "largest two-sided sampled distance to the input, of the bounding-box diagonal")       \
    X(feature_recall, "1", "share of sharp input edges that an output edge follows")                                   \
    X(field_singularities, "1", "singular vertices of the field that was quadrangulated")                              \
    X(ladder_step, "1", "rung of the fall-back ladder, 0 = field, 1 = scaled, 2 = smooth, 3 = coarse, 4 = split")      \
    X(prepare_s, "s", "time: checks, repair and re-meshing")                                                           \
    X(field_s, "s", "time: field, features, singularities")                                                            \
    X(map_s, "s", "time: cut, seamless map, rounding, fold repair")                                                    \
    X(extract_s, "s", "time: extraction")                                                                              \
    X(improve_s, "s", "time: smoothing and untangling")                                                                \
    X(verify_s, "s", "time: verification")                                                                             \
    X(total_s, "s", "time: all of it")

typedef struct ql_quad_quality {
#define QL_QUALITY_FIELD(name, unit, text) double name;
    QL_QUAD_QUALITY_LIST(QL_QUALITY_FIELD)
#undef QL_QUALITY_FIELD
} ql_quad_quality;

/* Iteration for stores, summaries and JSON. */
int ql_quad_quality_count(void);
const char *ql_quad_quality_name(int index);
const char *ql_quad_quality_unit(int index);
const char *ql_quad_quality_text(int index);
double ql_quad_quality_value(const ql_quad_quality *quality, int index);

typedef struct ql_quad_result {
    int32_t vertex_count, face_count;
    double *vertices; /* vertex_count x 3, input coordinates */
    int32_t *faces;   /* face_count x 4, oriented as the input */
    ql_quad_quality quality;
    ql_quad_rung rung;
    bool valid;     /* always true when ql_quads_make returned QL_OK */
    char note[256]; /* what was repaired in the input and why rungs were left, for people; "" when nothing */
} ql_quad_result;

/* Quads of about options->target faces (or options->edge_length input units when that is > 0) from a mesh and a direction
 * per face: `alpha`, F x 3 in input coordinates (need not be unit; zero = no opinion), or NULL: a smooth field is
 * computed, as it is with options->method = smooth. Errors: CONFIG (bad target), MESH (cannot be made an oriented
 * manifold, names the face), NUMERIC (nothing verified; cannot happen on valid input). */
ql_status ql_quads_make(ql_quad_result *result, const ql_mesh *mesh, const double *alpha,
                        const ql_quads_options *options);
void ql_quad_result_destroy(ql_quad_result *result); /* NULL-safe */

/* Judges any quad mesh against the mesh it was made from (quality without times); `why` gets the reason when the result
 * is not valid. `quads` is face_count x 4. */
ql_status ql_quad_judge(ql_quad_quality *quality, bool *valid, char why[256], const double *vertices,
                        int32_t vertex_count, const int32_t *quads, int32_t face_count, const ql_mesh *input,
                        double feature_angle_deg);

/* The verdict of ql_quad_judge alone, without distances and features: a small share of its time. */
ql_status ql_quad_check(bool *valid, char why[256], const double *vertices, int32_t vertex_count, const int32_t *quads,
                        int32_t face_count, const ql_mesh *input);

#endif
