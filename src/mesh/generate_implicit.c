/* Generators of smooth surfaces of any genus: balls and tori joined by a smooth union, polygonised and made regular.
 *
 * Smooth union of distances a and b with blend width k (Quilez): min(a, b) - h^2 k / 4, h = max(k - |a - b|, 0) / k.
 */
#include "mesh/generate.h"

#include "mesh/implicit.h"
#include "mesh/preflight.h"

#include <math.h>
#include <stdio.h>

enum { MAX_PARTS = 8, MIN_CELLS = 8, MAX_CELLS = 320, ROUNDS = 30, ATTEMPTS = 6 };
static const double LEAST_ANGLE_DEG = 15.0;

/* A ball (major = 0) or a torus around `axis`. */
typedef struct smooth_part {
    double centre[3], axis[3], major, minor;
} smooth_part;

typedef struct smooth_shape {
    char name[32];
    smooth_part parts[MAX_PARTS];
    int count, genus;
    double blend;
} smooth_shape;

static double part_value(const smooth_part *part, const double p[3])
{
    double q[3], along = 0.0, square = 0.0;
    for (int k = 0; k < 3; ++k) {
        q[k] = p[k] - part->centre[k];
        along += q[k] * part->axis[k];
        square += q[k] * q[k];
    }
    double ring = sqrt(fmax(square - along * along, 0.0)) - part->major;
    return part->major > 0.0 ? hypot(ring, along) - part->minor : sqrt(square) - part->minor;
}

static double shape_value(const void *data, const double p[3])
{
    const smooth_shape *shape = data;
    double a = part_value(&shape->parts[0], p);
    for (int i = 1; i < shape->count; ++i) {
        double b = part_value(&shape->parts[i], p);
        double h = fmax(shape->blend - fabs(a - b), 0.0) / shape->blend;
        a = fmin(a, b) - 0.25 * h * h * shape->blend;
    }
    return a;
}

/* Box around all parts with a margin of some grid cells; `attempt` moves the grid by a part of a cell. */
static ql_implicit shape_surface(const smooth_shape *shape, int cells, int attempt)
{
    ql_implicit surface = {shape_value, shape, {HUGE_VAL, HUGE_VAL, HUGE_VAL}, {-HUGE_VAL, -HUGE_VAL, -HUGE_VAL}};
    double longest = 0.0;
    for (int k = 0; k < 3; ++k) {
        for (int i = 0; i < shape->count; ++i) {
            const smooth_part *part = &shape->parts[i];
            double reach = part->major * sqrt(1.0 - part->axis[k] * part->axis[k]) + part->minor;
            surface.low[k] = fmin(surface.low[k], part->centre[k] - reach);
            surface.high[k] = fmax(surface.high[k], part->centre[k] + reach);
        }
        longest = fmax(longest, surface.high[k] - surface.low[k]);
    }
    double margin = 0.25 * shape->blend + 3.0 * longest / (cells - 6);
    for (int k = 0; k < 3; ++k) {
        double shift = longest / cells * fmod(attempt * (0.31 + 0.17 * k), 1.0);
        surface.low[k] -= margin - shift;
        surface.high[k] += margin + shift;
    }
    return surface;
}

static smooth_shape double_torus_shape(void)
{
    smooth_shape shape = {.name = "double-torus", .count = 2, .genus = 2, .blend = 0.2};
    for (int i = 0; i < 2; ++i) shape.parts[i] = (smooth_part){{i == 0 ? -0.8 : 0.8, 0, 0}, {0, 0, 1}, 0.62, 0.28};
    return shape;
}

/* A ball with `genus` handles around its equator, each a ring that stands upright and reaches into the ball. */
static smooth_shape handles_shape(int genus)
{
    smooth_shape shape = {.count = 1 + genus, .genus = genus, .blend = 0.15};
    (void)snprintf(shape.name, sizeof shape.name, "handles-%d", genus);
    shape.parts[0] = (smooth_part){{0, 0, 0}, {0, 0, 1}, 0, 1.0};
    for (int i = 0; i < genus; ++i) {
        double angle = 6.283185307179586 * (i + 0.15) / genus;
        shape.parts[1 + i] =
            (smooth_part){{1.2 * cos(angle), 1.2 * sin(angle), 0}, {-sin(angle), cos(angle), 0}, 0.6, 0.22};
    }
    return shape;
}

