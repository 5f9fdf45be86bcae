/* The SDF network and the loss as a sequence of launches, for any machine (device or host emulation). */
#ifndef QL_CUDA_SEQUENCE_SDF_H
#define QL_CUDA_SEQUENCE_SDF_H

#include "network.h"

/* each(COUNT + weights.total): the sums of columns, then those of slices of weight gradients, into the gradient. */
struct ql_sdf_sums {
    static constexpr int COUNT = QL_SDF_SUMS * QL_WIDTH;
    ql_sdf_columns_finish columns;
    ql_weight_sums weights;

    double bytes() const
    {
        const double total = static_cast<double>(weights.total);
        return (COUNT * columns.bytes() + total * weights.bytes()) / (COUNT + total);
    }

    QL_BODY void operator()(int64_t index) const
    {
        if (index < COUNT)
            columns(index);
        else
            weights(index - COUNT);
    }
};

template <class Machine> class ql_sdf_sequence
{
  public:
    ql_sdf_sequence(Machine &machine, const ql_network &network) : m(machine), n(network) {}

    /* All surface points: terms, theta' of E_align, gradient. Returns the slices of terms written from `slice`. */
    int surface(int slice)
    {
        for (int begin = 0; begin < n.plan.own; begin += n.surface.rows) {
            surface_forward(begin);
            slice = surface_loss(begin, slice);
            surface_backward(begin);
        }
        return slice;
    }

    /* The same in its parts, for the chunk of own faces that begins here; only the loss needs angles. */
    void surface_forward(int begin) { forward<3>(surface_chunk(begin)); }
    void surface_backward(int begin) { backward<3>(surface_chunk(begin)); }
    int surface_loss(int begin, int slice)
    {
        const ql_sdf_chunk chunk = surface_chunk(begin);
        m.rows(chunk.rows / QL_TERM_ROWS,
               ql_loss_surface{chunk, n.tables, n.step, n.theta, n.theta_adjoint, terms(slice), n.plan.first + begin});
        return slice + chunk.rows / QL_TERM_ROWS;
    }

    /* Slices of terms of the surface in one chunk, and of smoothness. */
    int near_slices() const { return n.surface.rows / QL_TERM_ROWS + smooth_slices(); }

    int off(int slice)
    {
        ql_sdf_chunk chunk = n.off;
        for (int begin = 0; begin < n.plan.off_own; begin += chunk.rows, slice += chunk.rows / QL_TERM_ROWS) {
            chunk.count = least(chunk.rows, n.plan.off_own - begin);
            m.each(chunk.count, ql_draw_off{n.tables, n.step, n.off_point, n.plan.off_first + begin});
            forward<0>(chunk);
            m.rows(chunk.rows / QL_TERM_ROWS,
                   ql_loss_off{chunk, n.step, terms(slice), n.plan.faces, n.plan.off_points});
            backward<0>(chunk);
        }
        return slice;
    }

    int smooth(int slice)
    {
        const int slices = smooth_slices();
        m.rows(slices,
               ql_loss_smooth{n.tables, n.step, n.theta, n.theta_adjoint, terms(slice), n.plan.first, n.plan.own});
        return slice + slices;
    }

    /* f, g, H at the points of the surface chunk's buffers (chunk.point set by the caller). */
    void outputs(const ql_sdf_chunk &chunk) { forward<3>(chunk); }

  private:
    Machine &m;
    const ql_network &n;

    static int least(int a, int b) { return a < b ? a : b; }
    int smooth_slices() const { return (n.plan.own + QL_TERM_ROWS - 1) / QL_TERM_ROWS; }
    ql_sdf_chunk surface_chunk(int begin) const
    {
        ql_sdf_chunk chunk = n.surface;
        chunk.point = n.tables.points + 3 * static_cast<int64_t>(n.plan.first + begin);
        chunk.count = least(chunk.rows, n.plan.own - begin);
        return chunk;
    }
    double *terms(int slice) const { return n.term_partial + static_cast<int64_t>(slice) * QL_LOSS_COUNT; }

    ql_operand weight(const ql_sdf_chunk &chunk, int l) const
    {
        ql_operand w = n.sdf_weights.from(chunk.weight[l]);
        w.ld = QL_WIDTH;
        return w;
    }

    /* c = a W_l^T (forward) or a W_l (back) over `blocks` blocks of rows. */
    void product(ql_product kind, const ql_sdf_chunk &chunk, int l, const ql_operand &a, int blocks, float *c)
    {
        m.gemm(ql_gemm{kind, chunk.rows * blocks, QL_WIDTH, QL_WIDTH, a, weight(chunk, l), c, QL_WIDTH, nullptr,
                       nullptr, false, 1, 0, 0, 0});
    }

    template <int TANGENTS> void forward(const ql_sdf_chunk &chunk)
    {
        const int64_t all = chunk.block, adjoint = chunk.adjoint_block() * chunk.block;
        m.enter("sdf forward");
        for (int l = 0; l < QL_HIDDEN; ++l) {
            if (l > 0) product(QL_PRODUCT_NT, chunk, l, chunk.layer[l - 1].right, 1 + TANGENTS, chunk.layer[l].cosine);
            if (l < QL_HIDDEN - 1) m.each(all, ql_sdf_activate<TANGENTS>{chunk, l}); /* the last one: by the sweep */
        }
        for (int l = QL_HIDDEN - 1; l >= 0; --l) {
            m.rows(chunk.rows, ql_sdf_sweep<TANGENTS>{chunk, l});
            if (l > 0) product(QL_PRODUCT_NN, chunk, l, chunk.layer[l].left.from(adjoint), 1, chunk.layer[l - 1].delta);
        }
        m.leave();
    }

    template <int TANGENTS> void backward(const ql_sdf_chunk &chunk)
    {
        const int64_t all = chunk.block, adjoint = chunk.adjoint_block() * chunk.block;
        m.enter("sdf backward");
        for (int l = 0; l < QL_HIDDEN; ++l) {
            if (l > 0) product(QL_PRODUCT_NT, chunk, l, chunk.layer[l - 1].right.from(adjoint), 1, n.temporary);
            m.each(all, ql_sdf_reverse_sweep<TANGENTS>{chunk, n.temporary, l});
        }
        for (int l = QL_HIDDEN - 1; l >= 0; --l) {
            if (l < QL_HIDDEN - 1) m.each(all, ql_sdf_reverse_forward<TANGENTS>{chunk, n.temporary, l});
            if (l > 0) product(QL_PRODUCT_NN, chunk, l, chunk.layer[l].left, 1 + TANGENTS, n.temporary);
        }
        const int slices = chunk.rows / QL_SDF_SUM_ROWS;
        m.each(static_cast<int64_t>(slices) * QL_WIDTH, ql_sdf_columns<TANGENTS>{chunk, n.sdf_columns});
        const ql_weight_sums weights = weight_gradients(chunk);
        m.each(ql_sdf_sums::COUNT + weights.total,
               ql_sdf_sums{ql_sdf_columns_finish{chunk, n.sdf_columns, n.gradient, slices}, weights});
        m.leave();
    }

    /* W'_l += left_l^T right_{l-1}, each block of rows cut into slices so that the GPU is full; summed in order. Left sides
     * of layers 1 .. 4 lie one behind the other, and so do right sides of 0 .. 3: all slices of all layers are one batch. */
    ql_weight_sums weight_gradients(const ql_sdf_chunk &chunk)
    {
        const int slices = (2 + chunk.tangents) * QL_SDF_SLICES, rows = chunk.rows / QL_SDF_SLICES;
        const int64_t size = QL_WIDTH * QL_WIDTH, stride = static_cast<int64_t>(rows) * QL_WIDTH;
        ql_weight_sums sums = {};
        sums.partial = n.sdf_weight_partial;
        sums.gradient = n.gradient;
        m.gemm(ql_gemm{QL_PRODUCT_TN, QL_WIDTH, QL_WIDTH, rows, chunk.layer[1].left, chunk.layer[0].right,
                       n.sdf_weight_partial, QL_WIDTH, nullptr, nullptr, false, (QL_HIDDEN - 1) * slices, stride,
                       stride, size});
        for (int l = 1; l < QL_HIDDEN; ++l) {
            const int64_t partial = (l - 1) * size * slices;
            sums.items[sums.count++] = {chunk.weight[l], static_cast<int32_t>(size), slices, sums.total, partial};
            sums.total += size;
        }
        return sums;
    }
};

#endif
