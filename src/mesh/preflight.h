/* Preflight: what a mesh is and what is wrong with it, before anything expensive starts. */
#ifndef QL_MESH_PREFLIGHT_H
#define QL_MESH_PREFLIGHT_H

#include "base/json.h"
#include "mesh/topology.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct ql_preflight {
    int32_t vertices, faces, edges, input_polygons;
    int32_t components;       /* connected by shared edges */
    int32_t boundary_edges, boundary_loops;
    int32_t nonmanifold_edges; /* more than two faces */
    int32_t nonmanifold_vertices; /* faces around it form more than one fan */
    int32_t misoriented_edges; /* two faces that run along the edge in the same direction */
    int32_t degenerate_faces; /* zero area or a repeated vertex */
    int32_t duplicate_faces;  /* same three vertices as an earlier face */
    int32_t isolated_vertices;
    int32_t sharp_edges;      /* dihedral angle above the given limit */
    int32_t euler;            /* V - E + F over referenced vertices */
    int32_t genus;            /* total over components; -1 where it is not defined (non-manifold or not orientable) */
    bool closed, manifold, oriented;
    int32_t first_bad_face;   /* the first face of a defect worth pointing at; -1 = none */
    double min_angle_deg, min_edge, mean_edge, max_edge; /* input units */
    double bbox_min[3], bbox_max[3], area;
    bool far_from_origin;     /* offset so large against the size that float32 input would have lost digits */
} ql_preflight;

ql_status ql_preflight_run(ql_preflight *report, const ql_mesh *mesh, const ql_topology *topology,
                           double sharp_angle_deg);

/* QL_OK, or why this mesh cannot be trained at all (no face with area, not finite, fewer than 1 usable face...). */
ql_status ql_preflight_judge(const ql_preflight *report);

void ql_preflight_print(const ql_preflight *report, const ql_mesh *mesh, FILE *out);
void ql_preflight_json(const ql_preflight *report, const ql_mesh *mesh, ql_json *json);

#endif
