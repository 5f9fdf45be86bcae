/* SDF network: bodies between the matrix products (method, section 4; engine ref, sdf.c, is the same written out).
 *
 *   z_l = W_l a_{l-1} + b_l, s = sin 30 z, c = cos 30 z, a = s, T_l = dz_l/dx, delta_l = df/da_l, e_l = 30 c delta_l
 *
 * A chunk of C points keeps, per layer, blocks of C x 256 floats:
 *   right: s, 30 c T_x, 30 c T_y, 30 c T_z, delta'     operands below: of layer l + 1
 *   left:  z', T'_x, T'_y, T'_z, e                     operands of this layer
 * so that each pass through a layer is one product over stacked rows:
 *   [z; T]_l = right_{l-1}[0..3] W^T      delta_{l-1} = left_l[4] W       (forward, adjoint)
 *   e'_l = right_{l-1}[4] W^T      [a'; (30 c T)']_{l-1} = left_l[0..3] W (their reverse)
 *   W'_l += left_l^T right_{l-1}                                          (5 C rows)
 * ' is the adjoint, d(total)/d(.). Without tangents (off-surface points) blocks 1..3 are left out: 15 and 6 units.
 */
#ifndef QL_CUDA_SDF_BODIES_H
#define QL_CUDA_SDF_BODIES_H

#include "step_data.h"

enum { QL_WIDTH = QL_SDF_WIDTH, QL_HIDDEN = QL_SDF_LAYERS - 1 };

/* Sine and cosine to the last bits for any |x|; no fast-math variant. */
QL_BODY void ql_sine_cosine(float x, float *s, float *c)
{
#ifdef __CUDA_ARCH__
    sincosf(x, s, c);
#else
    *s = sinf(x);
    *c = cosf(x);
#endif
}

struct ql_sdf_layer {
    float *cosine;  /* holds z before the activation */
    float *tangent; /* T: 3 blocks behind `cosine`; not in layer 0, where T is W_0 */
    float *delta;   /* not in the last layer, where delta is the output's weights */
    float *z_part;  /* z' through g and H alone; not in the last layer */
    ql_operand right, left;
};

/* The first layer's phase reaches 1e4 at far-field points, where float32 has lost 1e-3 of it: it is computed and reduced to
 * [-pi, pi] in double. */
QL_BODY float ql_first_phase(const float w[3], const float x[3], float bias)
{
    double z = bias;
    for (int d = 0; d < 3; ++d) z += static_cast<double>(w[d]) * x[d];
    z *= QL_SDF_OMEGA;
    return static_cast<float>(z - rint(z * 0.15915494309189533577) * 6.28318530717958647692);
}

/* A chunk: `rows` is a multiple of 64; rows >= count repeat the last point and weigh nothing. */
struct ql_sdf_chunk {
    int rows, count, tangents; /* tangents: 3 or 0 */
    int64_t block;             /* rows * 256 */
    const float *point;        /* count x 3 */
    ql_sdf_layer layer[QL_HIDDEN];
    float *value, *gradient, *hessian;                         /* rows x 1, 3, 6 */
    float *value_adjoint, *gradient_adjoint, *hessian_adjoint; /* the same */
    const float *parameters;                                   /* padded flat array */
    int32_t weight[QL_SDF_LAYERS], bias[QL_SDF_LAYERS];        /* places in it */

    QL_BODY const float *point_at(int64_t p) const { return point + 3 * (p < count ? p : count - 1); }
    QL_BODY int adjoint_block() const { return 1 + tangents; } /* of delta' and e in right and left */
    QL_BODY float weight0(int k, int d) const { return parameters[weight[0] + 3 * k + d]; }
    QL_BODY float weight5(int k) const { return parameters[weight[QL_HIDDEN] + k]; }
    template <int TANGENTS> QL_BODY void load_tangent(int l, int64_t at, float t[3]) const
    {
        for (int d = 0; d < TANGENTS; ++d)
            t[d] = l == 0 ? weight0(static_cast<int>(at % QL_WIDTH), d) : layer[l].tangent[d * block + at];
    }
    QL_BODY float load_delta(int l, int64_t at) const
    {
        return l == QL_HIDDEN - 1 ? weight5(static_cast<int>(at % QL_WIDTH)) : layer[l].delta[at];
    }
};

