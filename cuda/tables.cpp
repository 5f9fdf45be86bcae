/* The block of a mesh's tables (see tables.h). */
#include "tables.h"

#include <initializer_list>

static const int64_t ALIGNED_WORDS = 64;

static int64_t next(int64_t *words, int64_t count)
{
    int64_t begin = *words;
    *words += (count + ALIGNED_WORDS - 1) / ALIGNED_WORDS * ALIGNED_WORDS;
    return begin;
}

static int near_count(const ql_engine_setup *setup)
{
    bool near = setup->train->sampling == QL_SAMPLING_NEAR;
    return static_cast<int>(ql_sample_near_count(setup->train->off_points, near, setup->train->near_fraction));
}

static bool has_sigma(const ql_engine_setup *setup)
{
    return near_count(setup) > 0 && setup->fixed_off_points == nullptr;
}

ql_table_places ql_table_places_of(const ql_engine_setup *setup)
{
    const int64_t faces = setup->tables->face_count, pairs = setup->tables->neighbour_ptr[faces];
    ql_table_places p;
    memset(&p, 0, sizeof p);
    for (int64_t *three : {&p.points, &p.normals, &p.u, &p.v}) *three = next(&p.words, 3 * faces);
    p.align = next(&p.words, faces);
    p.smooth = next(&p.words, faces);
    p.sigma = next(&p.words, has_sigma(setup) ? faces : 0);
    p.neighbour_ptr = next(&p.words, faces + 1);
    p.neighbour = next(&p.words, pairs);
    p.transport = next(&p.words, pairs);
    p.fixed_off_points = next(&p.words, setup->fixed_off_points != nullptr ? 3 * setup->train->off_points : 0);
    return p;
}

static void to_float(float *to, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

void ql_tables_write(float *block, const ql_table_places *p, const ql_engine_setup *setup)
{
    const ql_tables *t = setup->tables;
    const int64_t faces = t->face_count, pairs = t->neighbour_ptr[faces];
    to_float(block + p->points, t->points, 3 * faces);
    to_float(block + p->normals, t->normals, 3 * faces);
    to_float(block + p->u, t->u, 3 * faces);
    to_float(block + p->v, t->v, 3 * faces);
    to_float(block + p->align, setup->shares->align, faces);
    to_float(block + p->smooth, setup->shares->smooth, faces);
    if (has_sigma(setup)) to_float(block + p->sigma, t->sigma, faces);
    to_float(block + p->transport, t->transport, pairs);
    memcpy(block + p->neighbour_ptr, t->neighbour_ptr, static_cast<size_t>(faces + 1) * sizeof(int32_t));
    memcpy(block + p->neighbour, t->neighbour, static_cast<size_t>(pairs) * sizeof(int32_t));
    if (setup->fixed_off_points != nullptr)
        memcpy(block + p->fixed_off_points, setup->fixed_off_points,
               static_cast<size_t>(3 * setup->train->off_points) * sizeof(float));
}

ql_device_tables ql_tables_view(const float *block, const ql_table_places *p, const ql_engine_setup *setup)
{
    const bool near = setup->train->sampling == QL_SAMPLING_NEAR;
    ql_device_tables t;
    memset(&t, 0, sizeof t);
    t.face_count = setup->tables->face_count;
    t.off_count = static_cast<int32_t>(setup->train->off_points);
    t.points = block + p->points;
    t.normals = block + p->normals;
    t.u = block + p->u;
    t.v = block + p->v;
    t.align = block + p->align;
    t.smooth = block + p->smooth;
    t.sigma = has_sigma(setup) ? block + p->sigma : nullptr;
    t.neighbour_ptr = reinterpret_cast<const int32_t *>(block + p->neighbour_ptr);
    t.neighbour = reinterpret_cast<const int32_t *>(block + p->neighbour);
    t.transport = block + p->transport;
    t.fixed_off_points = setup->fixed_off_points != nullptr ? block + p->fixed_off_points : nullptr;
    t.near_count = near_count(setup);
    t.range = near ? QL_NEAR_RANGE : QL_FAR_RANGE;
    return t;
}
