/* quadloom generate NAME -o FILE: writes one of the project's own meshes, made by formula. */
#include "app/arguments.h"
#include "app/commands.h"
#include "mesh/generate.h"

static ql_status generate(const char *name, int64_t faces, const char *out)
{
    ql_mesh mesh;
    if (faces > INT32_MAX) faces = INT32_MAX; /* the generator names its range */
    QL_TRY(ql_generate_by_name(&mesh, name, (int)faces));
    ql_status status = ql_mesh_write(&mesh, out);
    if (status == QL_OK) (void)printf("%s: %d vertices, %d faces\n", out, mesh.vertex_count, mesh.face_count);
    ql_mesh_destroy(&mesh);
    return status;
}

int ql_cmd_generate(int argc, char **argv)
{
    int64_t faces = 2000;
    const char *out = NULL;
    const ql_argument table[] = {
        {"faces", 0, QL_ARGUMENT_COUNT, &faces, "N", "about so many triangles (default 2000)"},
        {"output", 'o', QL_ARGUMENT_TEXT, &out, "FILE", "mesh file to write: .obj, .ply or .off"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], "NAME is one of " QL_GENERATOR_NAMES ".", table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count != 1)
        status = QL_FAIL(USAGE, "expected one NAME of " QL_GENERATOR_NAMES);
    if (status == QL_OK && out == NULL) status = QL_FAIL(USAGE, "no output file; add -o FILE.obj");
    if (status == QL_OK) status = generate(arguments.operands[0], faces, out);
    return status == QL_OK ? QL_EXIT_OK : ql_command_failed(argv[0], status);
}
