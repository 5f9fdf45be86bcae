/* The grid of a map that folds: cancels what a fold covers twice.
 *
 * Every preimage of a grid point is a node with a cyclic word of rays, counter-clockwise on the surface: +1 where the map keeps
 * orientation, -1 where it mirrors, QL_RAY_RIM at the boundary. Along an isoline, rays are joined in pairs: of equal sign when
 * one cell lies between them, of opposite sign when the isoline only turned back at a fold. Two rules, until none applies:
 * an isoline that turned back is contracted (its two nodes become one, or one node is pinched in two); two neighbours of
 * opposite sign in a word cancel, which joins their far ends. Both preserve the number of cells counted with sign, so
 * where the map is homotopic to one without folds the grid of that one is left, with no knowledge of where folds are (cf. the
 * merging of grid vertices in Ebke et al. 2013, section 4.3).
 */
#ifndef QL_QUAD_UNFOLD_H
#define QL_QUAD_UNFOLD_H

#include "base/status.h"

#include <stdint.h>

enum { QL_RAY_RIM = 0, QL_RAY_GONE = 2 };

typedef struct ql_rays {
    int32_t count;
    int8_t *sign;           /* count; QL_RAY_GONE after it was cancelled */
    int32_t *next, *before; /* cyclic order round the node */
    int32_t *partner;       /* -1 = none */
    int32_t *node;          /* on return: a representative node that the cancelled ones of its place point to */
    int32_t nodes;
    const uint8_t *rank; /* nodes: of two nodes that become one, the one of higher rank stays */
} ql_rays;

ql_status ql_unfold(ql_rays *rays);

/* The next half-edge of the face on the left of a ray: clockwise from its partner to the next ray that has a partner (others
 * are passed over, so what cannot be unfolded leaves one larger face instead of a hole); -1 at the boundary. */
int32_t ql_rays_around(const ql_rays *rays, int32_t ray);

#endif
