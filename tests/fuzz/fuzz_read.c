/* See fuzz_read.h. With -DQL_FUZZ_TARGET also the entry of libFuzzer. */
#include "fuzz/fuzz_read.h"

#include "base/memory.h"
#include "mesh/preflight.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const PATHS[] = {"a.obj", "a.ply", "a.off", "a.stl", "a"};

/* Not assert: it must also work where assertions are compiled out. */
static void require(int condition, const char *what)
{
    if (condition) return;
    (void)fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

static void check_mesh(const ql_mesh *mesh)
{
    require(mesh->vertex_count > 0 && mesh->face_count > 0, "a mesh that was read is not empty");
    for (int64_t i = 0; i < 3 * (int64_t)mesh->face_count; ++i)
        require(mesh->faces[i] >= 0 && mesh->faces[i] < mesh->vertex_count, "indices are in range");
    for (int64_t i = 0; i < 3 * (int64_t)mesh->vertex_count; ++i)
        require(isfinite(mesh->vertices[i]), "coordinates are finite");
}

static void check_report(const ql_preflight *r)
{
    require(r->boundary_loops <= r->boundary_edges, "no more loops than boundary edges");
    require(r->components <= r->faces && r->components >= 0, "no more components than faces");
    require(r->degenerate_faces <= r->faces && r->duplicate_faces < r->faces, "no more defects than faces");
    require(r->isolated_vertices <= r->vertices, "no more isolated vertices than vertices");
    require(r->min_angle_deg >= 0.0 && r->min_angle_deg <= 60.0 + 1e-9, "the smallest angle is at most 60 degrees");
    require(isfinite(r->area) && isfinite(r->volume) && isfinite(r->mean_edge), "measures are finite");
    require(r->genus >= -1, "the genus is not negative");
}

static void analyse(const ql_mesh *mesh)
{
    ql_topology topology;
    ql_preflight report;
    require(ql_topology_build(&topology, mesh) == QL_OK, "edges can be built");
    require(ql_preflight_run(&report, mesh, &topology, 40.0) == QL_OK, "preflight runs");
    ql_topology_destroy(&topology);
    check_report(&report);
    (void)ql_preflight_judge(&report);
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_preflight_json(&report, mesh, &json);
    ql_json_close_object(&json);
    require(ql_json_end(&json) == QL_OK, "JSON is written");
    ql_json_destroy(&json);
}

ql_status ql_fuzz_read(const uint8_t *data, size_t size)
{
    ql_mesh mesh;
    if (size == 0) return QL_STATUS_FORMAT;
    const char *path = PATHS[data[0] % (sizeof PATHS / sizeof PATHS[0])];
    int64_t blocks = ql_memory_balance().blocks;
    ql_error_clear();
    ql_status status = ql_mesh_read_memory(&mesh, path, (const char *)data + 1, size - 1);
    if (status == QL_OK) {
        check_mesh(&mesh);
        analyse(&mesh);
    } else {
        require(status == QL_STATUS_FORMAT, "what cannot be read is a matter of format");
        require(strncmp(ql_error_text(), "reading a", 9) == 0, "an error names the file");
    }
    ql_mesh_destroy(&mesh);
    require(ql_memory_balance().blocks == blocks, "no memory is kept");
    return status;
}

#ifdef QL_FUZZ_TARGET
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)ql_fuzz_read(data, size);
    return 0;
}
#endif
