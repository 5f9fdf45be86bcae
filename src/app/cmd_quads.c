/* quadloom quads RESULT.h5 | MESH: a quad mesh from a field, alone. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "field/cross_file.h"
#include "quad/quad.h"
#include "store/export.h"
#include "store/result.h"

#include <math.h>
#include <string.h>

static const char *const DETAILS = "Takes the field of a result, of --field FILE (.rosy, or text with alpha xyz beta "
                                   "xyz per face), or a plain smooth\n"
                                   "field (--method smooth, and the default when a mesh has no field). The quad mesh "
                                   "is verified before it is written.";

typedef struct request {
    const char *field, *method, *out;
    int64_t target;
    double edge_length, feature_angle_deg, irregular_price;
    bool json, verbose;
} request;

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

/* Mesh and directions (NULL = none) of the operand. */
static ql_status load(ql_mesh *mesh, double **alpha, const char *path, const request *r)
{
    *alpha = NULL;
    if (!ends_with(path, ".h5")) {
        QL_TRY(ql_mesh_read(mesh, path));
        return r->field == NULL ? QL_OK : ql_cross_read(alpha, r->field, mesh->face_count);
    }
    ql_result result;
    QL_TRY(ql_result_read(&result, path, QL_RESULT_MESH | QL_RESULT_FIELD));
    ql_status status = QL_OK;
    int64_t n = 3 * (int64_t)result.mesh.face_count;
    if (r->field != NULL)
        status = ql_cross_read(alpha, r->field, result.mesh.face_count);
    else if (result.train.alpha != NULL)
        status = QL_TAKE(*alpha, n);
    for (int64_t i = 0; status == QL_OK && r->field == NULL && *alpha != NULL && i < n; ++i)
        (*alpha)[i] = (double)result.train.alpha[i];
    if (status == QL_OK) {
        *mesh = result.mesh;
        memset(&result.mesh, 0, sizeof result.mesh);
    }
    ql_result_destroy(&result);
    return status;
}

static void print_text(const char *out, const ql_quad_result *result)
{
    const ql_quad_quality *q = &result->quality;
    (void)printf("%s: %d quads, %d vertices, verified\n", out, result->face_count, result->vertex_count);
    (void)printf("  irregular vertices %.0f inside, %.0f at the boundary\n", q->irregular_interior,
                 q->irregular_boundary);
    (void)printf("  scaled Jacobian    smallest %.3f, mean %.3f; angles %.2f degrees from 90\n", q->sj_min, q->sj_mean,
                 q->angle_dev_mean);
    (void)printf("  distance to input  mean %.4f %%, largest %.4f %% of the diagonal\n", q->chamfer_pct,
                 q->hausdorff_pct);
    if (isfinite(q->feature_recall)) (void)printf("  sharp edges        %.1f %% followed\n", 100 * q->feature_recall);
    (void)printf("  route              %s, %.2f s%s%s\n", ql_quad_rung_name(result->rung), q->total_s,
                 result->note[0] != '\0' ? "; " : "", result->note);
}

