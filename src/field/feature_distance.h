/* Distance of the face centroids to the sharp edges of a mesh. */
#ifndef QL_FIELD_FEATURE_DISTANCE_H
#define QL_FIELD_FEATURE_DISTANCE_H

#include "field/tables.h"

/* distance: F numbers in normalised units (a large one everywhere when there is no sharp edge). An edge is sharp when the
 * normals of its two faces differ by more than angle_deg. Returns the number of sharp edges in *edges. */
ql_status ql_feature_distance(double *distance, int32_t *edges, const ql_mesh *mesh, const ql_topology *topology,
                              const ql_tables *tables, double angle_deg);

#endif
