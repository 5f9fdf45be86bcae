/* Collects what a reader finds and makes a checked mesh of it (see reader.h). */
#include "base/memory.h"
#include "mesh/reader.h"

#include <math.h>

void ql_builder_destroy(ql_builder *builder)
{
    ql_free(builder->vertices);
    ql_free(builder->corners);
    ql_free(builder->sizes);
    *builder = (ql_builder){0};
}

/* Makes room for `count` elements of `size` bytes in *block. */
static ql_status make_room(void **block, int64_t *room, int64_t count, size_t size)
{
    if (count <= *room) return QL_OK;
    void *grown = ql_memory_resize(*block, (size_t)count, size);
    if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %lld elements of a mesh", (long long)count);
    *block = grown;
    *room = count;
    return QL_OK;
}

static int64_t doubled(int64_t room) { return room < 512 ? 1024 : 2 * room; }

static ql_status room_for_vertices(ql_builder *b, int64_t count)
{
    void *block = b->vertices;
    int64_t room = 3 * b->vertex_room;
    ql_status status = make_room(&block, &room, 3 * count, sizeof *b->vertices);
    b->vertices = block;
    b->vertex_room = room / 3;
    return status;
}

static ql_status room_for_corners(ql_builder *b, int64_t count)
{
    void *block = b->corners;
    ql_status status = make_room(&block, &b->corner_room, count, sizeof *b->corners);
    b->corners = block;
    return status;
}

static ql_status room_for_polygons(ql_builder *b, int64_t count)
{
    void *block = b->sizes;
    ql_status status = make_room(&block, &b->polygon_room, count, sizeof *b->sizes);
    b->sizes = block;
    return status;
}

static ql_status too_many(const char *what)
{
    return QL_FAIL(FORMAT, "more than %d %s; decimate the mesh or split it into parts", (int)QL_MESH_MAX, what);
}

ql_status ql_builder_reserve(ql_builder *builder, int64_t vertices, int64_t polygons)
{
    if (vertices > QL_MESH_MAX) return too_many("vertices");
    if (polygons > QL_MESH_MAX) return too_many("faces");
    QL_TRY(room_for_vertices(builder, vertices));
    QL_TRY(room_for_corners(builder, 3 * polygons));
    return room_for_polygons(builder, polygons);
}

ql_status ql_builder_vertex(ql_builder *builder, const double point[3])
{
    for (int k = 0; k < 3; ++k) {
        if (fabs(point[k]) <= QL_COORDINATE_LIMIT) continue;
        if (isfinite(point[k]))
            return QL_FAIL(FORMAT, "coordinate %c is %g, so large that areas overflow; use a larger unit of length",
                           "xyz"[k], point[k]);
        return QL_FAIL(FORMAT, "coordinate %c is not a finite number; correct or remove the vertex", "xyz"[k]);
    }
    if (builder->vertex_count == builder->vertex_room) {
        if (builder->vertex_count >= QL_MESH_MAX) return too_many("vertices");
        QL_TRY(room_for_vertices(builder, doubled(builder->vertex_room)));
    }
    for (int k = 0; k < 3; ++k) builder->vertices[3 * builder->vertex_count + k] = point[k];
    builder->vertex_count++;
    return QL_OK;
}

ql_status ql_builder_corner(ql_builder *builder, int64_t index, int64_t place)
{
    if (index < 0 || index >= QL_MESH_MAX)
        return QL_FAIL(FORMAT, "face refers to vertex %lld, which cannot be; remove the face or correct the reference",
                       (long long)index + builder->index_base);
    if (builder->corner_count == builder->corner_room) QL_TRY(room_for_corners(builder, doubled(builder->corner_room)));
    if (builder->polygon_count == 0 && builder->corner_count == 0) builder->largest_index = -1;
    if (index > builder->largest_index) {
        builder->largest_index = index;
        builder->largest_place = place;
    }
    builder->corners[builder->corner_count++] = (int32_t)index;
    return QL_OK;
}

