/* Oriented manifold triangle surface that cross-field operations and the quad pipeline work on.
 *
 * Half-edge h = 3 f + k runs from corner k of face f to corner k + 1. Unlike ql_topology this one refuses anything that is
 * not an oriented manifold (with boundary): src/quad/prepare.h makes such surfaces from any mesh.
 */
#ifndef QL_FIELD_CROSS_SURFACE_H
#define QL_FIELD_CROSS_SURFACE_H

#include "base/status.h"

#include <stdint.h>

typedef struct ql_surface {
    int32_t vertex_count, face_count;
    double *vertices;  /* V x 3 */
    int32_t *faces;    /* F x 3, counter-clockwise */
    int32_t *opposite; /* 3F: half-edge on the other side, -1 at the boundary */
    int32_t *outgoing; /* V: a half-edge from the vertex; at the boundary the clockwise-most one; -1 when unused */
    uint8_t *feature;  /* 3F: 1 where the edge is a feature (both sides); boundary edges are features too */
} ql_surface;

/* Copies positions and faces and links them; `feature` marks the boundary only. Fails (MESH) unless manifold and
 * oriented. */
ql_status ql_surface_create(ql_surface *surface, const double *vertices, int32_t vertex_count, const int32_t *faces,
                            int32_t face_count);
void ql_surface_destroy(ql_surface *surface); /* NULL-safe */

/* Recomputes opposite and outgoing from faces (arrays must have their sizes). */
ql_status ql_surface_link(ql_surface *surface);

static inline int32_t ql_next(int32_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
static inline int32_t ql_previous(int32_t h) { return h % 3 == 0 ? h + 2 : h - 1; }
static inline int32_t ql_from(const ql_surface *s, int32_t h) { return s->faces[h]; }
static inline int32_t ql_to(const ql_surface *s, int32_t h) { return s->faces[ql_next(h)]; }
static inline const double *ql_at(const ql_surface *s, int32_t v) { return s->vertices + 3 * (int64_t)v; }

/* Next outgoing half-edge of the same vertex, counter-clockwise or clockwise; -1 across the boundary. */
static inline int32_t ql_turn_left(const ql_surface *s, int32_t h) { return s->opposite[ql_previous(h)]; }
static inline int32_t ql_turn_right(const ql_surface *s, int32_t h)
{
    return s->opposite[h] < 0 ? -1 : ql_next(s->opposite[h]);
}
static inline int ql_on_boundary(const ql_surface *s, int32_t v)
{
    return s->outgoing[v] >= 0 && s->opposite[s->outgoing[v]] < 0;
}

/* Twice the area times the unit normal; returns twice the area. */
double ql_surface_normal(const ql_surface *surface, int32_t face, double normal[3]);
double ql_surface_area(const ql_surface *surface);

/* V - E + F over used vertices, and the number of boundary loops. */
int32_t ql_surface_euler(const ql_surface *surface);
ql_status ql_surface_loops(const ql_surface *surface, int32_t *loops);

#endif
