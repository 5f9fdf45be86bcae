/* The integer-grid map of one cross field: everything between the field and exact corner coordinates.
 *
 * The minimiser of the map's energy may wind twice round one face and not at all round another: the faces between turn by more
 * than a quarter against the field. No barrier opens such a pair (every determinant would have to pass 0), a stiffer energy
 * does: where the rounded and untangled map still folds, faces at the folds and two rings round them get three times the
 * weight, and it is rounded anew, some times over ("local stiffening", Bommes et al. 2009, section 5.4). Weights stay for the
 * next edge length. */
#ifndef QL_QUAD_MAPPING_H
#define QL_QUAD_MAPPING_H

#include "quad/map.h"
#include "quad/round.h"

/* A map with so many conditions broken has too many features, or too few cells for them. */
enum { QL_MAPPING_MOST_BROKEN = 20 };

typedef struct ql_mapping {
    const ql_surface *surface;
    ql_cut cut;
    ql_grid grid;
    ql_map map;
    ql_conditions conditions;
    double *weight; /* 2F, of either coordinate */
    double *z, *linear, *value;
    int64_t *uv; /* 6F, fixed point (map.h) */
    /* of the last map */
    int32_t broken; /* conditions that do not hold, of conditions.count */
    int32_t folded; /* faces and feature edges that fold */
    int64_t effort; /* about nanoseconds, counted in operations so that it does not depend on the machine */
} ql_mapping;

/* phi, matching: the field. Weights are balanced for about this edge: cells three times too long weigh as much as cells three
 * times too short, which least squares would prefer. NUMERIC when there are too many integers to round. */
ql_status ql_mapping_create(ql_mapping *mapping, const ql_surface *surface, const double *phi, const uint8_t *matching,
                            double edge);
void ql_mapping_destroy(ql_mapping *mapping); /* NULL-safe */

/* Cells that the map has at a given edge, without rounding: area of the faces in the map. */
ql_status ql_mapping_cells(ql_mapping *mapping, double edge, double *cells);

/* Integers and corner coordinates at one edge length, folds repaired. *edge (in/out) grows or shrinks with the weights so that
 * the number of cells stays. */
ql_status ql_mapping_round(ql_mapping *mapping, double *edge);

#endif
