/* Singularities (see singularity.h). Every quantity of a vertex is a sum over corners and edges, so no ring is walked:
 * a vertex counts as interior when each of its corners has a neighbour on both sides and these form one cycle. */
#include "field/singularity.h"

#include "base/memory.h"

#include <math.h>

static double wrap_quarter(double angle)
{
    double wrapped = remainder(angle, M_PI / 2);
    return wrapped >= M_PI / 4 ? wrapped - M_PI / 2 : wrapped;
}

static double corner_angle(const ql_mesh *mesh, int32_t h)
{
    const double *at = mesh->vertices + 3 * (size_t)mesh->faces[h];
    const double *a = mesh->vertices + 3 * (size_t)mesh->faces[ql_halfedge_next(h)];
    const double *b = mesh->vertices + 3 * (size_t)mesh->faces[ql_halfedge_previous(h)];
    double dot = 0, aa = 0, bb = 0;
    for (int c = 0; c < 3; ++c) {
        dot += (a[c] - at[c]) * (b[c] - at[c]);
        aa += (a[c] - at[c]) * (a[c] - at[c]);
        bb += (b[c] - at[c]) * (b[c] - at[c]);
    }
    return aa > 0 && bb > 0 ? acos(fmin(1.0, fmax(-1.0, dot / sqrt(aa * bb)))) : 0;
}

/* The half-edge that leaves the same vertex in the next face counter-clockwise, or -1: at a boundary, a non-manifold edge
 * or an edge whose faces disagree in orientation. */
static int32_t turn_left(const ql_mesh *mesh, const ql_topology *topology, int32_t h)
{
    int32_t other = topology->opposite[ql_halfedge_previous(h)];
    return other != QL_NO_HALFEDGE && mesh->faces[other] == mesh->faces[h] ? other : QL_NO_HALFEDGE;
}

/* wrap(theta_j + rho_ij - theta_i) for the step from the face of h across its previous edge; entry: CSR place of each half-edge. */
static double step_across(const ql_tables *tables, const double *theta, const int32_t *entry, int32_t h)
{
    int32_t across = ql_halfedge_previous(h), i = ql_halfedge_face(h), k = entry[across];
    double delta = theta[tables->neighbour[k]] + tables->transport[k] - theta[i];
    return isnan(delta) ? 0 : wrap_quarter(delta);
}

/* Walks the fan that starts at half-edge `start`; sets *corners and *quarter when it closes, else returns false. */
static bool walk_fan(const ql_mesh *mesh, const ql_topology *topology, const ql_tables *tables, const double *theta,
                     const int32_t *entry, int32_t start, int32_t *corners, double *quarter)
{
    double sum = 2 * M_PI;
    int32_t h = start;
    *corners = 0;
    do {
        int32_t left = turn_left(mesh, topology, h);
        if (left == QL_NO_HALFEDGE || ++*corners > 3 * mesh->face_count) return false;
        sum += step_across(tables, theta, entry, h) - corner_angle(mesh, h);
        h = left;
    } while (h != start);
    *quarter = sum / (M_PI / 2);
    return true;
}

static double mean_mismatch_deg(const ql_tables *tables, const double *theta)
{
    double sum = 0;
    int64_t pairs = 0;
    for (int32_t i = 0; i < tables->face_count; ++i)
        for (int32_t k = tables->neighbour_ptr[i]; k < tables->neighbour_ptr[i + 1]; ++k) {
            double delta = theta[tables->neighbour[k]] + tables->transport[k] - theta[i];
            if (isnan(delta)) continue;
            sum += fabs(wrap_quarter(delta));
            pairs++;
        }
    return pairs > 0 ? sum / (double)pairs * 180 / M_PI : 0;
}

ql_status ql_singularities_find(ql_singularities *found, int8_t *index, const ql_mesh *mesh,
                                const ql_topology *topology, const ql_tables *tables, const double *theta)
{
    int32_t *entry = NULL, *uses = NULL, *first = NULL;
    ql_status status = QL_TAKE(entry, 3 * (size_t)mesh->face_count);
    if (status == QL_OK) status = QL_TAKE(uses, mesh->vertex_count);
    if (status == QL_OK) status = QL_TAKE(first, mesh->vertex_count);
    *found = (ql_singularities){0};
    int32_t at = 0;
    for (int32_t h = 0; status == QL_OK && h < 3 * mesh->face_count; ++h) {
        entry[h] = topology->opposite[h] != QL_NO_HALFEDGE ? at++ : -1; /* the order of ql_tables_build */
        uses[mesh->faces[h]]++;
        first[mesh->faces[h]] = h;
    }
    for (int32_t v = 0; status == QL_OK && v < mesh->vertex_count; ++v) {
        int32_t corners;
        double quarter;
        index[v] = 0;
        if (uses[v] == 0 || !walk_fan(mesh, topology, tables, theta, entry, first[v], &corners, &quarter)) continue;
        if (corners != uses[v]) continue; /* a second fan: not a manifold vertex */
        index[v] = (int8_t)fmax(-128, fmin(127, rint(quarter)));
        found->sum += index[v];
        found->count += index[v] != 0;
    }
    if (status == QL_OK) found->mismatch_mean_deg = mean_mismatch_deg(tables, theta);
    ql_free(entry);
    ql_free(uses);
    ql_free(first);
    return status;
}
