/* The project's own inputs: meshes made by formula, so that demos and tests ship no foreign models. */
#ifndef QL_MESH_GENERATE_H
#define QL_MESH_GENERATE_H

#include "mesh/mesh.h"

ql_status ql_generate_icosphere(ql_mesh *mesh, int subdivisions);           /* 20 * 4^n faces */
ql_status ql_generate_torus(ql_mesh *mesh, int around, int across);          /* 2 * around * across faces */
ql_status ql_generate_double_torus(ql_mesh *mesh, int resolution);           /* genus 2, smooth union, marching tetrahedra,
                                                                                regularised */
ql_status ql_generate_block(ql_mesh *mesh, int resolution);                  /* CAD-like block with a step and creases */
ql_status ql_generate_bracket(ql_mesh *mesh, int resolution);                /* open L-shaped sheet: boundary and crease */
ql_status ql_generate_handles(ql_mesh *mesh, int genus, int resolution);     /* closed surface of genus 0..5 */

/* By name ("icosphere", "torus", "double-torus", "block", "bracket", "handles-3") with about `faces` faces. */
ql_status ql_generate_by_name(ql_mesh *mesh, const char *name, int faces);

#endif
