/* Preflight: what a mesh is and what is wrong with it, before anything expensive starts. */
#ifndef QL_MESH_PREFLIGHT_H
#define QL_MESH_PREFLIGHT_H

#include "base/json.h"
#include "mesh/topology.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct ql_preflight {
    int32_t vertices, faces, edges, input_polygons;
    int32_t components;           /* faces that share a vertex belong to one; faces that repeat a vertex do not count */
    int32_t boundary_edges;       /* one face */
    int32_t boundary_loops;       /* boundary edges that share a vertex belong to one */
    int32_t nonmanifold_edges;    /* more than two faces */
    int32_t nonmanifold_vertices; /* its faces (each vertex set once) form neither one fan nor one ring */
    int32_t misoriented_edges;    /* two faces that run along the edge in the same direction */
    int32_t degenerate_faces;     /* zero area or a repeated vertex */
    int32_t duplicate_faces;      /* same three vertices as an earlier face, whatever their order */
    int32_t isolated_vertices;    /* of no face */
    int32_t seam_vertices;        /* to be joined with others (mesh/seams.h) */
    int32_t sharp_edges;          /* two faces whose normals, as given, differ by more than sharp_angle_deg */
    int32_t euler;                /* V - E + F over referenced vertices and faces that repeat no vertex */
    int32_t genus; /* total over components; -1 where it is not defined (non-manifold or not orientable) */
    bool closed, manifold, oriented; /* every edge has two faces; no non-manifold edge or vertex; no misoriented edge */
    bool orientable;                 /* every component can be oriented (edges of two faces considered) */
    int32_t first_bad_face;          /* the first face of a defect worth pointing at; -1 = none */
    double sharp_angle_deg;
    double min_angle_deg, min_edge, mean_edge, max_edge; /* input units */
    double bbox_min[3], bbox_max[3];                     /* of referenced vertices */
    double area, volume;  /* volume: signed, positive when faces run counter-clockwise; 0 unless closed */
    bool far_from_origin; /* float32 at this distance from the origin resolves less than 1 % of an edge */
} ql_preflight;

ql_status ql_preflight_run(ql_preflight *report, const ql_mesh *mesh, const ql_topology *topology,
                           double sharp_angle_deg);

/* QL_OK, or why this mesh cannot be trained at all (no face with an area, too small for double). */
ql_status ql_preflight_judge(const ql_preflight *report);

/* The report for people: sizes, shape, then every defect with what it means for the field and what to do. */
void ql_preflight_print(const ql_preflight *report, const ql_mesh *mesh, FILE *out);
/* Every member of the report as a key of the object that the caller has opened. */
void ql_preflight_json(const ql_preflight *report, const ql_mesh *mesh, ql_json *json);

#endif
