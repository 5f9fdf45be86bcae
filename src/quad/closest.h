/* Closest point on a set of triangles: a tree of bounding boxes, split at the median. Thread-safe once built. Triangles may
 * be degenerate (segments, points), so that feature lines use the same tree. */
#ifndef QL_QUAD_CLOSEST_H
#define QL_QUAD_CLOSEST_H

#include "base/status.h"

#include <stdint.h>

typedef struct ql_closest ql_closest;

/* Copies what it needs. `corners` is count x 9: three points per triangle. */
ql_status ql_closest_create(ql_closest **tree, const double *corners, int32_t count);
/* Of indexed triangles. */
ql_status ql_closest_of_faces(ql_closest **tree, const double *vertices, const int32_t *faces, int32_t count);
void ql_closest_destroy(ql_closest *tree); /* NULL-safe */

/* Fills the closest point and returns the triangle that it lies on (-1 when there is none); *distance2 is squared.
 * `limit2`: only look within this squared distance (INFINITY for any). */
int32_t ql_closest_find(const ql_closest *tree, const double point[3], double limit2, double closest[3],
                        double *distance2);

/* Closest point of one triangle (Ericson 2005, 5.1.5), safe for degenerate ones; returns the squared distance. */
double ql_closest_on_triangle(const double p[3], const double a[3], const double b[3], const double c[3],
                              double out[3]);

#endif
