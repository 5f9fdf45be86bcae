/* Reads the field off the networks (see field_result.h). */
#include "train/field_result.h"

#include "base/memory.h"
#include "comm/comm.h"
#include "field/singularity.h"
#include "model/layout.h"

#define QL_REAL double
#include "model/point.h"

#include <math.h>

static ql_status take_arrays(ql_train_result *result)
{
    size_t faces = (size_t)result->face_count;
    QL_TRY(QL_TAKE(result->theta, faces));
    QL_TRY(QL_TAKE(result->alpha, 3 * faces));
    QL_TRY(QL_TAKE(result->beta, 3 * faces));
    QL_TRY(QL_TAKE(result->sdf, faces));
    QL_TRY(QL_TAKE(result->curvature_min, 3 * faces));
    QL_TRY(QL_TAKE(result->curvature_max, 3 * faces));
    QL_TRY(QL_TAKE(result->singularity_index, result->vertex_count));
    bool zeroed;
    result->parameters = ql_memory_take_uncleared(QL_PARAMETER_COUNT, sizeof *result->parameters, &zeroed);
    return result->parameters != NULL ? QL_OK : QL_FAIL(NO_MEMORY, "no memory for the parameters of a result");
}

/* Principal directions of the Hessian h in the tangent plane (u, v): eigenvectors of the 2 x 2 matrix, `most` that of the
 * eigenvalue of larger size. Zero for a degenerate face. */
static void principal_directions(const double h[6], const double u[3], const double v[3], float least[3], float most[3])
{
    double hu[3], hv[3];
    ql_symmetric_times(h, u, hu);
    ql_symmetric_times(h, v, hv);
    double a = ql_dot3(u, hu), b = ql_dot3(u, hv), c = ql_dot3(v, hv);
    /* the eigenvector of the larger eigenvalue makes the angle t with u; it is the larger in size when a + c >= 0 */
    double t = 0.5 * atan2(2 * b, a - c);
    if (a + c < 0) t += M_PI / 2;
    for (int k = 0; k < 3; ++k) {
        most[k] = (float)(u[k] * cos(t) + v[k] * sin(t));
        least[k] = (float)(v[k] * cos(t) - u[k] * sin(t));
    }
}

static void fill_face(ql_train_result *result, const ql_tables *tables, size_t i, double theta, double value,
                      const double hessian[6])
{
    const double *u = tables->u + 3 * i, *v = tables->v + 3 * i;
    double alpha[3], beta[3];
    ql_point_cross(u, v, cos(theta), sin(theta), alpha, beta);
    for (size_t c = 0; c < 3; ++c) {
        result->alpha[3 * i + c] = (float)alpha[c];
        result->beta[3 * i + c] = (float)beta[c];
    }
    result->theta[i] = (float)theta;
    result->sdf[i] = (float)value;
    principal_directions(hessian, u, v, result->curvature_min + 3 * i, result->curvature_max + 3 * i);
}

/* The engine's part is for all ranks or none. */
static ql_status agree(const ql_field_source *source, ql_status mine)
{
    return source->group != NULL && source->group->size > 1 ? ql_comm_agree(source->group, mine) : mine;
}

static ql_status fill_faces(ql_train_result *result, const ql_field_source *source)
{
    size_t faces = (size_t)result->face_count;
    double *theta = NULL, *value = NULL, *hessian = NULL;
    ql_singularities found;
    ql_status status = take_arrays(result);
    if (status == QL_OK) status = QL_TAKE(theta, faces);
    if (status == QL_OK) status = QL_TAKE(value, faces);
    if (status == QL_OK) status = QL_TAKE(hessian, 6 * faces);
    status = agree(source, status);
    if (status == QL_OK) status = source->engine->kind->theta(source->engine, theta);
    if (status == QL_OK)
        status =
            source->engine->kind->field(source->engine, source->tables->points, (int64_t)faces, value, NULL, hessian);
    for (size_t i = 0; status == QL_OK && i < faces; ++i)
        fill_face(result, source->tables, i, theta[i], value[i], hessian + 6 * i);
    if (status == QL_OK)
        status = ql_singularities_find(&found, result->singularity_index, source->mesh, source->topology,
                                       source->tables, theta);
    if (status == QL_OK) {
        result->singularity_sum = found.sum;
        result->singular_vertices = found.count;
        result->mismatch_mean_deg = found.mismatch_mean_deg;
    }
    ql_free(theta);
    ql_free(value);
    ql_free(hessian);
    return status;
}

ql_status ql_train_result_evaluate(ql_train_result *result, const ql_field_source *source)
{
    ql_engine_state state;
    result->face_count = source->mesh->face_count;
    result->vertex_count = source->mesh->vertex_count;
    QL_TRY(fill_faces(result, source));
    QL_TRY(source->engine->kind->state(source->engine, &state));
    for (int32_t i = 0; i < QL_PARAMETER_COUNT; ++i)
        result->parameters[i] = state.type == QL_FLOAT64 ? (float)((const double *)state.parameters)[i]
                                                         : ((const float *)state.parameters)[i];
    return QL_OK;
}
