/* Verification of a finished result (see result.h): first every byte against its checksum, then what the numbers say against
 * each other and against the mesh. */
#include "base/memory.h"
#include "field/tables.h"
#include "mesh/preflight.h"
#include "model/layout.h"
#include "store/h5.h"
#include "store/result.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Directions are float32: rounding is 1e-7; theta is stored in float32 too and may be several turns. */
static const double DIRECTION_TOLERANCE = 2e-5, THETA_ROUNDING = 3e-7;

void ql_findings_add(ql_findings *findings, const char *format, ...)
{
    char line[512];
    size_t used = strlen(findings->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    ++findings->count;
    if (used + strlen(line) + 2 <= sizeof findings->text) {
        (void)snprintf(findings->text + used, sizeof findings->text - used, "%s\n", line);
    }
}

static void add_problem(void *context, const char *problem) { ql_findings_add(context, "%s", problem); }

/* ---- bytes ---- */

static ql_status check_bytes(ql_findings *findings, const char *path)
{
    hid_t file;
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = ql_h5_check_all(file, add_problem, findings);
        (void)H5Fclose(file);
    } else if (status != QL_STATUS_NO_MEMORY) {
        const char *text = ql_error_text();
        size_t length = strlen(path); /* the caller names the file */
        ql_findings_add(findings, "%s", strncmp(text, path, length) == 0 ? text + length + 2 : text);
        status = QL_OK;
    }
    ql_h5_unlock();
    return status;
}

/* ---- the field ---- */

static double dot(const float *a, const double *b)
{
    return (double)a[0] * b[0] + (double)a[1] * b[1] + (double)a[2] * b[2];
}

static double dot_float(const float *a, const float *b)
{
    return (double)a[0] * (double)b[0] + (double)a[1] * (double)b[1] + (double)a[2] * (double)b[2];
}

/* One face's cross: unit, orthogonal, tangent, and the direction that theta says. A degenerate face has none. Returns what is wrong,
 * or NULL. (A NaN fails every comparison, so the comparisons ask for what is right.) */
static const char *judge_cross(const float *alpha, const float *beta, double theta, const double *n, const double *u,
                               const double *v)
{
    double expected = n[0] != 0 || n[1] != 0 || n[2] != 0 ? 1 : 0;
    double tolerance = DIRECTION_TOLERANCE + THETA_ROUNDING * fabs(theta);
    if (!(fabs(dot_float(alpha, alpha) - expected) <= DIRECTION_TOLERANCE)) return "alpha is not unit";
    if (!(fabs(dot_float(beta, beta) - expected) <= DIRECTION_TOLERANCE)) return "beta is not unit";
    if (!(fabs(dot_float(alpha, beta)) <= DIRECTION_TOLERANCE)) return "alpha and beta are not orthogonal";
    if (!(fabs(dot(alpha, n)) <= DIRECTION_TOLERANCE && fabs(dot(beta, n)) <= DIRECTION_TOLERANCE))
        return "alpha or beta is not tangent";
    if (!(fabs(dot(alpha, u) - expected * cos(theta)) <= tolerance &&
          fabs(dot(alpha, v) - expected * sin(theta)) <= tolerance))
        return "alpha is not where theta says";
    return NULL;
}

static void check_crosses(ql_findings *findings, const ql_result *result, const ql_tables *tables)
{
    const ql_train_result *train = &result->train;
    int64_t bad = 0, first = -1;
    const char *what = NULL;
    for (int64_t f = 0; f < tables->face_count; ++f) {
        size_t at = 3 * (size_t)f;
        const char *fault = judge_cross(train->alpha + at, train->beta + at, (double)train->theta[f],
                                        tables->normals + at, tables->u + at, tables->v + at);
        if (fault == NULL) continue;
        if (bad++ == 0) {
            first = f;
            what = fault;
        }
    }
    if (bad > 0)
        ql_findings_add(findings, "/field: face %lld: %s (%lld faces in all)", (long long)first, what, (long long)bad);
}

/* Sum of the indices: as recorded, and 4 chi where the surface is closed. */
static ql_status check_indices(ql_findings *findings, const ql_result *result, const ql_topology *topology)
{
    ql_preflight report;
    int64_t sum = 0;
    for (int32_t i = 0; i < result->mesh.vertex_count; ++i) sum += result->train.singularity_index[i];
    if (sum != result->summary.singularity_sum)
        ql_findings_add(findings, "/field/singularity_index: sums to %lld, recorded is %lld", (long long)sum,
                        (long long)result->summary.singularity_sum);
    QL_TRY(ql_preflight_run(&report, &result->mesh, topology, 180));
    if (report.euler != result->summary.euler)
        ql_findings_add(findings, "/mesh: Euler characteristic is %d, recorded is %lld", report.euler,
                        (long long)result->summary.euler);
    if (report.closed && report.manifold && report.oriented && report.degenerate_faces == 0 && sum != 4 * report.euler)
        ql_findings_add(findings, "/field/singularity_index: sums to %lld on a closed surface, must be 4 chi = %d",
                        (long long)sum, 4 * report.euler);
    return QL_OK;
}

