/* The preflight report for people and for programs (see preflight.h). */
#include "mesh/preflight.h"

#include <inttypes.h>

/* 1234567 as "1,234,567". */
enum { COUNT_SIZE = 24 };
static const char *count_text(char out[COUNT_SIZE], int32_t count)
{
    char digits[16];
    int length = snprintf(digits, sizeof digits, "%" PRId32, count), used = 0;
    for (int i = 0; i < length; ++i) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-') out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

static const char *plural(int32_t count) { return count == 1 ? "" : "s"; }

static void print_counts(const ql_preflight *r, FILE *out)
{
    char faces[COUNT_SIZE], vertices[COUNT_SIZE], edges[COUNT_SIZE], polygons[COUNT_SIZE];
    (void)fprintf(out, "  counts    %s faces, %s vertices, %s edges\n", count_text(faces, r->faces),
                  count_text(vertices, r->vertices), count_text(edges, r->edges));
    if (r->input_polygons > 0)
        (void)fprintf(out, "            %s polygon%s of the file with more than 3 corners cut into triangles\n",
                      count_text(polygons, r->input_polygons), plural(r->input_polygons));
}

static void print_shape(const ql_preflight *r, FILE *out)
{
    const char *closed = r->closed ? "closed" : r->boundary_edges > 0 ? "open" : "closed but for non-manifold edges";
    (void)fprintf(out, "  shape     %s, %d component%s, ", closed, r->components, plural(r->components));
    if (r->genus >= 0)
        (void)fprintf(out, "genus %d", r->genus);
    else
        (void)fprintf(out, "genus not defined (%s)", r->manifold ? "not orientable" : "not manifold");
    if (r->boundary_edges > 0)
        (void)fprintf(out, ", %d boundary loop%s with %d edges", r->boundary_loops, plural(r->boundary_loops),
                      r->boundary_edges);
    (void)fprintf(out, "\n");
}

static void print_sizes(const ql_preflight *r, FILE *out)
{
    (void)fprintf(out, "  size      %.4g x %.4g x %.4g, area %.4g", r->bbox_max[0] - r->bbox_min[0],
                  r->bbox_max[1] - r->bbox_min[1], r->bbox_max[2] - r->bbox_min[2], r->area);
    if (r->volume != 0.0) (void)fprintf(out, ", volume %.4g", r->volume);
    (void)fprintf(out, " (input units)\n");
    (void)fprintf(out, "  edges     %.3g to %.3g, mean %.3g; smallest angle %.3g deg\n", r->min_edge, r->max_edge,
                  r->mean_edge, r->min_angle_deg);
    (void)fprintf(out, "  features  %d sharp edge%s (normals differ by more than %g deg)\n", r->sharp_edges,
                  plural(r->sharp_edges), r->sharp_angle_deg);
}

/* What a defect means for the field and the quads, and what to do about it. */
typedef struct defect_text {
    const char *one, *many, *meaning, *remedy;
} defect_text;

static const defect_text NONMANIFOLD_EDGE = {
    "non-manifold edge",
    "non-manifold edges",
    "more than two faces meet; the field is not coupled across them, quads go round the parts that meet",
    "delete inner or doubled faces, or split the parts",
};
static const defect_text NONMANIFOLD_VERTEX = {
    "non-manifold vertex",
    "non-manifold vertices",
    "the faces around do not form one fan: parts touch in a point or along an edge",
    "split the vertex (MeshLab: Repair non Manifold Vertices)",
};
static const defect_text MISORIENTED_EDGE = {
    "misoriented edge",
    "misoriented edges",
    "the two faces run the same way, so one is inside out and the field breaks there",
    "orient the faces coherently (MeshLab: Re-Orient all faces coherently; Blender: Recalculate Outside)",
};
static const defect_text DEGENERATE_FACE = {
    "degenerate face",
    "degenerate faces",
    "without area there is no normal and no direction",
    "merge vertices by distance, then delete what is left of them",
};
static const defect_text DUPLICATE_FACE = {
    "duplicate face",
    "duplicate faces",
    "the same three vertices as another face; quads keep one, or none where they are two sides of a flap",
    "delete them (MeshLab: Remove Duplicate Faces)",
};

static void print_defect(FILE *out, int32_t count, const defect_text *text)
{
    char number[COUNT_SIZE];
    if (count == 0) return;
    (void)fprintf(out, "  defect    %s %s: %s\n", count_text(number, count), count == 1 ? text->one : text->many,
                  text->meaning);
    (void)fprintf(out, "            to mend: %s\n", text->remedy);
}

static void print_note(FILE *out, bool applies, const char *text)
{
    if (applies) (void)fprintf(out, "  note      %s\n", text);
}

static void print_defects(const ql_preflight *r, FILE *out)
{
    print_defect(out, r->nonmanifold_edges, &NONMANIFOLD_EDGE);
    print_defect(out, r->nonmanifold_vertices, &NONMANIFOLD_VERTEX);
    print_defect(out, r->misoriented_edges, &MISORIENTED_EDGE);
    print_defect(out, r->degenerate_faces, &DEGENERATE_FACE);
    print_defect(out, r->duplicate_faces, &DUPLICATE_FACE);
    if (r->first_bad_face >= 0)
        (void)fprintf(out, "            the first face concerned is number %d (from 0)\n", r->first_bad_face);
    if (r->first_bad_face < 0 && r->manifold) (void)fprintf(out, "  defects   none\n");

    char text[128];
    (void)snprintf(text, sizeof text, "%d %s to no face and %s passed over", r->isolated_vertices,
                   r->isolated_vertices == 1 ? "vertex belongs" : "vertices belong",
                   r->isolated_vertices == 1 ? "is" : "are");
    print_note(out, r->isolated_vertices > 0, text);
    (void)snprintf(text, sizeof text,
                   "open edges lie on each other: a run joins these seams (%d vertices become one with another)",
                   r->seam_vertices);
    print_note(out, r->seam_vertices > 0, text);
    print_note(out, !r->orientable,
               "one-sided, like a Moebius strip: cut it open for a layout with consistent normals");
    print_note(out, r->components > 1,
               "the components are trained together as one field; in separate files each gets its own");
    print_note(out, r->min_angle_deg < 1.0 && r->degenerate_faces < r->faces,
               "very thin triangles have noisy normals; remeshing improves the field");
    print_note(out, r->volume < 0.0, "faces run clockwise, so normals point inwards; the field does not mind");
    print_note(out, r->far_from_origin,
               "far from the origin: single precision has lost digits there; move the model before exporting it");
}

void ql_preflight_print(const ql_preflight *report, const ql_mesh *mesh, FILE *out)
{
    (void)fprintf(out, "%s\n", mesh->path[0] != '\0' ? mesh->path : mesh->name);
    print_counts(report, out);
    if (report->faces == 0) return;
    print_shape(report, out);
    print_sizes(report, out);
    print_defects(report, out);
}

static void json_point(ql_json *json, const char *key, const double *point)
{
    ql_json_array(json, key);
    for (int k = 0; k < 3; ++k) ql_json_real(json, NULL, point[k]);
    ql_json_close_array(json);
}

void ql_preflight_json(const ql_preflight *report, const ql_mesh *mesh, ql_json *json)
{
    const ql_preflight *r = report;
    const struct {
        const char *key;
        int32_t value;
    } COUNTS[] = {
        {"vertices", r->vertices},
        {"faces", r->faces},
        {"edges", r->edges},
        {"input_polygons", r->input_polygons},
        {"components", r->components},
        {"boundary_edges", r->boundary_edges},
        {"boundary_loops", r->boundary_loops},
        {"nonmanifold_edges", r->nonmanifold_edges},
        {"nonmanifold_vertices", r->nonmanifold_vertices},
        {"misoriented_edges", r->misoriented_edges},
        {"degenerate_faces", r->degenerate_faces},
        {"duplicate_faces", r->duplicate_faces},
        {"isolated_vertices", r->isolated_vertices},
        {"seam_vertices", r->seam_vertices},
        {"sharp_edges", r->sharp_edges},
        {"euler", r->euler},
        {"genus", r->genus},
        {"first_bad_face", r->first_bad_face},
    };
    char hash[24];
    (void)snprintf(hash, sizeof hash, "%016" PRIx64, mesh->hash);
    ql_json_string(json, "name", mesh->name);
    ql_json_string(json, "path", mesh->path);
    ql_json_string(json, "hash", hash);
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; ++i) ql_json_int(json, COUNTS[i].key, COUNTS[i].value);
    ql_json_bool(json, "closed", r->closed);
    ql_json_bool(json, "manifold", r->manifold);
    ql_json_bool(json, "oriented", r->oriented);
    ql_json_bool(json, "orientable", r->orientable);
    ql_json_real(json, "sharp_angle_deg", r->sharp_angle_deg);
    ql_json_real(json, "min_angle_deg", r->min_angle_deg);
    ql_json_real(json, "min_edge", r->min_edge);
    ql_json_real(json, "mean_edge", r->mean_edge);
    ql_json_real(json, "max_edge", r->max_edge);
    json_point(json, "bbox_min", r->bbox_min);
    json_point(json, "bbox_max", r->bbox_max);
    ql_json_real(json, "area", r->area);
    ql_json_real(json, "volume", r->volume);
    ql_json_bool(json, "far_from_origin", r->far_from_origin);
}
