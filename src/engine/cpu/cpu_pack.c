/* Weights in the order in which the products read them, and what is left to do on the summed gradient (see cpu.h). */
#include "engine/cpu/cpu.h"

#include <string.h>

typedef struct packer {
    ql_cpu *cpu;
    int member, turn; /* matrices are dealt to the ranks that pack together, and in a rank to the members, in turn */
    int ranks, rank;
} packer;

static bool my_turn(packer *p)
{
    const int turn = p->turn++;
    return turn % p->ranks == p->rank && turn / p->ranks % p->cpu->members == p->member;
}

static void pack_dense(packer *p, const ql_dense *shape, const float *row_scale, double factor, const ql_packed *to)
{
    const ql_pack_task task = {
        p->cpu->parameters + shape->weight, row_scale, (float)factor, shape->out, shape->in, to->bf16};
    if (my_turn(p)) p->cpu->isa->pack_forward(&task, to->forward);
    if (to->reverse != NULL && my_turn(p)) p->cpu->isa->pack_reverse(&task, to->reverse);
}

static void pack_linear(packer *p, const ql_dense *shape, const ql_packed *packed)
{
    pack_dense(p, shape, NULL, 1.0, packed);
}

static void pack_block(packer *p, int index)
{
    ql_cpu *cpu = p->cpu;
    const ql_block *block = &cpu->layout->block[index];
    const double drop = cpu->angle.drop[index];
    if (!(drop > 0)) return;
    const float *gamma = cpu->parameters + block->gamma, *bias = cpu->parameters + block->up.bias;
    pack_linear(p, &block->down, &cpu->angle.down[index]);
    pack_linear(p, &block->mid, &cpu->angle.mid[index]);
    pack_dense(p, &block->up, gamma, drop, &cpu->angle.up[index]);
    if (!my_turn(p)) return;
    for (int32_t k = 0; k < block->width; ++k) cpu->up_bias[index][k] = (float)drop * gamma[k] * bias[k];
}

static void pack_sdf(packer *p)
{
    ql_cpu *cpu = p->cpu;
    const ql_dense *sdf = cpu->layout->sdf;
    for (int l = 1; l < QL_SDF_HIDDEN; ++l)
        pack_linear(p, &sdf[l], &(ql_packed){.forward = cpu->sdf.forward[l], .reverse = cpu->sdf.reverse[l]});
    if (p->member == 0) cpu->sdf.last_bias = cpu->parameters[sdf[QL_SDF_HIDDEN].bias];
    if (!my_turn(p)) return;
    for (int l = 0; l < QL_SDF_HIDDEN; ++l)
        memcpy(cpu->sdf.bias[l], cpu->parameters + sdf[l].bias, QL_SDF_WIDTH * sizeof(float));
    for (int k = 0; k < QL_SDF_WIDTH; ++k)
        for (int d = 0; d < 3; ++d) cpu->sdf.first[d][k] = cpu->parameters[sdf[0].weight + 3 * k + d];
    memcpy(cpu->sdf.last, cpu->parameters + sdf[QL_SDF_HIDDEN].weight, QL_SDF_WIDTH * sizeof(float));
}

void ql_cpu_pack(ql_cpu *cpu, int member)
{
    const bool together = cpu->common.base != NULL;
    packer p = {.cpu = cpu, .member = member, .ranks = 1};
    if (together) p.ranks = cpu->reduce.group->local_size;
    if (together) p.rank = cpu->reduce.group->local_rank;
    const ql_layout *layout = cpu->layout;
    ql_angle_model *angle = &cpu->angle;
    pack_sdf(&p);
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) pack_block(&p, b);
    pack_linear(&p, &layout->in, &(ql_packed){.forward = angle->in.forward});
    pack_linear(&p, &layout->widen, &angle->widen);
    pack_linear(&p, &layout->out_hidden, &angle->hidden);
    pack_linear(&p, &layout->h_tail.linear, &angle->h_tail);
    for (int k = 0; k < 4; ++k) pack_linear(&p, &layout->d_tail[k].linear, &angle->d_tail[k]);
    for (int k = 0; k < 3; ++k) pack_linear(&p, &layout->s_tail[k].linear, &angle->s_tail[k]);
}

void ql_cpu_bind_biases(ql_cpu *cpu)
{
    const ql_layout *layout = cpu->layout;
    ql_angle_model *angle = &cpu->angle;
    angle->parameters = cpu->parameters;
    angle->in.bias = cpu->parameters + layout->in.bias;
    angle->widen.bias = cpu->parameters + layout->widen.bias;
    angle->hidden.bias = cpu->parameters + layout->out_hidden.bias;
    angle->h_tail.bias = cpu->parameters + layout->h_tail.linear.bias;
    for (int k = 0; k < 4; ++k) angle->d_tail[k].bias = cpu->parameters + layout->d_tail[k].linear.bias;
    for (int k = 0; k < 3; ++k) angle->s_tail[k].bias = cpu->parameters + layout->s_tail[k].linear.bias;
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) {
        angle->down[b].bias = cpu->parameters + layout->block[b].down.bias;
        angle->mid[b].bias = cpu->parameters + layout->block[b].mid.bias;
        angle->up[b].bias = cpu->up_bias[b];
    }
}

/* With G = sum y'^T r in place of up's weights and B = sum y' in place of its bias: gamma' = s (sum_k W G + b B), W' =
 * gamma s G, b' = gamma s B. */
static void finish_block(ql_cpu *cpu, int index)
{
    const ql_block *block = &cpu->layout->block[index];
    const float drop = (float)cpu->angle.drop[index], *gamma = cpu->parameters + block->gamma;
    const float *weight = cpu->parameters + block->up.weight, *bias = cpu->parameters + block->up.bias;
    float *g = cpu->shard_gradient[0] + block->up.weight, *b = cpu->shard_gradient[0] + block->up.bias;
    float *gamma_gradient = cpu->shard_gradient[0] + block->gamma;
    for (int32_t m = 0; m < block->width; ++m, g += block->inner, weight += block->inner) {
        double sum[4] = {(double)bias[m] * (double)b[m]};
        const float scale = drop * gamma[m];
        for (int32_t k = 0; k < block->inner; k += 4)
            for (int j = 0; j < 4; ++j) {
                sum[j] += (double)weight[k + j] * (double)g[k + j];
                g[k + j] *= scale;
            }
        b[m] *= scale;
        gamma_gradient[m] = drop * (float)(sum[0] + sum[1] + (sum[2] + sum[3]));
    }
}

void ql_cpu_finish_gradient(ql_cpu *cpu, int member)
{
    for (int b = member; b < QL_BLOCK_COUNT; b += cpu->members) finish_block(cpu, b);
}