static ql_status check_field(ql_findings *findings, const ql_result *result)
{
    const ql_train_result *train = &result->train;
    ql_topology topology;
    ql_tables tables;
    if (train->theta == NULL && train->alpha == NULL && train->beta == NULL) {
        if (result->summary.singularity_sum != QL_SUMMARY_NONE) ql_findings_add(findings, "/field: is missing");
        return QL_OK;
    }
    if (train->theta == NULL || train->alpha == NULL || train->beta == NULL || train->singularity_index == NULL) {
        ql_findings_add(findings, "/field: theta, alpha, beta or singularity_index is missing");
        return QL_OK;
    }
    QL_TRY(ql_topology_build(&topology, &result->mesh));
    ql_status status = ql_tables_build(&tables, &result->mesh, &topology, 0);
    if (status == QL_OK) {
        check_crosses(findings, result, &tables);
        ql_tables_destroy(&tables);
        status = check_indices(findings, result, &topology);
    }
    ql_topology_destroy(&topology);
    return status;
}

/* ---- the rest ---- */

static void check_parameters(ql_findings *findings, const float *parameters)
{
    for (int64_t i = 0; parameters != NULL && i < QL_PARAMETER_COUNT; ++i)
        if (!isfinite(parameters[i])) {
            ql_findings_add(findings, "/model/parameters: element %lld is not finite", (long long)i);
            return;
        }
}

/* Pure quads: four different corners each, finite vertices, as many as recorded (indices were checked in reading); then the
 * verdict that they had when they were made. */
static ql_status check_quads(ql_findings *findings, const ql_result *result)
{
    int before = findings->count;
    const ql_quad_result *quads = &result->quads;
    int64_t recorded = result->summary.quads_faces;
    if ((recorded == QL_SUMMARY_NONE ? 0 : recorded) != quads->face_count)
        ql_findings_add(findings, "/quads/faces: %d quads, recorded are %lld", quads->face_count, (long long)recorded);
    for (int64_t f = 0; f < quads->face_count; ++f) {
        const int32_t *q = quads->faces + 4 * f;
        if (q[0] != q[1] && q[0] != q[2] && q[0] != q[3] && q[1] != q[2] && q[1] != q[3] && q[2] != q[3]) continue;
        ql_findings_add(findings, "/quads/faces: quad %lld has a repeated corner (%d %d %d %d)", (long long)f, q[0],
                        q[1], q[2], q[3]);
        break;
    }
    for (int64_t k = 0; k < 3 * (int64_t)quads->vertex_count; ++k)
        if (!isfinite(quads->vertices[k])) {
            ql_findings_add(findings, "/quads/vertices: vertex %lld is not finite", (long long)(k / 3));
            break;
        }
    if (quads->face_count == 0 || findings->count > before) return QL_OK;
    bool valid;
    char why[256];
    ql_status status = ql_quad_check(&valid, why, quads->vertices, quads->vertex_count, quads->faces, quads->face_count,
                                     &result->mesh);
    if (status == QL_STATUS_NO_MEMORY) return status;
    if (status != QL_OK || !valid) ql_findings_add(findings, "/quads: %s", status != QL_OK ? ql_error_text() : why);
    ql_error_clear();
    return QL_OK;
}

static void check_provenance(ql_findings *findings, const ql_result *result)
{
    static const char *const required[] = {"input", "mesh_hash", "options_hash", "date", "hdf5"};
    for (size_t k = 0; k < sizeof required / sizeof *required; ++k) {
        const ql_fact *fact = ql_provenance_find(&result->provenance, required[k]);
        if (fact == NULL || fact->type != QL_FACT_TEXT)
            ql_findings_add(findings, "/provenance: %s is missing", required[k]);
        else if (strcmp(required[k], "mesh_hash") == 0 && strcmp(fact->text, result->summary.mesh_hash) != 0)
            ql_findings_add(findings, "/provenance: mesh_hash %s is not that of the mesh", fact->text);
    }
}

/* What ParaView reads must be the same mesh. */
static ql_status check_vtk(ql_findings *findings, const char *path, const ql_mesh *mesh)
{
    hid_t file;
    void *corners = NULL;
    int64_t count = 3 * (int64_t)mesh->face_count, columns = 0;
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = ql_h5_read_array(file, "/VTKHDF/Connectivity", QL_H5_I64, &count, &columns, &corners);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    if (status == QL_STATUS_NO_MEMORY) return status;
    if (status != QL_OK) ql_findings_add(findings, "%s", ql_error_text());
    for (int64_t k = 0; status == QL_OK && k < count; ++k)
        if (((const int64_t *)corners)[k] != mesh->faces[k]) {
            ql_findings_add(findings, "/VTKHDF/Connectivity: face %lld differs from /mesh/faces", (long long)(k / 3));
            break;
        }
    ql_free(corners);
    return QL_OK;
}

ql_status ql_result_verify(ql_findings *findings, const char *path)
{
    ql_result *result;
    *findings = (ql_findings){0};
    QL_TRY(check_bytes(findings, path));
    if (findings->count > 0) return QL_OK; /* the rest would only repeat it */
    QL_TRY(QL_TAKE(result, 1));
    ql_status status = ql_result_read(result, path, QL_RESULT_ALL);
    if (status == QL_OK) {
        status = check_field(findings, result);
        if (status == QL_OK) status = check_vtk(findings, path, &result->mesh);
        check_parameters(findings, result->train.parameters);
        if (status == QL_OK) status = check_quads(findings, result);
        check_provenance(findings, result);
        ql_result_destroy(result);
    } else if (status != QL_STATUS_NO_MEMORY) {
        const char *text = ql_error_text();
        size_t length = strlen(path);
        ql_findings_add(findings, "%s", strncmp(text, path, length) == 0 ? text + length + 2 : text);
        status = QL_OK;
    }
    ql_free(result);
    return status;
}