/* each(rows * 256), all layers but the last: z (and T) become cos, sin and the operands of the next layer. Layer 0 computes its z here. */
template <int TANGENTS> struct ql_sdf_activate {
    ql_sdf_chunk chunk;
    int l;

    double bytes() const { return (l > 0 ? 4 + 4 * TANGENTS : 0) + 4 + (1 + TANGENTS) * chunk.layer[l].right.size(); }

    QL_BODY void operator()(int64_t at) const
    {
        int k = static_cast<int>(at % QL_WIDTH);
        const ql_sdf_layer &layer = chunk.layer[l];
        float bias = chunk.parameters[chunk.bias[l] + k], phase, s, c, t[3] = {0, 0, 0};
        if (l == 0)
            phase = ql_first_phase(chunk.parameters + chunk.weight[0] + 3 * k, chunk.point_at(at / QL_WIDTH), bias);
        else
            phase = QL_SDF_OMEGA * (layer.cosine[at] + bias);
        chunk.template load_tangent<TANGENTS>(l, at, t);
        ql_sine_cosine(phase, &s, &c);
        layer.cosine[at] = c;
        layer.right.put(at, s);
        for (int d = 0; d < TANGENTS; ++d) layer.right.put((1 + d) * chunk.block + at, ql_sine_first(c) * t[d]);
    }
};

/* rows(rows): e_l, the layer's part of H; f with the last layer, whose sin and cos are taken here, g with the first. Called
 * from the last layer down. */
template <int TANGENTS> struct ql_sdf_sweep {
    ql_sdf_chunk chunk;
    int l;

    double bytes() const
    {
        const bool last = l == QL_HIDDEN - 1;
        const int sine = TANGENTS > 0 || last ? chunk.layer[l].right.size() : 0;
        return QL_WIDTH * (8 + sine + (l > 0 ? 4 * TANGENTS : 0) + chunk.layer[l].left.size()) +
               (TANGENTS > 0 ? 48 : 4);
    }

    template <class Team> QL_BODY void operator()(int64_t p, const Team &team) const
    {
        const ql_sdf_layer &layer = chunk.layer[l];
        float f = 0, g[3] = {0, 0, 0}, h[6] = {0, 0, 0, 0, 0, 0};
        for (int k = team.lane(); k < QL_WIDTH; k += Team::SIZE) {
            int64_t at = p * QL_WIDTH + k;
            float s = 0, c = layer.cosine[at], t[3];
            if (l == QL_HIDDEN - 1) {
                ql_sine_cosine(QL_SDF_OMEGA * (c + chunk.parameters[chunk.bias[l] + k]), &s, &c);
                layer.cosine[at] = c;
                layer.right.put(at, s);
            } else if (TANGENTS > 0) {
                s = layer.right.get(at);
            }
            const float delta = chunk.load_delta(l, at), e = ql_sine_first(c) * delta;
            layer.left.put((1 + TANGENTS) * chunk.block + at, e);
            if (l == QL_HIDDEN - 1) f += chunk.weight5(k) * s;
            if (l == 0)
                for (int d = 0; d < 3; ++d) g[d] += e * chunk.weight0(k, d);
            if (TANGENTS > 0) {
                chunk.template load_tangent<TANGENTS>(l, at, t);
                float q = delta * ql_sine_second(s), qx = q * t[0], qy = q * t[1];
                h[0] += qx * t[0];
                h[1] += qx * t[1];
                h[2] += qx * t[2];
                h[3] += qy * t[1];
                h[4] += qy * t[2];
                h[5] += q * t[2] * t[2];
            }
        }
        finish(p, team, f, g, h);
    }

    template <class Team>
    QL_BODY void finish(int64_t p, const Team &team, float f, const float g[3], const float h[6]) const
    {
        bool first = l == QL_HIDDEN - 1, writes = team.lane() == 0;
        if (first) {
            f = team.sum(f);
            if (writes) chunk.value[p] = f + chunk.parameters[chunk.bias[QL_HIDDEN]];
        }
        for (int d = 0; l == 0 && d < 3; ++d) {
            float sum = team.sum(g[d]);
            if (writes) chunk.gradient[3 * p + d] = sum;
        }
        for (int j = 0; TANGENTS > 0 && j < 6; ++j) {
            float sum = team.sum(h[j]);
            if (writes) chunk.hessian[6 * p + j] = first ? sum : chunk.hessian[6 * p + j] + sum;
        }
    }
};