static ql_status print_json(const char *path, const char *out, const ql_quad_result *result)
{
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_json_string(&json, "input", path);
    ql_json_string(&json, "output", out);
    ql_json_bool(&json, "valid", result->valid);
    ql_json_string(&json, "rung", ql_quad_rung_name(result->rung));
    for (int i = 0; i < ql_quad_quality_count(); ++i)
        ql_json_real(&json, ql_quad_quality_name(i), ql_quad_quality_value(&result->quality, i));
    ql_json_real(&json, "cpu_s", ql_clock_cpu_s());
    ql_json_string(&json, "note", result->note);
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

static ql_status make_quads(const char *path, const request *r)
{
    ql_mesh mesh = {0};
    double *alpha = NULL;
    ql_quad_result result = {0};
    ql_quads_options options = {.enabled = true,
                                .target = r->target,
                                .edge_length = r->edge_length,
                                .feature_angle_deg = r->feature_angle_deg,
                                .irregular_price = r->irregular_price};
    options.method = strcmp(r->method, "smooth") == 0 ? QL_QUADS_SMOOTH : QL_QUADS_TRAINED;
    ql_status status = load(&mesh, &alpha, path, r);
    if (status == QL_OK) status = QL_CHAIN(ql_quads_make(&result, &mesh, alpha, &options), "%s", path);
    if (status == QL_OK)
        status = ql_export_quads(r->out, &result, ends_with(r->out, ".ply") ? QL_EXPORT_PLY : QL_EXPORT_OBJ);
    if (status == QL_OK) {
        if (r->json)
            status = print_json(path, r->out, &result);
        else
            print_text(r->out, &result);
    }
    ql_quad_result_destroy(&result);
    ql_mesh_destroy(&mesh);
    ql_free(alpha);
    return status;
}

static ql_status check(const request *r, const ql_arguments *arguments)
{
    if (arguments->operand_count != 1)
        return QL_FAIL(USAGE, "expected one mesh or result, got %d; see `quadloom quads --help`",
                       arguments->operand_count);
    if (r->out == NULL) return QL_FAIL(USAGE, "no output named; add -o OUT.obj (or .ply)");
    if (strcmp(r->method, "trained") != 0 && strcmp(r->method, "smooth") != 0)
        return QL_FAIL(USAGE, "--method %s: expected trained or smooth", r->method);
    if (!(r->edge_length >= 0) || isinf(r->edge_length))
        return QL_FAIL(USAGE, "--edge-length %g: expected a length in the mesh's units", r->edge_length);
    if (!(r->feature_angle_deg > 0 && r->feature_angle_deg <= 180))
        return QL_FAIL(USAGE, "--feature-angle %g: expected degrees above 0, up to 180", r->feature_angle_deg);
    if (!(r->irregular_price >= 0) || isinf(r->irregular_price))
        return QL_FAIL(USAGE, "--irregular-price %g: expected a number not below 0", r->irregular_price);
    return QL_OK;
}

int ql_cmd_quads(int argc, char **argv)
{
    ql_options defaults;
    ql_options_init(&defaults);
    request r = {.method = "trained",
                 .target = defaults.quads.target,
                 .feature_angle_deg = defaults.quads.feature_angle_deg,
                 .irregular_price = defaults.quads.irregular_price};
    const ql_argument table[] = {
        {"output", 'o', QL_ARGUMENT_TEXT, &r.out, "OUT.obj", "where the quad mesh goes (.obj or .ply)"},
        {"field", 0, QL_ARGUMENT_TEXT, &r.field, "FILE", "cross field: .rosy, or text, alpha xyz beta xyz per face"},
        {"method", 0, QL_ARGUMENT_TEXT, &r.method, "NAME", "trained (the field given) or smooth (computed here)"},
        {"target-quads", 0, QL_ARGUMENT_COUNT, &r.target, "N", "about so many quads"},
        {"edge-length", 0, QL_ARGUMENT_REAL, &r.edge_length, "L",
         "edge length in the mesh's units, instead of a number"},
        {"feature-angle", 0, QL_ARGUMENT_REAL, &r.feature_angle_deg, "DEG",
         "edges sharper than this are kept (default 40)"},
        {"irregular-price", 0, QL_ARGUMENT_REAL, &r.irregular_price, "E",
         "how far to depart from the field given for one irregular vertex less (default 3; 0: not at all)"},
        {"json", 0, QL_ARGUMENT_SWITCH, &r.json, NULL, "print one JSON object with the quality table"},
        {"verbose", 'v', QL_ARGUMENT_SWITCH, &r.verbose, NULL, "tell on standard error what each rung came to"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK) status = check(&r, &arguments);
    if (r.verbose) ql_log_configure(QL_LOG_DEBUG, 0, 1);
    if (status == QL_OK) status = make_quads(arguments.operands[0], &r);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