/* Whether the surface is the one that was meant: one closed piece of the right genus, no face thinner than promised. */
static ql_status check_shape(const ql_mesh *mesh, const smooth_shape *shape, int cells, double least_angle_deg)
{
    ql_topology topology;
    ql_preflight report;
    QL_TRY(ql_topology_build(&topology, mesh));
    ql_status status = ql_preflight_run(&report, mesh, &topology, 40.0);
    ql_topology_destroy(&topology);
    QL_TRY(status);
    bool same = report.closed && report.manifold && report.oriented && report.components == 1;
    if (same && report.genus == shape->genus && report.min_angle_deg >= least_angle_deg) return QL_OK;
    return QL_FAIL(USAGE, "%s: %d cells are too coarse for its shape; ask for more faces", shape->name, cells);
}

static ql_status generate_once(ql_mesh *mesh, const smooth_shape *shape, int cells, int attempt)
{
    ql_implicit surface = shape_surface(shape, cells, attempt);
    QL_TRY(ql_implicit_polygonise(mesh, shape->name, &surface, cells));
    ql_status status = check_shape(mesh, shape, cells, 0.0);
    if (status == QL_OK) status = ql_implicit_regularise(mesh, &surface, ROUNDS);
    if (status == QL_OK) status = check_shape(mesh, shape, cells, LEAST_ANGLE_DEG);
    if (status == QL_OK)
        ql_mesh_rehash(mesh);
    else
        ql_mesh_destroy(mesh);
    return status;
}

/* A saddle that falls badly between grid points can join two sheets in one cell: another place of the grid mends it. */
static ql_status generate_at(ql_mesh *mesh, const smooth_shape *shape, int cells)
{
    ql_status status = QL_OK;
    for (int attempt = 0; attempt < ATTEMPTS; ++attempt)
        if ((status = generate_once(mesh, shape, cells, attempt)) != QL_STATUS_USAGE) break;
    return status;
}

static ql_status generate(ql_mesh *mesh, const smooth_shape *shape, int cells)
{
    *mesh = (ql_mesh){0};
    if (cells < MIN_CELLS || cells > MAX_CELLS)
        return QL_FAIL(USAGE, "resolution = %d is not in %d...%d", cells, MIN_CELLS, MAX_CELLS);
    return generate_at(mesh, shape, cells);
}

/* About `faces` faces: their number grows with the square of the cells; from a first guess, two corrections. Shapes that
 * need more faces than were asked for get as few as will do. */
static ql_status generate_with_faces(ql_mesh *mesh, const smooth_shape *shape, int faces)
{
    int cells = 24;
    *mesh = (ql_mesh){0};
    for (int attempt = 0; attempt < 3; ++attempt) {
        ql_implicit surface = shape_surface(shape, cells, 0);
        ql_mesh_destroy(mesh);
        QL_TRY(ql_implicit_polygonise(mesh, shape->name, &surface, cells));
        double wanted = 6.0 + (cells - 6) * sqrt((double)faces / mesh->face_count);
        cells = wanted < MIN_CELLS ? MIN_CELLS : wanted > MAX_CELLS ? MAX_CELLS : (int)lround(wanted);
    }
    ql_mesh_destroy(mesh);
    ql_status status = QL_OK;
    for (int tries = 0; tries < 32; ++tries, ++cells)
        if ((status = generate_at(mesh, shape, cells)) != QL_STATUS_USAGE) break;
    return status;
}

ql_status ql_generate_double_torus(ql_mesh *mesh, int resolution)
{
    smooth_shape shape = double_torus_shape();
    return generate(mesh, &shape, resolution);
}

ql_status ql_generate_handles(ql_mesh *mesh, int genus, int resolution)
{
    *mesh = (ql_mesh){0};
    if (genus < 0 || genus > 5) return QL_FAIL(USAGE, "genus = %d is not in 0...5", genus);
    smooth_shape shape = handles_shape(genus);
    return generate(mesh, &shape, resolution);
}

ql_status ql_generate_double_torus_of(ql_mesh *mesh, int faces)
{
    smooth_shape shape = double_torus_shape();
    return generate_with_faces(mesh, &shape, faces);
}

ql_status ql_generate_handles_of(ql_mesh *mesh, int genus, int faces)
{
    *mesh = (ql_mesh){0};
    if (genus < 0 || genus > 5) return QL_FAIL(USAGE, "genus = %d is not in 0...5", genus);
    smooth_shape shape = handles_shape(genus);
    return generate_with_faces(mesh, &shape, faces);
}