/* The full z'_l and T'_l of an element: z_part is z' through g and H, a the adjoint of its sine, slope those of 30 c T. */
template <int TANGENTS>
QL_BODY void ql_sdf_close(const ql_sdf_chunk &chunk, int l, int64_t at, float z_part, float a, const float slope[3])
{
    const ql_sdf_layer &layer = chunk.layer[l];
    const float first = ql_sine_first(layer.cosine[at]);
    float z = z_part + a * first, t[3], ht[3];
    if (TANGENTS > 0) {
        const float second = ql_sine_second(layer.right.get(at)), q = chunk.load_delta(l, at) * second;
        chunk.template load_tangent<TANGENTS>(l, at, t);
        ql_symmetric_times(chunk.hessian_adjoint + 6 * (at / QL_WIDTH), t, ht);
        for (int d = 0; d < TANGENTS; ++d) {
            z += slope[d] * t[d] * second;
            layer.left.put((1 + d) * chunk.block + at, 2 * q * ht[d] + slope[d] * first);
        }
    }
    layer.left.put(at, z);
}

/* each(rows * 256), layers upwards: delta'_l and z'_l through g and H; in the last layer, above which there is only f, all of
 * z'_l and T'_l. e_adjoint: e'_l from the product (unused in layer 0). */
template <int TANGENTS> struct ql_sdf_reverse_sweep {
    ql_sdf_chunk chunk;
    const float *e_adjoint;
    int l;

    double bytes() const
    {
        const bool last = l == QL_HIDDEN - 1;
        return 4 + (last ? (1 + TANGENTS) * chunk.layer[l].left.size() : 8) + (l > 0 ? 4 + 4 * TANGENTS : 0) +
               2 * chunk.layer[l].right.size();
    }

    QL_BODY void operator()(int64_t at) const
    {
        const ql_sdf_layer &layer = chunk.layer[l];
        int64_t p = at / QL_WIDTH;
        int k = static_cast<int>(at % QL_WIDTH);
        float c = layer.cosine[at], s = layer.right.get(at), delta = chunk.load_delta(l, at), e = 0, t[3], ht[3];
        if (l == 0)
            for (int d = 0; d < 3; ++d) e += chunk.gradient_adjoint[3 * p + d] * chunk.weight0(k, d);
        else
            e = e_adjoint[at];
        float delta_adjoint = e * ql_sine_first(c), z_part = e * delta * ql_sine_second(s);
        if (TANGENTS > 0) {
            chunk.template load_tangent<TANGENTS>(l, at, t);
            ql_symmetric_times(chunk.hessian_adjoint + 6 * p, t, ht);
            float q_adjoint = ql_dot3(t, ht);
            delta_adjoint += q_adjoint * ql_sine_second(s);
            z_part += q_adjoint * delta * ql_sine_third(c);
        }
        layer.right.put((1 + TANGENTS) * chunk.block + at, delta_adjoint);
        if (l < QL_HIDDEN - 1) {
            layer.z_part[at] = z_part;
            return;
        }
        const float none[3] = {0, 0, 0};
        ql_sdf_close<TANGENTS>(chunk, l, at, z_part, chunk.value_adjoint[p] * chunk.weight5(k), none);
    }
};

