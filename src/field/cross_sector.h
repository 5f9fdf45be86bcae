/* Sectors of feature and boundary vertices: the wedge of faces between two neighbouring feature edges, and the number of
 * quads that a field puts into it. */
#ifndef QL_FIELD_CROSS_SECTOR_H
#define QL_FIELD_CROSS_SECTOR_H

#include "field/cross_surface.h"

typedef struct ql_sector {
    double angle;  /* sum of the corners, radians */
    int32_t quads; /* round of (angle - turn of the field) / (pi/2) */
} ql_sector;

/* delta: 3F, turn of the field across each half-edge (field/cross_clean.h). inner: a half-edge from the vertex that is no
 * feature, inside the sector. */
void ql_cross_sector(const ql_surface *surface, const double *delta, int32_t inner, ql_sector *sector);

/* Numbers of quads with corners between 25 and 150 degrees: less is a folded or flat corner that no smoothing mends. */
void ql_cross_sector_fits(double angle, int32_t *least, int32_t *most);

/* Turn of the field across every half-edge (0 at the boundary). */
void ql_cross_turns(const ql_surface *surface, const double *psi, const double *phi, const uint8_t *matching,
                    double *delta);

#endif
