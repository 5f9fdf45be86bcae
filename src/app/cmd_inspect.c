/* quadloom inspect MESH...: the preflight report of each mesh, and whether it can be trained. */
#include "app/arguments.h"
#include "app/commands.h"
#include "mesh/preflight.h"

static const char *const DETAILS =
    "Reads OBJ, PLY, OFF and STL. Prints sizes, shape, features and defects with what they mean and how to mend them.\n"
    "Exit code 1 when a mesh cannot be read or has nothing that could be trained.";

static ql_status analyse(ql_mesh *mesh, ql_preflight *report, const char *path, double sharp_angle_deg)
{
    QL_TRY(ql_mesh_read(mesh, path));
    ql_topology topology;
    QL_TRY(ql_topology_build(&topology, mesh));
    ql_status status = ql_preflight_run(report, mesh, &topology, sharp_angle_deg);
    ql_topology_destroy(&topology);
    return status;
}

static void print_text(const ql_mesh *mesh, const ql_preflight *report, const char *path, ql_status read,
                       ql_status judged)
{
    if (read == QL_OK)
        ql_preflight_print(report, mesh, stdout);
    else
        (void)printf("%s\n", path);
    if (judged == QL_OK)
        (void)printf("  usable    yes\n");
    else
        (void)printf("  usable    no: %s\n", ql_error_text());
}

static ql_status print_json(const ql_mesh *mesh, const ql_preflight *report, const char *path, ql_status read,
                            ql_status judged)
{
    ql_json json = {0};
    ql_json_object(&json, NULL);
    if (read == QL_OK)
        ql_preflight_json(report, mesh, &json);
    else
        ql_json_string(&json, "path", path);
    ql_json_bool(&json, "usable", judged == QL_OK);
    if (judged != QL_OK) ql_json_string(&json, "reason", ql_error_text());
    ql_json_close_object(&json);
    ql_status status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

/* Whether a status says something about this mesh alone, so that the next one can still be looked at. */
static bool is_about_mesh(ql_status status)
{
    return status == QL_STATUS_IO || status == QL_STATUS_FORMAT || status == QL_STATUS_MESH;
}

static ql_status inspect_one(const char *path, double sharp_angle_deg, bool json, bool *usable)
{
    ql_mesh mesh = {0};
    ql_preflight report = {0};
    ql_status read = analyse(&mesh, &report, path, sharp_angle_deg);
    ql_status judged = read == QL_OK ? ql_preflight_judge(&report) : read;
    ql_status status = QL_OK;
    *usable = judged == QL_OK;
    if (judged != QL_OK && !is_about_mesh(judged))
        status = judged;
    else if (json)
        status = print_json(&mesh, &report, path, read, judged);
    else
        print_text(&mesh, &report, path, read, judged);
    ql_mesh_destroy(&mesh);
    return status;
}

int ql_cmd_inspect(int argc, char **argv)
{
    bool json = false;
    double sharp_angle_deg = 40.0;
    const ql_argument table[] = {
        {"json", 0, QL_ARGUMENT_SWITCH, &json, NULL, "print one JSON object per mesh, one per line"},
        {"sharp-angle", 0, QL_ARGUMENT_REAL, &sharp_angle_deg, "DEG",
         "count edges as sharp beyond this angle between normals (default 40)"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count == 0)
        status = QL_FAIL(USAGE, "no mesh named; see `quadloom inspect --help`");
    if (status == QL_OK && !(sharp_angle_deg > 0.0 && sharp_angle_deg < 180.0))
        status = QL_FAIL(USAGE, "--sharp-angle %g: expected degrees between 0 and 180", sharp_angle_deg);
    int code = QL_EXIT_OK;
    for (int i = 0; i < arguments.operand_count && status == QL_OK; ++i) {
        bool usable = false;
        if (i > 0 && !json) (void)printf("\n");
        status = inspect_one(arguments.operands[i], sharp_angle_deg, json, &usable);
        if (!usable) code = QL_EXIT_SOME_FAILED;
    }
    return status == QL_OK ? code : ql_command_failed(argv[0], status);
}
