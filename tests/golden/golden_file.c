/* Reads golden files (see golden_file.h). */
#include "golden/golden_file.h"

#include "base/file.h"
#include "base/memory.h"
#include "model/layout.h"

#include <hdf5.h>
#include <string.h>

/* Reads a whole dataset as `type`; its number of elements must be `count`, or is returned when *count = 0. */
static ql_status read_dataset(hid_t file, const char *name, hid_t type, int64_t *count, void **data)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0) return QL_FAIL(FORMAT, "no dataset %s", name);
    hid_t space = H5Dget_space(set);
    hssize_t size = H5Sget_simple_extent_npoints(space);
    (void)H5Sclose(space);
    ql_status status = QL_OK;
    if (size < 0 || (*count > 0 && size != *count))
        status =
            QL_FAIL(FORMAT, "dataset %s has %lld elements, expected %lld", name, (long long)size, (long long)*count);
    if (status == QL_OK) {
        *count = size;
        *data = ql_memory_take((size_t)size, H5Tget_size(type));
        if (*data == NULL) status = QL_FAIL(NO_MEMORY, "no memory for dataset %s", name);
    }
    if (status == QL_OK && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
        status = QL_FAIL(IO, "dataset %s cannot be read", name);
    (void)H5Dclose(set);
    return status;
}

static ql_status read_double(hid_t file, const char *name, int64_t count, double **data)
{
    return read_dataset(file, name, H5T_NATIVE_DOUBLE, &count, (void **)data);
}

static ql_status read_attribute(hid_t file, const char *object, const char *name, double *value)
{
    hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0) return QL_FAIL(FORMAT, "no attribute %s of %s", name, object);
    herr_t result = H5Aread(attribute, H5T_NATIVE_DOUBLE, value);
    (void)H5Aclose(attribute);
    return result < 0 ? QL_FAIL(IO, "attribute %s of %s cannot be read", name, object) : QL_OK;
}

static ql_status read_mesh(hid_t file, ql_golden *golden, const char *path)
{
    int64_t vertex_numbers = 0, face_numbers = 0;
    double *vertices = NULL;
    int32_t *faces = NULL;
    ql_status status = read_dataset(file, "mesh/vertices", H5T_NATIVE_DOUBLE, &vertex_numbers, (void **)&vertices);
    if (status == QL_OK) status = read_dataset(file, "mesh/faces", H5T_NATIVE_INT32, &face_numbers, (void **)&faces);
    if (status == QL_OK)
        status = ql_mesh_create(&golden->mesh, ql_path_name(path), path, (int32_t)(vertex_numbers / 3),
                                (int32_t)(face_numbers / 3));
    if (status == QL_OK) {
        memcpy(golden->mesh.vertices, vertices, (size_t)vertex_numbers * sizeof *vertices);
        memcpy(golden->mesh.faces, faces, (size_t)face_numbers * sizeof *faces);
        ql_mesh_rehash(&golden->mesh);
    }
    ql_free(vertices);
    ql_free(faces);
    return status;
}

static ql_status read_tables(hid_t file, ql_golden *golden)
{
    ql_tables *tables = &golden->tables;
    int64_t faces = golden->mesh.face_count, entries = 0, pointers = faces + 1, three = 3, one = 1;
    double *center = NULL, *scale = NULL;
    tables->face_count = golden->mesh.face_count;
    QL_TRY(read_double(file, "tables/points", 3 * faces, &tables->points));
    QL_TRY(read_double(file, "tables/normals", 3 * faces, &tables->normals));
    QL_TRY(read_double(file, "tables/u", 3 * faces, &tables->u));
    QL_TRY(read_double(file, "tables/v", 3 * faces, &tables->v));
    QL_TRY(read_double(file, "tables/sigma", faces, &tables->sigma));
    QL_TRY(read_dataset(file, "tables/neighbour_ptr", H5T_NATIVE_INT32, &pointers, (void **)&tables->neighbour_ptr));
    QL_TRY(read_dataset(file, "tables/neighbour", H5T_NATIVE_INT32, &entries, (void **)&tables->neighbour));
    QL_TRY(read_double(file, "tables/transport", entries, &tables->transport));
    ql_status status = read_dataset(file, "tables/center", H5T_NATIVE_DOUBLE, &three, (void **)&center);
    if (status == QL_OK) status = read_dataset(file, "tables/scale", H5T_NATIVE_DOUBLE, &one, (void **)&scale);
    if (status == QL_OK) {
        memcpy(tables->center, center, sizeof tables->center);
        tables->scale = *scale;
    }
    ql_free(center);
    ql_free(scale);
    return status;
}

