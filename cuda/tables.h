/* A mesh's tables as one block of 4-byte words, laid out alike in pinned host memory and on the device, so that one copy
 * brings them there: before the engine exists, while another mesh trains. */
#ifndef QL_CUDA_TABLES_H
#define QL_CUDA_TABLES_H

#include "step_data.h"

/* Places of the arrays in the block, in words; each begins at a multiple of 256 bytes. */
struct ql_table_places {
    int64_t points, normals, u, v;               /* F x 3 */
    int64_t align, smooth, sigma;                /* F; sigma only for near sampling */
    int64_t neighbour_ptr, neighbour, transport; /* F + 1, pairs, pairs */
    int64_t fixed_off_points;                    /* off x 3 where the setup has them */
    int64_t words;                               /* of the block */
};

ql_table_places ql_table_places_of(const ql_engine_setup *setup);

/* Writes the block in float32 from the setup's tables. */
void ql_tables_write(float *block, const ql_table_places *places, const ql_engine_setup *setup);

/* The view of a block (an address on the device) that kernels take. */
ql_device_tables ql_tables_view(const float *block, const ql_table_places *places, const ql_engine_setup *setup);

/* each(padded rows x 12): the angle network's inputs [p n u v]; rows behind the own faces repeat the last one. */
struct ql_fill_inputs {
    ql_device_tables tables;
    float *inputs;
    int first, own;

    double bytes() const { return 8; }

    QL_BODY void operator()(int64_t index) const
    {
        const int64_t row = index / QL_ANGLE_INPUTS, at = index % QL_ANGLE_INPUTS, which = at / 3;
        const int64_t face = first + (row < own ? row : own - 1);
        const float *from = which == 0 ? tables.points : which == 1 ? tables.normals : which == 2 ? tables.u : tables.v;
        inputs[index] = from[3 * face + at % 3];
    }
};

#endif
