/* The angle network as a sequence of launches, forward and backward over one chunk of faces. */
#ifndef QL_CUDA_SEQUENCE_ANGLE_H
#define QL_CUDA_SEQUENCE_ANGLE_H

#include "network.h"
#include "residual.h"

template <class Machine> class ql_angle_sequence
{
  public:
    ql_angle_sequence(Machine &machine, const ql_network &network)
        : m(machine), n(network), a(network.angle), layout(*ql_layout_get()), fused(ql_wanted_fusion(a.kind))
    {
    }

    /* Weights of a step with these drop factors (32, on the device). */
    void prepare(const float *drop)
    {
        ql_fold_table table;
        ql_fold_table_build(&table); /* for the counts */
        if (a.weights.data != n.parameters)
            m.each(QL_PADDED_COUNT / 4, ql_convert{n.parameters, 0, QL_PADDED_COUNT, a.weights});
        const int32_t elements = table.element[QL_BLOCK_COUNT];
        m.each(static_cast<int64_t>(elements) + table.row[QL_BLOCK_COUNT],
               ql_fold{a.fold, n.parameters, drop, a.folded, a.folded_bias, elements});
    }

    /* theta of the chunk's faces, all padded rows included. */
    void forward(int chunk)
    {
        m.enter("angle forward");
        const float *inputs = chunk_inputs(chunk);
        linear(layout.in, ql_operand_of(const_cast<float *>(inputs), QL_ANGLE_INPUTS, input_kind()), a.in_linear, 256,
               false);
        norm<256, false>(layout.in_norm, a.in_linear, 256, bias(layout.in), a.a0);
        stage(QL_STAGE_E0, a.a0);
        stage(QL_STAGE_E1, a.wide[2].columns(0));
        const ql_activation e2 = a.wide[0].columns(0);
        stage(QL_STAGE_E2, a.wide[1].columns(0));
        linear(layout.widen, e2.op, a.widen_linear, 512, false);
        norm<512, false>(layout.widen_norm, a.widen_linear, 512, bias(layout.widen), a.a3);
        stage(QL_STAGE_E3, a.a3);
        tail<512>(layout.d_tail[0], out_of(QL_STAGE_E3), a.d_tail[0], a.wide[0].columns(256));
        for (int k = 1; k < 4; ++k) {
            ql_stage stage_k = static_cast<ql_stage>(QL_STAGE_D1 + k - 1);
            stage(stage_k, a.wide[k - 1]);
            tail<512>(layout.d_tail[k], out_of(stage_k), a.d_tail[k], d_place(k));
        }
        for (int k = 0; k < 3; ++k)
            tail<256>(layout.s_tail[k], d_place(k), a.s_tail[k], a.wide[3].columns(128 * (3 - k)));
        stage(QL_STAGE_H, a.wide[3]);
        head_forward(chunk);
        m.leave();
    }

    /* After a forward of the same chunk. */
    void backward(int chunk)
    {
        m.enter("angle backward");
        head_backward(chunk);
        decoder_backward();
        encoder_backward(chunk);
        flush();
        int columns = a.columns.total, slices = n.plan.column_slices;
        int groups = (slices + QL_COLUMN_GROUP - 1) / QL_COLUMN_GROUP;
        m.each(static_cast<int64_t>(groups) * columns,
               ql_slice_groups{a.column_partial, a.column_groups, columns, slices, QL_COLUMN_GROUP});
        m.each(columns, ql_columns_finish{a.column_groups, a.column_place, n.gradient, columns, groups});
        m.leave();
    }

    /* After the last chunk: gradients of the folded layers. */
    void finish(const float *drop)
    {
        ql_fold_table table;
        ql_fold_table_build(&table);
        m.rows(table.row[QL_BLOCK_COUNT], ql_unfold_gradient{a.fold, n.parameters, drop, n.gradient});
    }

  private:
    Machine &m;
    const ql_network &n;
    const ql_angle_net &a;
    const ql_layout &layout;
    const ql_fusion fused;

    /* ---- where things are ---- */

    const float *parameter(int32_t offset) const { return n.parameters + ql_padded(offset); }
    const float *bias(const ql_dense &dense) const { return parameter(dense.bias); }
    const float *chunk_inputs(int chunk) const
    {
        return n.inputs + static_cast<int64_t>(chunk) * a.rows * QL_ANGLE_INPUTS;
    }

    /* 12 numbers per row are too few for bf16's alignment, and cost nothing in float32. */
    ql_operand_kind input_kind() const { return a.kind == QL_OPERAND_BF16 ? QL_OPERAND_PLAIN : a.kind; }

    ql_operand weight(const ql_dense &dense) const
    {
        if (dense.in == QL_ANGLE_INPUTS)
            return ql_operand_of(n.parameters + ql_padded(dense.weight), dense.in, input_kind());
        ql_operand w = a.weights.from(ql_padded(dense.weight));
        w.ld = dense.in;
        return w;
    }

    ql_operand folded(int b) const
    {
        int64_t at = 0;
        for (int k = 0; k < b; ++k) at += static_cast<int64_t>(layout.block[k].width) * layout.block[k].inner;
        ql_operand w = a.folded.from(at);
        w.ld = layout.block[b].inner;
        return w;
    }

    const float *folded_bias(int b) const
    {
        int64_t at = 0;
        for (int k = 0; k < b; ++k) at += layout.block[k].width;
        return a.folded_bias + at;
    }

    /* d_k lies in the right half of the next decoder stage's input; d_3 begins that of h. */
    ql_activation d_place(int k) const { return k < 3 ? a.wide[k].columns(256) : a.wide[3].columns(0); }

    const ql_activation &out_of(ql_stage stage) const { return a.block[layout.stage_begin[stage + 1] - 1].out; }

    ql_column_sums sums() const { return ql_column_sums{a.column_partial, a.columns.total, n.plan.slice_rows, a.rows}; }

    /* ---- layers ---- */

    /* c = x W^T (+ bias) */
    void linear(const ql_dense &dense, const ql_operand &x, float *c, int ldc, bool with_bias)
    {
        m.gemm(ql_gemm{QL_PRODUCT_NT, a.rows, dense.out, dense.in, x, weight(dense), c, ldc, nullptr,
                       with_bias ? bias(dense) : nullptr, false, 1, 0, 0, 0});
    }

    /* c = adjoint W (+ addend) */
    void linear_back(const ql_dense &dense, const ql_operand &w, const ql_operand &adjoint, float *c, int ldc,
                     const float *addend, int addend_ld = 0)
    {
        m.gemm(ql_gemm{QL_PRODUCT_NN, a.rows, dense.in, dense.out, adjoint, w, c, ldc, addend, nullptr, false, 1, 0, 0,
                       0, addend_ld == ldc ? 0 : addend_ld});
    }

    /* Cut into slices; collected in `pending` and summed by flush, many together. */
    ql_weight_sums pending = {};
    int64_t pending_size = 0;

    /* Of `count` layers alike, whose operands lie one behind the other. */
    void weight_gradients(const ql_dense *const *dense, int count, const ql_operand &adjoint, const ql_operand &x)
    {
        const int out = dense[0]->out, in = dense[0]->in;
        const int slices = ql_weight_slices(a.rows, out, in, count), rows = a.rows / slices;
        const int32_t size = out * in;
        const int64_t each = static_cast<int64_t>(size) * slices;
        if (pending.count + count > QL_WEIGHT_ITEMS || pending_size + each * count > a.weight_room) flush();
        m.gemm(ql_gemm{QL_PRODUCT_TN, out, in, rows, adjoint, x, a.weight_partial + pending_size, in, nullptr, nullptr,
                       false, slices * count, static_cast<int64_t>(rows) * adjoint.ld,
                       static_cast<int64_t>(rows) * x.ld, size});
        for (int k = 0; k < count; ++k, pending_size += each) {
            pending.items[pending.count++] = {ql_padded(dense[k]->weight), size, slices, pending.total, pending_size};
            pending.total += size;
        }
    }

    void weight_gradient(const ql_dense &dense, const ql_operand &adjoint, const ql_operand &x)
    {
        const ql_dense *one = &dense;
        weight_gradients(&one, 1, adjoint, x);
    }

    void flush()
    {
        pending.partial = a.weight_partial;
        pending.gradient = n.gradient;
        m.each(pending.total, pending);
        pending = {};
        pending_size = 0;
    }

    ql_norm_input norm_input(const ql_norm &norm, const float *x, int ld, const float *linear_bias) const
    {
        return ql_norm_input{x, ld, linear_bias, parameter(norm.weight), parameter(norm.bias)};
    }

    template <int WIDTH, bool RELU>
    void norm(const ql_norm &norm, const float *x, int ld, const float *linear_bias, const ql_activation &out)
    {
        m.rows(a.rows, ql_norm_forward<WIDTH, RELU>{norm_input(norm, x, ld, linear_bias), out});
    }

    template <int WIDTH, bool RELU, bool BELOW = false>
    void norm_back(const ql_norm &norm, const float *x, int ld, const float *linear_bias, const float *adjoint,
                   int adjoint_ld, const ql_activation &out, int column)
    {
        m.rows(n.plan.column_slices, ql_norm_backward<WIDTH, RELU, BELOW>{norm_input(norm, x, ld, linear_bias), adjoint,
                                                                          adjoint_ld, out, sums(), column});
    }

    void column_sum(const float *x, int ld, int width, int column)
    {
        m.each(static_cast<int64_t>(n.plan.column_slices) * width, ql_column_sum{x, ld, width, sums(), column});
    }

    /* The operand beside a float32 matrix that a product wrote. */
    void complete(const ql_activation &x, int width)
    {
        if (x.op.data != x.x) m.each(static_cast<int64_t>(a.rows) * width / 4, ql_convert{x.x, x.ld, width, x.op});
    }

    static ql_activation alone(const ql_operand &op) { return ql_activation{nullptr, op.ld, op}; }

    /* ---- residual blocks ---- */

    /* A body over tiles of this network's kind of operands: body<KIND, INNER, ROWS>{arguments}. */
    template <template <ql_operand_kind, int, int> class Body, int INNER, class... Arguments>
    void tiles(const Arguments &...arguments)
    {
        if (ql_residual_is_large(a.rows))
            tiles_of<Body, INNER, QL_RESIDUAL_LARGE>(arguments...);
        else
            tiles_of<Body, INNER, QL_RESIDUAL_SMALL>(arguments...);
    }

    template <template <ql_operand_kind, int, int> class Body, int INNER, int ROWS, class... Arguments>
    void tiles_of(const Arguments &...arguments)
    {
        const int count = a.rows / ROWS;
        switch (a.kind) {
        case QL_OPERAND_PLAIN: return m.tiles(count, Body<QL_OPERAND_PLAIN, INNER, ROWS>{arguments...});
        case QL_OPERAND_TF32: return m.tiles(count, Body<QL_OPERAND_TF32, INNER, ROWS>{arguments...});
        case QL_OPERAND_BF16: return m.tiles(count, Body<QL_OPERAND_BF16, INNER, ROWS>{arguments...});
        case QL_OPERAND_SPLIT: return m.tiles(count, Body<QL_OPERAND_SPLIT, INNER, ROWS>{arguments...});
        }
    }

    template <int INNER> void block_forward(int b, const ql_activation &x)
    {
        const ql_block &block = layout.block[b];
        const ql_angle_block &tape = a.block[b];
        linear(block.down, x.op, tape.down, INNER, false);
        if (fused == QL_FUSED_NONE) {
            norm<INNER, true>(block.norm1, tape.down, INNER, bias(block.down), alone(tape.relu1));
            linear(block.mid, tape.relu1, tape.mid, INNER, false);
            norm<INNER, true>(block.norm2, tape.mid, INNER, bias(block.mid), alone(tape.relu2));
        } else {
            tiles<ql_residual_forward, INNER>(norm_input(block.norm1, tape.down, INNER, bias(block.down)),
                                              norm_input(block.norm2, nullptr, 0, bias(block.mid)),
                                              ql_residual_weights{weight(block.mid), folded(b), fused == QL_FUSED_WIDE},
                                              tape.mid, tape.relu1, tape.relu2, x, tape.out, folded_bias(b));
        }
        if (fused != QL_FUSED_WIDE) residual(b, x, tape.out);
    }

    /* out = relu(x + W_f relu2 + b_f). Where x has another row length than out (a stage's end in a wide matrix), the
     * addend cannot be read by the product: its epilogue runs as a body. */
    void residual(int b, const ql_activation &x, const ql_activation &out)
    {
        const ql_block &block = layout.block[b];
        ql_gemm g = {QL_PRODUCT_NT, a.rows, block.width, block.inner, a.block[b].relu2,
                     folded(b),     out.x,  out.ld,      x.x,         folded_bias(b),
                     true,          1,      0,           0,           0};
        if (x.ld != out.ld) g.addend_ld = x.ld;
        m.gemm(g);
        complete(out, block.width);
    }

    void stage(ql_stage stage, ql_activation x)
    {
        for (int b = layout.stage_begin[stage]; b < layout.stage_begin[stage + 1]; ++b) {
            if (layout.block[b].width == 512)
                block_forward<128>(b, x);
            else
                block_forward<64>(b, x);
            x = a.block[b].out;
        }
    }

    /* The part of an array over a stage's blocks that belongs to block number i. */
    ql_operand part(const ql_operand &array, int i, int width) const
    {
        ql_operand op = array.from(static_cast<int64_t>(i) * a.rows * width);
        op.ld = width;
        return op;
    }

    /* Where the adjoint of the output of a stage's i-th block goes, behind its ReLU: an operand of products, and float32 as addend of the
     * next. */
    ql_activation masked(int i, int width, const ql_activation &adjoint) const
    {
        const ql_operand op = part(a.masked, i, width);
        if (a.kind == QL_OPERAND_BF16) return ql_activation{adjoint.x, adjoint.ld, op};
        return ql_activation{static_cast<float *>(op.data), width, op};
    }

    /* From `masked` of block b, the stage's i-th, to that of the block below, or to the adjoint of the stage's input, whose column
     * sums are wanted where column >= 0. What the weight gradients need is kept. */
    template <int WIDTH> void block_backward(int b, int i, const ql_activation &adjoint, int column)
    {
        constexpr int INNER = WIDTH / 4;
        const ql_block &block = layout.block[b];
        const ql_angle_block &tape = a.block[b];
        const ql_operand mid = part(a.mid_adjoint, i, INNER), down = part(a.down_adjoint, i, INNER);
        const ql_activation above = masked(i, WIDTH, adjoint), out = i > 0 ? masked(i - 1, WIDTH, adjoint) : adjoint;
        const ql_activation below = i > 0 ? a.block[b - 1].out : ql_activation{nullptr, 0, {}};
        if (i > 0) column = a.columns.up[b - 1];
        linear_back(block.up, folded(b), above.op, a.inner, INNER, nullptr);
        if (fused == QL_FUSED_NONE) {
            norm_back<INNER, true>(block.norm2, tape.mid, INNER, bias(block.mid), a.inner, INNER, alone(mid),
                                   a.columns.norm2[b]);
            linear_back(block.mid, weight(block.mid), mid, a.inner, INNER, nullptr);
            norm_back<INNER, true>(block.norm1, tape.down, INNER, bias(block.down), a.inner, INNER, alone(down),
                                   a.columns.norm1[b]);
        } else {
            tiles<ql_residual_backward, INNER>(
                norm_input(block.norm1, tape.down, INNER, bias(block.down)),
                norm_input(block.norm2, tape.mid, INNER, bias(block.mid)),
                ql_residual_weights{weight(block.mid), weight(block.down), fused == QL_FUSED_WIDE}, a.inner, mid, down,
                sums(), a.columns.norm1[b], a.columns.norm2[b], above.x, below.x, above.ld, below.ld, column, out);
        }
        if (fused == QL_FUSED_WIDE) return;
        linear_back(block.down, weight(block.down), down, adjoint.x, adjoint.ld, above.x, above.ld);
        if (i > 0)
            relu_back<WIDTH>(b - 1, i - 1, adjoint, nullptr);
        else if (column >= 0)
            column_sum(adjoint.x, adjoint.ld, WIDTH, column);
        if (i == 0) complete(adjoint, WIDTH);
    }

    /* The adjoint of the output of block b, the stage's i-th (and `more` of it), behind its ReLU. */
    template <int WIDTH> void relu_back(int b, int i, const ql_activation &adjoint, const float *more)
    {
        const ql_activation &out = a.block[b].out;
        m.rows(n.plan.column_slices, ql_relu_backward<WIDTH>{out.x, out.ld, adjoint.x, more, adjoint.ld,
                                                             masked(i, WIDTH, adjoint), sums(), a.columns.up[b]});
    }

    /* Three products for all blocks of a stage; the first input of E1 and E2 lies elsewhere and has one of its own. */
    void stage_weights(ql_stage stage, const ql_activation &first)
    {
        const ql_angle_stage &s = a.stage[stage];
        const int begin = layout.stage_begin[stage], count = layout.stage_begin[stage + 1] - begin;
        const int width = layout.block[begin].width, inner = layout.block[begin].inner;
        const ql_dense *up[QL_STAGE_BLOCKS], *mid[QL_STAGE_BLOCKS], *down[QL_STAGE_BLOCKS];
        for (int i = 0; i < count; ++i) {
            up[i] = &layout.block[begin + i].up;
            mid[i] = &layout.block[begin + i].mid;
            down[i] = &layout.block[begin + i].down;
        }
        weight_gradients(up, count, part(a.masked, 0, width), s.relu2);
        weight_gradients(mid, count, part(a.mid_adjoint, 0, inner), s.relu1);
        if (s.first > 0) weight_gradient(*down[0], part(a.down_adjoint, 0, inner), first.op);
        weight_gradients(down + s.first, count - s.first, part(a.down_adjoint, s.first, inner), s.inputs.op);
    }

    /* From `masked` of the stage's last block to the adjoint of its input. */
    void stage_backward(ql_stage stage, const ql_activation &first, const ql_activation &adjoint, int column = -1)
    {
        const int begin = layout.stage_begin[stage];
        for (int b = layout.stage_begin[stage + 1] - 1; b >= begin; --b)
            if (layout.block[b].width == 512)
                block_backward<512>(b, b - begin, adjoint, column);
            else
                block_backward<256>(b, b - begin, adjoint, column);
        stage_weights(stage, first);
    }

    /* The same for a stage whose output's adjoint has only been added up, of one or two parts. */
    void encoder_stage_backward(ql_stage stage, const ql_activation &first, const ql_activation &adjoint,
                                const float *more)
    {
        const int last = layout.stage_begin[stage + 1] - 1;
        relu_back<256>(last, last - layout.stage_begin[stage], adjoint, more);
        stage_backward(stage, first, adjoint);
    }

    /* ---- tails: linear(LN(x)) ---- */

    /* t: the normed input, kept for the weight gradient. */
    template <int WIDTH>
    void tail(const ql_tail &tail, const ql_activation &x, const ql_operand &t, const ql_activation &y)
    {
        norm<WIDTH, false>(tail.norm, x.x, x.ld, nullptr, alone(t));
        linear(tail.linear, t, y.x, y.ld, true);
        complete(y, tail.linear.out);
    }

    /* BELOW: x is a stage's output. */
    template <int WIDTH, bool BELOW>
    void tail_backward(const ql_tail &tail, const ql_activation &x, const ql_operand &t, const ql_operand &y_adjoint,
                       const ql_activation &x_adjoint, int column)
    {
        linear_back(tail.linear, weight(tail.linear), y_adjoint, a.inner, WIDTH, nullptr);
        weight_gradient(tail.linear, y_adjoint, t);
        norm_back<WIDTH, false, BELOW>(tail.norm, x.x, x.ld, nullptr, a.inner, WIDTH, x_adjoint, column);
    }

    /* To `masked` of the last block of the stage below the tail. */
    void tail_backward(const ql_tail &tail, ql_stage stage, const ql_operand &t, const ql_operand &y_adjoint,
                       const ql_activation &adjoint, int column)
    {
        const int count = layout.stage_begin[stage + 1] - layout.stage_begin[stage];
        tail_backward<512, true>(tail, out_of(stage), t, y_adjoint, masked(count - 1, 512, adjoint), column);
    }

    /* ---- head ---- */

    ql_head head() const
    {
        return ql_head{a.hidden, bias(layout.out_hidden), parameter(layout.out_linear.weight),
                       parameter(layout.out_linear.bias)};
    }

    void head_forward(int chunk)
    {
        const ql_activation &x = out_of(QL_STAGE_H);
        norm<512, false>(layout.h_tail.norm, x.x, x.ld, nullptr, alone(a.h_tail));
        linear(layout.h_tail.linear, a.h_tail, a.h_linear, 128, false);
        norm<128, false>(layout.out_norm, a.h_linear, 128, bias(layout.h_tail.linear), alone(a.out_norm));
        linear(layout.out_hidden, a.out_norm, a.hidden, QL_HEAD, false);
        m.rows(a.rows, ql_head_forward{head(), n.theta + n.plan.first + static_cast<int64_t>(chunk) * a.rows});
    }

    /* From theta' to the adjoint of h's input, in p. */
    void head_backward(int chunk)
    {
        int first = chunk * a.rows, count = n.plan.own - first < a.rows ? n.plan.own - first : a.rows;
        ql_activation h = a.inner_adjoint;
        h.ld = h.op.ld = 128;
        m.rows(n.plan.column_slices, ql_head_backward{head(), n.theta_adjoint + n.plan.first + first, a.hidden_adjoint,
                                                      sums(), a.columns.head, count});
        linear_back(layout.out_hidden, weight(layout.out_hidden), a.hidden_adjoint.op, a.inner, 128, nullptr);
        weight_gradient(layout.out_hidden, a.hidden_adjoint.op, a.out_norm);
        norm_back<128, false>(layout.out_norm, a.h_linear, 128, bias(layout.h_tail.linear), a.inner, 128, h,
                              a.columns.out_norm);
        tail_backward(layout.h_tail, QL_STAGE_H, a.h_tail, h.op, a.p, a.columns.h_norm);
        stage_backward(QL_STAGE_H, a.wide[3], a.p, a.columns.parts);
    }

    /* From p, the adjoint of [d3 s2 s1 s0], to that of e3 in q; those of e0, e1, e2 through the skips in a.e. */
    void decoder_backward()
    {
        for (int k = 0; k < 3; ++k)
            tail_backward<256, false>(layout.s_tail[k], d_place(k), a.s_tail[k], a.p.op.from(128 * (3 - k)),
                                      ql_activation{a.d[k].x, 256, ql_operand_of(a.d[k].x, 256)}, a.columns.s_norm[k]);
        ql_operand y_adjoint = a.p.op;
        for (int k = 3; k > 0; --k) {
            const ql_stage stage = static_cast<ql_stage>(QL_STAGE_D1 + k - 1);
            tail_backward(layout.d_tail[k], stage, a.d_tail[k], y_adjoint, a.q, a.columns.d_norm[k]);
            stage_backward(stage, a.wide[k - 1], a.q);
            m.rows(n.plan.column_slices,
                   ql_part_skip{a.q.x, a.e[3 - k].x, a.d[k - 1], sums(), a.columns.d_bias[k - 1]});
            y_adjoint = a.d[k - 1].op;
        }
        tail_backward(layout.d_tail[0], QL_STAGE_E3, a.d_tail[0], y_adjoint, a.q, a.columns.d_norm[0]);
    }

    void encoder_backward(int chunk)
    {
        stage_backward(QL_STAGE_E3, a.a3, a.q);
        ql_activation widen = a.inner_adjoint;
        norm_back<512, false>(layout.widen_norm, a.widen_linear, 512, bias(layout.widen), a.q.x, 512, widen,
                              a.columns.widen);
        const ql_activation e2 = a.wide[0].columns(0);
        linear_back(layout.widen, weight(layout.widen), widen.op, a.e[2].x, 256, a.e[2].x);
        weight_gradient(layout.widen, widen.op, e2.op);
        encoder_stage_backward(QL_STAGE_E2, a.wide[1].columns(0), a.e[2], nullptr);
        encoder_stage_backward(QL_STAGE_E1, a.wide[2].columns(0), a.e[1], a.e[2].x);
        encoder_stage_backward(QL_STAGE_E0, a.a0, a.e[0], a.e[1].x);
        norm_back<256, false>(layout.in_norm, a.in_linear, 256, bias(layout.in), a.e[0].x, 256, a.in_adjoint,
                              a.columns.in);
        weight_gradient(layout.in, a.in_adjoint.op,
                        ql_operand_of(const_cast<float *>(chunk_inputs(chunk)), QL_ANGLE_INPUTS, input_kind()));
    }
};

#endif
