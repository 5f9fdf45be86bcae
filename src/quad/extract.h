/* The quad mesh of an integer-grid map (Ebke et al. 2013, "QEx: robust quad mesh extraction"), in exact arithmetic.
 *
 * Parameters are integers (fixed point, QL_FIXED_ONE = one grid cell), so every orientation test is an exact 128-bit
 * integer, and every transition is exact. Grid vertices lie on mesh vertices, on edges or in faces; each has one port per
 * grid direction that leaves it; a port's path is followed one cell through the triangles (shifted sideways by an
 * infinitesimal amount, so that it never meets a vertex; in a flipped triangle it simply runs backwards); ports that find each
 * other are joined, and faces are walked. Where the map folds, ports stay alone and are passed over: the fold becomes one
 * larger polygon with an even number of corners, which fill.h closes.
 */
#ifndef QL_QUAD_EXTRACT_H
#define QL_QUAD_EXTRACT_H

#include "field/cross_surface.h"

typedef enum ql_origin_kind { QL_ORIGIN_FACE, QL_ORIGIN_EDGE, QL_ORIGIN_VERTEX } ql_origin_kind;

typedef struct ql_polygons {
    int32_t vertex_count, face_count;
    double *vertices; /* vertex_count x 3, on the surface */
    int32_t *start;   /* face_count + 1: corners of a face in `corner`, counter-clockwise */
    int32_t *corner;
    uint8_t *origin_kind; /* vertex_count: ql_origin_kind */
    int32_t *origin;      /* vertex_count: face, half-edge or vertex of the surface */
    int32_t quads;        /* faces with four corners */
    int32_t loose;        /* ports that found no partner although not at the boundary */
} ql_polygons;

/* uv: corner coordinates, 6 F, fixed point. matching: 3F, of the charts: (u, v) of the face across h is R^matching[h] of this
 * one plus a translation. Fails (NUMERIC) when the two do not fit together exactly. */
ql_status ql_extract(ql_polygons *polygons, const ql_surface *surface, const int64_t *uv, const uint8_t *matching);
void ql_polygons_destroy(ql_polygons *polygons); /* NULL-safe */

/* Twice the signed area of a face's image, sign only: 1, 0, -1. */
int ql_extract_orientation(const int64_t *uv, int32_t face);

#endif
