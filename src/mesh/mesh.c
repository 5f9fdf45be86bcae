/* Life of a mesh, its content hash, and the choice of a reader (see mesh.h, reader.h). */
#include "mesh/mesh.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "mesh/reader.h"

#include <string.h>
#include <strings.h>

typedef struct mesh_format {
    const char *extension;
    ql_status (*read)(ql_builder *builder, const char *data, size_t size);
    bool (*looks_like)(const char *data, size_t size);
} mesh_format;

/* In the order in which content is tried: OBJ last, it has no signature. */
static const mesh_format FORMATS[] = {
    {"ply", ql_read_ply, ql_looks_like_ply},
    {"off", ql_read_off, ql_looks_like_off},
    {"stl", ql_read_stl, ql_looks_like_stl},
    {"obj", ql_read_obj, ql_looks_like_obj},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof FORMATS[0] };

static ql_status mesh_set_names(ql_mesh *mesh, const char *name, const char *path)
{
    mesh->name = ql_memory_string(name);
    mesh->path = ql_memory_string(path);
    if (mesh->name == NULL || mesh->path == NULL) return QL_FAIL(NO_MEMORY, "no memory for a mesh's name");
    return QL_OK;
}

ql_status ql_mesh_create(ql_mesh *mesh, const char *name, const char *path, int32_t vertex_count, int32_t face_count)
{
    *mesh = (ql_mesh){.vertex_count = vertex_count, .face_count = face_count};
    ql_status status = mesh_set_names(mesh, name, path);
    if (status == QL_OK) status = QL_TAKE(mesh->vertices, 3 * (size_t)vertex_count);
    if (status == QL_OK) status = QL_TAKE(mesh->faces, 3 * (size_t)face_count);
    if (status != QL_OK) ql_mesh_destroy(mesh);
    return status;
}

void ql_mesh_destroy(ql_mesh *mesh)
{
    if (mesh == NULL) return;
    ql_free(mesh->name);
    ql_free(mesh->path);
    ql_free(mesh->vertices);
    ql_free(mesh->faces);
    *mesh = (ql_mesh){0};
}

/* A run of 8-byte little-endian words, hashed block by block; each block's seed is the hash of those before.
 */
typedef struct word_hash {
    uint64_t hash;
    size_t used;
    unsigned char bytes[4096];
} word_hash;

static void word_hash_flush(word_hash *state)
{
    if (state->used > 0) state->hash = ql_hash_bytes(state->bytes, state->used, state->hash);
    state->used = 0;
}

static void word_hash_add(word_hash *state, uint64_t word)
{
    if (state->used == sizeof state->bytes) word_hash_flush(state);
    for (int k = 0; k < 8; ++k) state->bytes[state->used++] = (unsigned char)(word >> (8 * k));
}

void ql_mesh_rehash(ql_mesh *mesh)
{
    word_hash state = {0};
    word_hash_add(&state, (uint64_t)mesh->vertex_count);
    word_hash_add(&state, (uint64_t)mesh->face_count);
    for (int64_t i = 0; i < 3 * (int64_t)mesh->vertex_count; ++i) {
        double value = mesh->vertices[i] + 0.0; /* -0 becomes +0 */
        uint64_t word;
        memcpy(&word, &value, sizeof word);
        word_hash_add(&state, word);
    }
    for (int64_t i = 0; i < 3 * (int64_t)mesh->face_count; ++i) word_hash_add(&state, (uint64_t)mesh->faces[i]);
    word_hash_flush(&state);
    mesh->hash = state.hash;
}

static const mesh_format *format_by_name(const char *path)
{
    const char *name = ql_path_name(path);
    const char *dot = strrchr(name, '.');
    if (dot == NULL) return NULL;
    for (int i = 0; i < FORMAT_COUNT; ++i)
        if (strcasecmp(dot + 1, FORMATS[i].extension) == 0) return &FORMATS[i];
    return NULL;
}

static const mesh_format *format_by_content(const char *data, size_t size)
{
    for (int i = 0; i < FORMAT_COUNT; ++i)
        if (FORMATS[i].looks_like(data, size)) return &FORMATS[i];
    return NULL;
}

int ql_mesh_is_readable_name(const char *path) { return format_by_name(path) != NULL; }

static ql_status read_polygons(ql_builder *builder, const char *path, const char *data, size_t size)
{
    if (size == 0) return QL_FAIL(FORMAT, "the file is empty; export it again");
    const mesh_format *format = format_by_name(path);
    if (format == NULL) format = format_by_content(data, size);
    if (format == NULL)
        return QL_FAIL(FORMAT, "neither name nor content is that of an OBJ, PLY, OFF or STL file; convert it to one");
    return format->read(builder, data, size);
}

static ql_status read_into(ql_mesh *mesh, ql_builder *builder, const char *path, const char *data, size_t size)
{
    QL_TRY(read_polygons(builder, path, data, size));
    QL_TRY(ql_builder_finish(builder, mesh));

    char name[QL_PATH_SIZE];
    const char *file_name = ql_path_name(path);
    size_t length = ql_path_stem_length(file_name);
    if (length >= sizeof name) length = sizeof name - 1;
    memcpy(name, file_name, length);
    name[length] = '\0';
    return mesh_set_names(mesh, name, path);
}

ql_status ql_mesh_read_memory(ql_mesh *mesh, const char *path, const char *data, size_t size)
{
    *mesh = (ql_mesh){0};
    ql_builder builder = {0};
    ql_status status = read_into(mesh, &builder, path, data, size);
    ql_builder_destroy(&builder);
    if (status != QL_OK) {
        ql_mesh_destroy(mesh);
        return QL_CHAIN(status, "reading %s", path);
    }
    ql_mesh_rehash(mesh);
    return QL_OK;
}

ql_status ql_mesh_read(ql_mesh *mesh, const char *path)
{
    *mesh = (ql_mesh){0};
    char *data = NULL;
    size_t size = 0;
    ql_status status = ql_file_read_whole(path, 0, &data, &size);
    if (status != QL_OK) return QL_CHAIN(status, "reading mesh");
    status = ql_mesh_read_memory(mesh, path, data, size);
    ql_free(data);
    return status;
}

ql_status ql_mesh_read_quads(double **vertices, int32_t *vertex_count, int32_t **quads, int32_t *quad_count,
                             const char *path)
{
    char *data = NULL;
    size_t size = 0;
    ql_builder builder = {0};
    *vertices = NULL;
    *quads = NULL;
    *vertex_count = *quad_count = 0;
    ql_status status = ql_file_read_whole(path, 0, &data, &size);
    if (status != QL_OK) return QL_CHAIN(status, "reading quads");
    status = read_polygons(&builder, path, data, size);
    if (status == QL_OK) status = ql_builder_check_quads(&builder);
    if (status == QL_OK) {
        *vertices = builder.vertices;
        *quads = builder.corners;
        *vertex_count = (int32_t)builder.vertex_count;
        *quad_count = (int32_t)builder.polygon_count;
        builder.vertices = NULL;
        builder.corners = NULL;
    }
    ql_builder_destroy(&builder);
    ql_free(data);
    return QL_CHAIN(status, "reading %s", path);
}