static ql_status read_step0(hid_t file, ql_golden *golden)
{
    int64_t faces = golden->mesh.face_count, m = golden->off_count;
    QL_TRY(read_double(file, "step0/sdf", faces, &golden->sdf));
    QL_TRY(read_double(file, "step0/gradient", 3 * faces, &golden->gradient));
    QL_TRY(read_double(file, "step0/hessian", 9 * faces, &golden->hessian));
    QL_TRY(read_double(file, "step0/off_sdf", m, &golden->off_sdf));
    QL_TRY(read_double(file, "step0/off_gradient", 3 * m, &golden->off_gradient));
    QL_TRY(read_double(file, "step0/theta", faces, &golden->theta));
    QL_TRY(read_double(file, "step0/parameter_gradient", QL_PARAMETER_COUNT, &golden->parameter_gradient));
    for (int term = 0; term < QL_LOSS_COUNT; ++term) {
        char name[32];
        (void)snprintf(name, sizeof name, "loss_%s", ql_loss_name((ql_loss_term)term));
        QL_TRY(read_attribute(file, "step0", name, &golden->terms[term]));
    }
    return read_attribute(file, "step0", "gradient_norm", &golden->gradient_norm);
}

static ql_status read_errors(hid_t file, ql_golden *golden)
{
    QL_TRY(read_attribute(file, "float32_error", "sdf", &golden->error_sdf));
    QL_TRY(read_attribute(file, "float32_error", "gradient", &golden->error_gradient));
    QL_TRY(read_attribute(file, "float32_error", "hessian", &golden->error_hessian));
    QL_TRY(read_attribute(file, "float32_error", "off_sdf", &golden->error_off_sdf));
    QL_TRY(read_attribute(file, "float32_error", "off_gradient", &golden->error_off_gradient));
    QL_TRY(read_attribute(file, "float32_error", "theta", &golden->error_theta));
    return read_attribute(file, "float32_error", "parameter_gradient", &golden->error_parameter_gradient);
}

static ql_status read_trajectory(hid_t file, ql_golden *golden)
{
    double *rows = NULL;
    int64_t count = 0;
    QL_TRY(read_dataset(file, "trajectory/float64", H5T_NATIVE_DOUBLE, &count, (void **)&rows));
    ql_status status = count >= QL_GOLDEN_ROWS * 8 ? QL_OK : QL_FAIL(FORMAT, "trajectory is too short");
    if (status == QL_OK) memcpy(golden->trajectory, rows, sizeof golden->trajectory);
    ql_free(rows);
    return status;
}

static ql_status read_all(hid_t file, ql_golden *golden, const char *path)
{
    int64_t off_numbers = 0;
    QL_TRY(read_mesh(file, golden, path));
    QL_TRY(read_tables(file, golden));
    QL_TRY(read_dataset(file, "off_points", H5T_NATIVE_FLOAT, &off_numbers, (void **)&golden->off_points));
    golden->off_count = off_numbers / 3;
    QL_TRY(read_step0(file, golden));
    QL_TRY(read_errors(file, golden));
    return read_trajectory(file, golden);
}

static ql_status read_parameters(ql_golden *golden, const char *path)
{
    char parameters[QL_PATH_SIZE], folder[QL_PATH_SIZE];
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(ql_path_name(path) - path), path);
    QL_TRY(ql_path_join(parameters, folder[0] != '\0' ? folder : ".", "parameters.h5"));
    hid_t file = H5Fopen(parameters, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return QL_FAIL(IO, "%s cannot be opened; it belongs beside the golden file", parameters);
    int64_t count = QL_PARAMETER_COUNT;
    ql_status status = read_dataset(file, "flat", H5T_NATIVE_FLOAT, &count, (void **)&golden->parameters);
    (void)H5Fclose(file);
    return QL_CHAIN(status, "reading %s", parameters);
}

ql_status ql_golden_read(ql_golden *golden, const char *path)
{
    *golden = (ql_golden){0};
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return QL_FAIL(IO, "%s cannot be opened as HDF5", path);
    ql_status status = QL_CHAIN(read_all(file, golden, path), "reading %s", path);
    (void)H5Fclose(file);
    if (status == QL_OK) status = read_parameters(golden, path);
    if (status != QL_OK) ql_golden_destroy(golden);
    return status;
}

void ql_golden_destroy(ql_golden *golden)
{
    if (golden == NULL) return;
    ql_mesh_destroy(&golden->mesh);
    ql_tables_destroy(&golden->tables);
    void *arrays[] = {golden->off_points,   golden->parameters, golden->sdf,
                      golden->gradient,     golden->hessian,    golden->off_sdf,
                      golden->off_gradient, golden->theta,      golden->parameter_gradient};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) ql_free(arrays[k]);
    *golden = (ql_golden){0};
}