/* each(rows * 256), layers downwards from the last but one: the full z'_l and T'_l. below: [a'; (30 c T)'] from the product. */
template <int TANGENTS> struct ql_sdf_reverse_forward {
    ql_sdf_chunk chunk;
    const float *below;
    int l;

    double bytes() const
    {
        const int read = TANGENTS > 0 ? chunk.layer[l].right.size() + 4 + (l > 0 ? 4 * TANGENTS : 0) : 0;
        return 8 + 4 * (1 + TANGENTS) + read + (1 + TANGENTS) * chunk.layer[l].left.size();
    }

    QL_BODY void operator()(int64_t at) const
    {
        float slope[3] = {0, 0, 0};
        for (int d = 0; d < TANGENTS; ++d) slope[d] = below[(1 + d) * chunk.block + at];
        ql_sdf_close<TANGENTS>(chunk, l, at, chunk.layer[l].z_part[at], below[at], slope);
    }
};

/* Gradients that are sums over points of columns: biases 0..4, the three columns of W_0, W_5, b_5. */
enum { QL_SDF_SUMS = QL_HIDDEN + 3 + 2, QL_SDF_SUM_ROWS = 64 };

/* each(rows / 64 * 256): thread (slice, k) adds 64 points in order; partial: slices x SUMS x 256. */
template <int TANGENTS> struct ql_sdf_columns {
    ql_sdf_chunk chunk;
    float *partial;

    double bytes() const
    {
        return QL_SDF_SUM_ROWS * (6 + TANGENTS + 2) * static_cast<double>(chunk.layer[0].left.size()) + 4 * QL_SDF_SUMS;
    }

    QL_BODY void operator()(int64_t index) const
    {
        int64_t slice = index / QL_WIDTH;
        int k = static_cast<int>(index % QL_WIDTH);
        float sum[QL_SDF_SUMS] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        for (int64_t p = slice * QL_SDF_SUM_ROWS; p < (slice + 1) * QL_SDF_SUM_ROWS; ++p) {
            int64_t at = p * QL_WIDTH + k;
            float z0 = chunk.layer[0].left.get(at), e0 = chunk.layer[0].left.get((1 + TANGENTS) * chunk.block + at);
            sum[0] += z0;
            for (int l = 1; l < QL_HIDDEN; ++l) sum[l] += chunk.layer[l].left.get(at);
            for (int d = 0; d < 3; ++d) {
                sum[QL_HIDDEN + d] += z0 * chunk.point_at(p)[d] + e0 * chunk.gradient_adjoint[3 * p + d];
                if (TANGENTS > 0) sum[QL_HIDDEN + d] += chunk.layer[0].left.get((1 + d) * chunk.block + at);
            }
            const ql_operand &top = chunk.layer[QL_HIDDEN - 1].right;
            sum[QL_HIDDEN + 3] += chunk.value_adjoint[p] * top.get(at) + top.get((1 + TANGENTS) * chunk.block + at);
            sum[QL_HIDDEN + 4] += chunk.value_adjoint[p];
        }
        for (int j = 0; j < QL_SDF_SUMS; ++j) partial[(slice * QL_SDF_SUMS + j) * QL_WIDTH + k] = sum[j];
    }
};

/* The slices in order, added to the gradient: index < SUMS * 256. */
struct ql_sdf_columns_finish {
    ql_sdf_chunk chunk;
    const float *partial;
    float *gradient;
    int slices;

    double bytes() const { return 4.0 * slices + 8; }

    QL_BODY void operator()(int64_t index) const
    {
        int j = static_cast<int>(index / QL_WIDTH), k = static_cast<int>(index % QL_WIDTH);
        if (j == QL_SDF_SUMS - 1 && k > 0) return; /* b_5 is one number */
        float sum = 0;
        for (int64_t s = 0; s < slices; ++s) sum += partial[(s * QL_SDF_SUMS + j) * QL_WIDTH + k];
        gradient[place(j, k)] += sum;
    }

    QL_BODY int32_t place(int j, int k) const
    {
        if (j < QL_HIDDEN) return chunk.bias[j] + k;
        if (j < QL_HIDDEN + 3) return chunk.weight[0] + 3 * k + (j - QL_HIDDEN);
        return j == QL_HIDDEN + 3 ? chunk.weight[QL_HIDDEN] + k : chunk.bias[QL_HIDDEN];
    }
};

#endif
