/* Any triangle mesh -> oriented manifold surfaces, one per component.
 *
 * Seams are joined (mesh/seams.h), repeated (quad/doubles.h) and collapsed faces dropped, faces oriented alike within a component. Edges of more
 * than two faces are paired so that the surface bends least, vertices of more than one fan split. Components without area (a
 * triangle whose corners lie on a line) are left out as long as there are others. What is not orientable is refused with the
 * face that shows it.
 */
#ifndef QL_QUAD_PREPARE_H
#define QL_QUAD_PREPARE_H

#include "field/cross_surface.h"
#include "mesh/mesh.h"

typedef struct ql_component {
    ql_surface surface;
    int32_t *parent; /* face of the surface -> face of the input mesh */
    double area;
} ql_component;

typedef struct ql_prepared {
    int32_t count;
    ql_component *component; /* largest area first */
    double area, diagonal;   /* of all of it; of the bounding box */
    int32_t euler, loops;    /* of the repaired surface */
    int32_t welded, dropped, turned, split_edges, split_vertices;
    int32_t slivers; /* components without area, left out */
} ql_prepared;

ql_status ql_prepare(ql_prepared *prepared, const ql_mesh *mesh);
void ql_prepared_destroy(ql_prepared *prepared); /* NULL-safe */

#endif
