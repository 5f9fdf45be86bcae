/* The project's own inputs: meshes made by formula, so that demos and tests ship no foreign models.
 *
 * All are oriented outwards, manifold and of the genus that they name; the smallest angle is above 15 degrees (but for
 * tori with 3 points around).
 */
#ifndef QL_MESH_GENERATE_H
#define QL_MESH_GENERATE_H

#include "mesh/mesh.h"

ql_status ql_generate_icosphere(ql_mesh *mesh, int subdivisions);   /* 20 * 4^n faces, n <= 9 */
ql_status ql_generate_torus(ql_mesh *mesh, int around, int across); /* 2 * around * across faces */
ql_status ql_generate_block(ql_mesh *mesh, int resolution);         /* CAD-like: step, slot, draft; 132 n^2 faces */
ql_status ql_generate_bracket(ql_mesh *mesh, int resolution);       /* open: fold, 2 loops; 28 n^2 faces */
ql_status ql_generate_double_torus(ql_mesh *mesh, int resolution);  /* genus 2; cells along the longest side */
ql_status ql_generate_handles(ql_mesh *mesh, int genus, int resolution); /* ball with 0...5 handles; as above */

/* The two of them with about `faces` faces instead. */
ql_status ql_generate_double_torus_of(ql_mesh *mesh, int faces);
ql_status ql_generate_handles_of(ql_mesh *mesh, int genus, int faces);

/* By name with about `faces` faces (an icosphere: the nearest of 20, 80, 320, 1280, ...). */
#define QL_GENERATOR_NAMES "icosphere, torus, double-torus, block, bracket, handles-0 ... handles-5"
ql_status ql_generate_by_name(ql_mesh *mesh, const char *name, int faces);

#endif