ql_status ql_builder_polygon(ql_builder *builder)
{
    int64_t size = builder->corner_count - builder->first_corner;
    if (size < 3)
        return QL_FAIL(FORMAT, "face with %lld corner%s; remove it or give it at least 3", (long long)size,
                       size == 1 ? "" : "s");
    if (size > QL_MESH_MAX || builder->polygon_count >= QL_MESH_MAX) return too_many("faces");
    if (builder->polygon_count == builder->polygon_room)
        QL_TRY(room_for_polygons(builder, doubled(builder->polygon_room)));
    builder->sizes[builder->polygon_count++] = (int32_t)size;
    builder->first_corner = builder->corner_count;
    return QL_OK;
}

static ql_status builder_check(const ql_builder *b)
{
    if (b->vertex_count == 0) return QL_FAIL(FORMAT, "no vertices in the file; export the mesh again");
    if (b->polygon_count == 0)
        return QL_FAIL(FORMAT, "no faces in the file, only %lld points; triangulate the point cloud first",
                       (long long)b->vertex_count);
    if (b->largest_index >= b->vertex_count)
        return QL_FAIL(FORMAT,
                       "%s %lld: face refers to vertex %lld, but only %lld are defined; remove the face or correct the "
                       "reference",
                       b->place_name, (long long)b->largest_place, (long long)b->largest_index + b->index_base,
                       (long long)b->vertex_count);
    return QL_OK;
}

ql_status ql_builder_check_quads(const ql_builder *builder)
{
    QL_TRY(builder_check(builder));
    for (int64_t p = 0; p < builder->polygon_count; ++p)
        if (builder->sizes[p] != 4)
            return QL_FAIL(FORMAT, "face %lld has %d corners, not 4: no mesh of quads alone", (long long)p + 1,
                           builder->sizes[p]);
    return QL_OK;
}

static ql_status builder_triangulate(const ql_builder *b, int32_t *faces, int64_t *face_count, int32_t *polygons)
{
    ql_triangulator work = {0};
    ql_status status = QL_OK;
    int64_t first = 0, used = 0;
    for (int64_t p = 0; p < b->polygon_count && status == QL_OK; ++p) {
        const int32_t *corners = b->corners + first;
        int32_t size = b->sizes[p], made = 1;
        if (size == 3) {
            for (int k = 0; k < 3; ++k) faces[3 * used + k] = corners[k];
        } else {
            status = ql_triangulate(&work, b->vertices, corners, size, faces + 3 * used, &made);
            ++*polygons;
        }
        first += size;
        used += made;
    }
    ql_triangulator_destroy(&work);
    *face_count = used;
    return status;
}

ql_status ql_builder_finish(ql_builder *builder, ql_mesh *mesh)
{
    QL_TRY(builder_check(builder));
    int64_t limit = builder->corner_count - 2 * builder->polygon_count, count = 0;
    if (limit > QL_MESH_MAX) return too_many("triangles");
    int32_t *faces, polygons = 0;
    QL_TRY(QL_TAKE(faces, 3 * limit));
    ql_status status = builder_triangulate(builder, faces, &count, &polygons);
    if (status == QL_OK) {
        double *fitting = ql_memory_resize(builder->vertices, 3 * (size_t)builder->vertex_count, sizeof *fitting);
        if (fitting == NULL)
            status = QL_FAIL(NO_MEMORY, "no memory for %lld vertices", (long long)builder->vertex_count);
        else
            builder->vertices = fitting;
    }
    if (status != QL_OK) {
        ql_free(faces);
        return status;
    }
    mesh->vertices = builder->vertices;
    builder->vertices = NULL;
    mesh->vertex_count = (int32_t)builder->vertex_count;
    mesh->faces = faces;
    mesh->face_count = (int32_t)count;
    mesh->input_polygons = polygons;
    return QL_OK;
}
