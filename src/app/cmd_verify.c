/* quadloom verify RUN_DIR | RESULT.h5 | QUADS.obj...: every byte against its checksum, every field and quad mesh against itself and its
 * mesh. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/file.h"
#include "base/memory.h"
#include "mesh/seams.h"
#include "quad/quad.h"
#include "store/pack.h"
#include "store/packed.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

static const char *const DETAILS = "Reads every result completely: checksums of all arrays, shapes, unit orthogonal "
                                   "tangent directions that agree with\n"
                                   "theta, indices that sum to 4 chi on closed surfaces, pure quads, provenance; and "
                                   "every checkpoint; of a pack the hash of every mesh. One line each.\n"
                                   "A quad mesh (OBJ, PLY, OFF) is judged against the triangle mesh that --input "
                                   "names: pure quads, Euler\n"
                                   "characteristic, boundary loops, manifold edges, scaled Jacobian above 0.\n"
                                   "Exit code 0: all good, 1: something is damaged, 2: wrong command line.";

/* Farther from its mesh than this share of the diagonal a quad mesh was made from another one: those of a handful of quads are a
 * tenth off. */
static const double ELSEWHERE_PCT = 30;

typedef struct tally {
    int64_t results, checkpoints, quads, bad;
    const char *input; /* mesh that quad meshes were made from, or NULL */
} tally;

/* First problem on the line of the file, the others below it. */
static void print_findings(const char *path, const char *text)
{
    const char *end;
    (void)printf("BAD  %s: ", path);
    for (bool first = true; (end = strchr(text, '\n')) != NULL; text = end + 1, first = false)
        (void)printf("%s%.*s\n", first ? "" : "       ", (int)(end - text), text);
}

static ql_status verify_result(tally *sum, const char *path)
{
    ql_findings findings;
    QL_TRY(ql_result_verify(&findings, path));
    ++sum->results;
    sum->bad += findings.count > 0;
    if (findings.count == 0)
        (void)printf("good %s\n", path);
    else
        print_findings(path, findings.text);
    return QL_OK;
}

/* Good as long as one of the two generations can be resumed from. */
static ql_status verify_checkpoint(tally *sum, const char *path)
{
    ql_snapshot snapshot;
    ql_checkpoint_origin origin;
    ql_status status = ql_checkpoint_read(&snapshot, path, &origin);
    if (status == QL_STATUS_NO_MEMORY) return status;
    ++sum->checkpoints;
    if (status != QL_OK) {
        ++sum->bad;
        (void)printf("BAD  %s\n", ql_error_text());
        return QL_OK;
    }
    if (origin.previous) {
        ++sum->bad;
        (void)printf("BAD  %s; the one before it, at step %lld, is good and will be used\n", origin.problem,
                     (long long)snapshot.step);
    } else {
        (void)printf("good %s (step %lld)\n", path, (long long)snapshot.step);
    }
    ql_snapshot_destroy(&snapshot);
    return QL_OK;
}

static void visit_packed(void *context, const char *id, const char *problem)
{
    tally *sum = context;
    ++sum->results;
    sum->bad += problem[0] != '\0';
    if (problem[0] == '\0')
        (void)printf("good %s (packed)\n", id);
    else
        (void)printf("BAD  %s\n", problem);
}

static ql_status verify_pack(tally *sum, const char *path)
{
    ql_status status = ql_pack_verify(path, visit_packed, sum);
    if (status == QL_OK || status == QL_STATUS_NO_MEMORY) return status;
    (void)printf("BAD  %s\n", ql_error_text());
    ++sum->results;
    ++sum->bad;
    return QL_OK;
}

/* The packs that hold results of a run. */
static ql_status verify_packs(tally *sum, const char *directory)
{
    ql_packed packed;
    QL_TRY(ql_packed_read(&packed, directory));
    ql_status status = QL_OK;
    for (int64_t i = 0; status == QL_OK && i < packed.count; ++i) {
        bool seen = false;
        for (int64_t k = i - 1; k >= 0 && !seen; --k) seen = strcmp(packed.meshes[k].path, packed.meshes[i].path) == 0;
        if (!seen) status = verify_pack(sum, packed.meshes[i].path);
    }
    ql_packed_destroy(&packed);
    return status;
}

