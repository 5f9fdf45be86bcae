/* Feature edges: dihedral angle above a limit, and boundaries; chains too short for the quads that are wanted are dropped. */
#ifndef QL_QUAD_FEATURE_H
#define QL_QUAD_FEATURE_H

#include "field/cross_surface.h"

/* Sets surface->feature. `edge` is the wanted quad edge: dead ends shorter than 2 of it and connected sets of features
 * shorter than 6 of it in all are noise of scanned surfaces at that size and are dropped (never the boundary). Patches between
 * features with less than `patch` of a quad's area join a neighbour (patch.h; 0: all stay). */
ql_status ql_feature_mark(ql_surface *surface, double angle_deg, double edge, double patch);

/* Where two features leave a vertex less than 20 degrees apart, one of them begins only where it is `gap` away from the other
 * (INFINITY: the whole chain goes): the corner of a quad cannot be that sharp. The boundary stays, else the sharper edge. */
ql_status ql_feature_open_wedges(ql_surface *surface, double gap, double edge);

/* Corners: vertices where features end, branch, or turn by more than 45 degrees. corner[v] = 1. */
ql_status ql_feature_corners(const ql_surface *surface, uint8_t *corner);

/* Number of feature edges at a vertex and up to two half-edges of them (outgoing, or of the edge's other side). */
int32_t ql_feature_at(const ql_surface *surface, int32_t vertex, int32_t half[2]);

#endif
