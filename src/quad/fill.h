/* Polygons to quads. */
#ifndef QL_QUAD_FILL_H
#define QL_QUAD_FILL_H

#include "quad/extract.h"
#include "quad/polish.h"

/* Keeps quads and fills even polygons (what a fold left) with quads round a new middle vertex; larger ones lose quads at
 * their rim first. *odd counts polygons that cannot be filled so. pin is by origin: corner (per surface vertex), feature. */
ql_status ql_fill(ql_quads *quads, const ql_polygons *polygons, const ql_surface *surface, const uint8_t *corner,
                  int32_t *odd);

enum { QL_FILL_RING_LIMIT = 200 }; /* larger polygons are not filled */

/* Fills one ring of n vertices (even, 4 to QL_FILL_RING_LIMIT; spoiled). quads has *vertices and *faces of which are used, and room
 * for one vertex and n quads more. */
void ql_fill_ring(ql_quads *quads, int32_t *vertices, int32_t *faces, int32_t *ring, int32_t n);

/* Catmull-Clark connectivity: a vertex in the middle of every edge and face, every corner becomes a quad. `pin` (per vertex
 * of the polygons) is carried over; the middle of an edge between two pinned ends is on the line when `line_edges` says so
 * for that edge (per corner: the edge from it), or NULL for none. */
ql_status ql_fill_split(ql_quads *quads, const double *vertices, int32_t vertex_count, const int32_t *start,
                        const int32_t *corner, int32_t face_count, const uint8_t *pin, const uint8_t *line_edges);

/* Pin of each polygon vertex from its origin on the surface. */
uint8_t ql_fill_pin(const ql_polygons *polygons, int32_t vertex, const ql_surface *surface, const uint8_t *corner);

#endif