static ql_status verify_run(tally *sum, const char *directory)
{
    char path[QL_PATH_SIZE];
    ql_listing listing;
    QL_TRY(ql_rundir_check(directory));
    QL_TRY(ql_listing_read(&listing, directory));
    ql_status status = QL_OK;
    for (int64_t i = 0; i < listing.count && status == QL_OK; ++i) {
        const ql_listed_mesh *mesh = &listing.meshes[i];
        if (mesh->packed) continue;
        if (mesh->finished) {
            status = ql_rundir_path(path, directory, QL_RUN_RESULT, mesh->id);
            if (status == QL_OK) status = verify_result(sum, path);
        } else if (mesh->checkpointed) {
            status = ql_rundir_path(path, directory, QL_RUN_CHECKPOINT, mesh->id);
            if (status == QL_OK) status = verify_checkpoint(sum, path);
        }
    }
    ql_listing_destroy(&listing);
    return status == QL_OK ? verify_packs(sum, directory) : status;
}

static ql_status judge(ql_quad_quality *quality, bool *valid, char why[256], const char *path, const ql_mesh *input)
{
    ql_options defaults;
    double *vertices;
    int32_t *quads, vertex_count, quad_count;
    *valid = false;
    ql_options_init(&defaults);
    QL_TRY(ql_mesh_read_quads(&vertices, &vertex_count, &quads, &quad_count, path));
    ql_status status = ql_quad_judge(quality, valid, why, vertices, vertex_count, quads, quad_count, input,
                                     defaults.quads.feature_angle_deg);
    ql_free(vertices);
    ql_free(quads);
    return status;
}

static ql_status verify_quads(tally *sum, const char *path)
{
    ql_quad_quality q;
    ql_mesh input;
    bool valid;
    char why[256] = "";
    if (sum->input == NULL)
        return QL_FAIL(USAGE, "%s: a quad mesh is judged against the mesh that it was made from; add --input MESH",
                       path);
    QL_TRY(ql_mesh_read_joined(&input, sum->input));
    ql_status status = judge(&q, &valid, why, path, &input);
    ql_mesh_destroy(&input);
    if (status == QL_STATUS_NO_MEMORY || status == QL_STATUS_IO) return status;
    if (status == QL_OK && valid && q.hausdorff_pct > ELSEWHERE_PCT) {
        valid = false;
        (void)snprintf(why, sizeof why, "%.0f %% of the diagonal away from %s; name the mesh that it was made from",
                       q.hausdorff_pct, sum->input);
    }
    ++sum->quads;
    sum->bad += !valid;
    if (status != QL_OK)
        (void)printf("BAD  %s\n", ql_error_text());
    else if (!valid)
        (void)printf("BAD  %s: %s\n", path, why);
    else
        (void)printf(
            "good %s (%.0f quads, %.0f irregular vertices inside, scaled Jacobian %.3f or more, %.3f %% of the "
            "diagonal from %s)\n",
            path, q.faces, q.irregular_interior, q.sj_min, q.hausdorff_pct, sum->input);
    ql_error_clear();
    return QL_OK;
}

static ql_status verify_one(tally *sum, const char *path)
{
    if (!ql_path_exists(path)) return QL_FAIL(USAGE, "%s: no such file or directory", path);
    if (ql_path_is_directory(path)) return verify_run(sum, path);
    if (ql_mesh_is_readable_name(path)) return verify_quads(sum, path);
    return ql_pack_is(path) ? verify_pack(sum, path) : verify_result(sum, path);
}

int ql_cmd_verify(int argc, char **argv)
{
    ql_arguments arguments;
    tally sum = {0};
    const ql_argument table[] = {
        {"input", 0, QL_ARGUMENT_TEXT, &sum.input, "MESH", "the triangle mesh that the quad meshes were made from"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count == 0)
        status = QL_FAIL(USAGE, "nothing named; see `quadloom verify --help`");
    for (int i = 0; i < arguments.operand_count && status == QL_OK; ++i)
        status = verify_one(&sum, arguments.operands[i]);
    if (status != QL_OK) return ql_command_failed(argv[0], status);
    if (sum.quads == 0 || sum.results + sum.checkpoints > 0)
        (void)printf("%lld results, %lld checkpoints%s", (long long)sum.results, (long long)sum.checkpoints,
                     sum.quads > 0 ? ", " : "");
    if (sum.quads > 0) (void)printf("%lld quad mesh%s", (long long)sum.quads, sum.quads == 1 ? "" : "es");
    if (sum.bad == 0)
        (void)printf(": all good\n");
    else
        (void)printf(": %lld bad%s\n", (long long)sum.bad,
                     sum.results + sum.checkpoints > 0 ? "; delete a bad result and run again to have it made anew"
                                                       : "");
    return sum.bad == 0 ? QL_EXIT_OK : QL_EXIT_SOME_FAILED;
}
