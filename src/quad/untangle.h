/* Fold repair of a map with its integers fixed (Garanzha et al. 2021, "Foldover-free maps in 50 lines of code").
 *
 * minimise sum over faces of area * (|J|^2 + 1 + det^2 J) / chi(det J, eps), chi(D, eps) = (D + sqrt(eps^2 + D^2)) / 2, over the
 * real variables of the map near the folds, so that the map stays exactly seamless; eps shrinks with the worst fold. J is
 * against the field's axes at the wanted edge, so a perfect cell has J = 1.
 */
#ifndef QL_QUAD_UNTANGLE_H
#define QL_QUAD_UNTANGLE_H

#include "quad/map.h"

/* value: all variables (in/out). *folded gets the number of faces that still have det <= 0 (as doubles), *work the number of
 * elements that were evaluated, which is bounded: where folds are there for good, some stay. */
ql_status ql_untangle(const ql_map *map, double edge, double *value, int32_t *folded, int64_t *work);

/* Marks (F) faces that fold, hardly keep from folding or turn by more than a quarter against the field, and so many vertex rings
 * round them. */
ql_status ql_untangle_mark(const ql_map *map, double edge, const double *value, int rings, uint8_t *mark);

/* Lengths of the gradients of both coordinates (2F), 1 = one cell per edge. */
void ql_untangle_gradients(const ql_map *map, double edge, const double *value, double *gradient);

/* Jacobian determinants of all faces (F), 1 = one cell per edge^2. */
ql_status ql_untangle_determinants(const ql_map *map, double edge, const double *value, double *determinant);

#endif
