/* A file of golden numbers (format: README of the golden folder) in memory. */
#ifndef QL_GOLDEN_FILE_H
#define QL_GOLDEN_FILE_H

#include "engine/engine.h"

enum { QL_GOLDEN_ROWS = 3 }; /* rows of the trajectory that can be compared: later ones are chaotic */

typedef struct ql_golden {
    ql_mesh mesh;
    ql_tables tables; /* as stored: float32 values, CSR neighbours, transport */
    int64_t off_count;
    float *off_points;
    float *parameters; /* initial, from parameters.h5 of the same folder */
    double *sdf, *gradient, *hessian, *off_sdf, *off_gradient, *theta; /* hessian: F x 9 as stored */
    double *parameter_gradient;
    double terms[QL_LOSS_COUNT], gradient_norm;
    double trajectory[QL_GOLDEN_ROWS][8]; /* float64 run: total, terms, weight_normal */
    double error_sdf, error_gradient, error_hessian, error_off_sdf, error_off_gradient, error_theta,
        error_parameter_gradient; /* float32_error attributes */
} ql_golden;

ql_status ql_golden_read(ql_golden *golden, const char *path);
void ql_golden_destroy(ql_golden *golden); /* NULL-safe */

#endif
