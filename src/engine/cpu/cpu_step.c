/* One step of engine cpu (see cpu.h and the order in engine.h):
 *
 *     pack | angle network forward | per shard: surface points, smoothness, angle network backward; off-surface points | sum
 *
 * with a barrier at each bar. Forward has no sums over faces, so its chunks go to whoever is free; shards and parts of their
 * off-surface points do as well, since their sums are their own. The small pieces come last.
 *
 * In a group member 0 talks to the other ranks: the angles of all faces are gathered after the forward pass; the angle
 * network's gradient, nearly all of it, travels while the off-surface points are computed, the SDF network's at the end.
 */
#include "engine/cpu/cpu.h"

#include "base/clock.h"
#include "model/sample.h"

#define QL_REAL float
#include "model/point.h"

#include <string.h>
#include <time.h>

/* ---- time ---- */

/* Stages are counted in processor time of their thread; what a run takes beyond that is waiting, for other threads or for
 * a core. */
static double processor_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 ? (double)now.tv_sec + 1e-9 * (double)now.tv_nsec : 0;
}

static void begin_laps(ql_cpu_member *self)
{
    self->since = processor_s();
    self->seconds[QL_CPU_WAIT] -= ql_clock_s() - self->since;
}

static void end_laps(ql_cpu_member *self) { self->seconds[QL_CPU_WAIT] += ql_clock_s() - processor_s(); }

static void lap(ql_cpu_member *self, ql_cpu_stage stage)
{
    double now = processor_s();
    self->seconds[stage] += now - self->since;
    self->since = now;
}

static void restart_pieces(ql_cpu *cpu)
{
    for (int m = 0; m < cpu->members; ++m)
        for (int queue = 0; queue < QL_CPU_QUEUES; ++queue) atomic_store(&cpu->member[m].next[queue], 0);
}

static void meet(ql_cpu *cpu, int member)
{
    ql_team_barrier(cpu->team);
    if (member == 0) restart_pieces(cpu);
    ql_team_barrier(cpu->team);
    lap(&cpu->member[member], QL_CPU_WAIT);
}

/* Next of `count` pieces of work, or -1: first those of the member's own share, the same at each step, so that what it touched
 * first (and lies in its caches or in its memory node) comes back to it; then those that others have not got to. */
static int next_piece(ql_cpu *cpu, const ql_cpu_member *self, int queue, int count)
{
    const int members = cpu->members, own = (int)(self - cpu->member);
    for (int k = 0; k < members; ++k) {
        const int m = (own + k) % members;
        const int begin = (int)((int64_t)count * m / members), end = (int)((int64_t)count * (m + 1) / members);
        if (begin + atomic_load(&cpu->member[m].next[queue]) >= end) continue;
        const int piece = begin + atomic_fetch_add(&cpu->member[m].next[queue], 1);
        if (piece < end) return piece;
    }
    return -1;
}

/* ---- group ---- */

enum { SDF, ANGLE }; /* buckets */

/* Member 0 only. What goes wrong between the ranks ends the step, but not before all members have met at its end. */
static void note(ql_cpu *cpu, ql_status status)
{
    if (status == QL_OK || cpu->status != QL_OK) return;
    cpu->status = status;
    (void)snprintf(cpu->status_text, sizeof cpu->status_text, "%s", ql_error_text());
}

static ql_status noted(const ql_cpu *cpu)
{
    return cpu->status == QL_OK ? QL_OK : ql_error_set(cpu->status, __FILE__, __LINE__, "%s", cpu->status_text);
}

/* Refreshes the packed weights. Where they are in common no rank may still read the old ones. */
static void pack(ql_cpu *cpu, int member)
{
    const bool together = cpu->common.base != NULL;
    if (together) {
        if (member == 0) note(cpu, cpu->reduce.group->kind->node_meet(cpu->reduce.group));
        meet(cpu, member);
        lap(&cpu->member[member], QL_CPU_SHARE);
    }
    ql_cpu_pack(cpu, member);
    lap(&cpu->member[member], QL_CPU_PACK);
    meet(cpu, member);
    if (!together) return;
    if (member == 0) note(cpu, cpu->reduce.group->kind->node_meet(cpu->reduce.group));
    lap(&cpu->member[member], QL_CPU_SHARE);
    meet(cpu, member);
}

/* ---- SDF network ---- */

static void place_point(float *to, const double *from)
{
    for (int c = 0; c < 3; ++c) to[c] = (float)from[c];
}

static void surface_losses(ql_cpu *cpu, ql_sdf_work *work, int64_t begin, double *terms)
{
    const double *weight = cpu->weights->weight, faces = (double)cpu->surface_split.count;
    const double points = faces + (double)cpu->off_split.count;
    for (int32_t p = 0; p < work->rows; ++p) {
        const int64_t i = begin + p;
        const double share = cpu->setup.shares->align[i], theta = (double)cpu->theta[i];
        const ql_point_scale scale = {(float)(weight[QL_LOSS_SDF] / faces), 0,
                                      (float)(weight[QL_LOSS_EIKONAL] / points),
                                      (float)(weight[QL_LOSS_NORMAL] / faces), (float)(weight[QL_LOSS_ALIGN] * share)};
        ql_point_adjoint adjoint;
        ql_point_terms t =
            ql_point_surface(work->value[p], work->gradient + 3 * p, work->hessian + 6 * p, cpu->normals + 3 * i,
                             cpu->u + 3 * i, cpu->v + 3 * i, (float)cos(theta), (float)sin(theta), &scale, &adjoint);
        terms[QL_LOSS_SDF] += (double)t.sdf;
        terms[QL_LOSS_EIKONAL] += (double)t.eikonal;
        terms[QL_LOSS_NORMAL] += (double)t.normal;
        terms[QL_LOSS_ALIGN] += (double)t.align * share;
        work->value_adjoint[p] = adjoint.value;
        memcpy(work->gradient_adjoint + 3 * p, adjoint.gradient, sizeof adjoint.gradient);
        memcpy(work->hessian_adjoint + 6 * p, adjoint.hessian, sizeof adjoint.hessian);
        cpu->theta_adjoint[i] = adjoint.theta;
    }
}

static void off_losses(const ql_cpu *cpu, ql_sdf_work *work, double *terms)
{
    const double *weight = cpu->weights->weight, off = (double)cpu->off_split.count;
    const double points = off + (double)cpu->surface_split.count;
    const ql_point_scale scale = {0, (float)(weight[QL_LOSS_OFF] / off), (float)(weight[QL_LOSS_EIKONAL] / points), 0,
                                  0};
    for (int32_t p = 0; p < work->rows; ++p) {
        ql_point_adjoint adjoint;
        float e = expf(-100 * ql_abs(work->value[p]));
        ql_point_terms t = ql_point_off(work->value[p], e, work->gradient + 3 * p, &scale, &adjoint);
        terms[QL_LOSS_OFF] += (double)t.off;
        terms[QL_LOSS_EIKONAL] += (double)t.eikonal;
        work->value_adjoint[p] = adjoint.value;
        memcpy(work->gradient_adjoint + 3 * p, adjoint.gradient, sizeof adjoint.gradient);
    }
}

static void draw_off_point(const ql_cpu *cpu, int64_t index, float point[3])
{
    const ql_train_options *train = cpu->setup.train;
    const bool near = train->sampling == QL_SAMPLING_NEAR;
    if (cpu->setup.fixed_off_points != NULL) {
        memcpy(point, cpu->setup.fixed_off_points + 3 * index, 3 * sizeof *point);
    } else if (index < ql_sample_near_count(train->off_points, near, train->near_fraction)) {
        const ql_tables *tables = cpu->setup.tables;
        float offset[3];
        int32_t face = ql_sample_near(cpu->setup.key, cpu->step, (uint64_t)index, tables->face_count, offset);
        for (int c = 0; c < 3; ++c)
            point[c] = (float)(tables->points[3 * (int64_t)face + c] + tables->sigma[face] * (double)offset[c]);
    } else {
        ql_sample_uniform(cpu->setup.key, cpu->step, (uint64_t)index, near ? QL_NEAR_RANGE : QL_FAR_RANGE, point);
    }
}

/* Column sums of layer biases, W_0 and w_5 go to their places; value adjoints were summed there before. */
static void flush_columns(const ql_cpu *cpu, ql_sdf_work *work, float *gradient)
{
    const ql_dense *sdf = cpu->layout->sdf;
    float *column = work->column;
    for (int k = 0; k < QL_SDF_WIDTH; ++k) {
        for (int d = 0; d < 3; ++d) gradient[sdf[0].weight + 3 * k + d] += column[d * QL_SDF_WIDTH + k];
        for (int l = 0; l < QL_SDF_HIDDEN; ++l) gradient[sdf[l].bias + k] += column[(3 + l) * QL_SDF_WIDTH + k];
        gradient[sdf[QL_SDF_HIDDEN].weight + k] += column[(3 + QL_SDF_HIDDEN) * QL_SDF_WIDTH + k];
    }
    memset(column, 0, (4 + QL_SDF_HIDDEN) * QL_SDF_WIDTH * sizeof *column);
}

static void surface_shard(ql_cpu *cpu, ql_cpu_member *self, int shard)
{
    ql_sdf_work *work = &self->surface;
    float *gradient = cpu->shard_gradient[shard];
    for (int chunk = 0; chunk < cpu->surface_split.chunks; ++chunk) {
        const int64_t begin = ql_cpu_begin(&cpu->surface_split, shard, chunk);
        work->rows = (int32_t)(ql_cpu_begin(&cpu->surface_split, shard, chunk + 1) - begin);
        if (work->rows == 0) continue;
        memcpy(work->point, cpu->points + 3 * begin, (size_t)work->rows * 3 * sizeof *work->point);
        cpu->isa->sdf_forward(&cpu->sdf, work);
        surface_losses(cpu, work, begin, cpu->shard_terms[shard]);
        cpu->isa->sdf_backward(&cpu->sdf, work, gradient);
        for (int32_t p = 0; p < work->rows; ++p)
            gradient[cpu->layout->sdf[QL_SDF_HIDDEN].bias] += work->value_adjoint[p];
    }
    flush_columns(cpu, work, gradient);
    lap(self, QL_CPU_SURFACE);
}

/* Part k of all those of our shards. */
static void off_part(ql_cpu *cpu, ql_cpu_member *self, int k)
{
    ql_sdf_work *work = &self->off;
    float *gradient = cpu->off_gradient[k];
    const int shard = k / cpu->off_parts, part = k % cpu->off_parts;
    const int begin_chunk = cpu->off_split.chunks * part / cpu->off_parts,
              end_chunk = cpu->off_split.chunks * (part + 1) / cpu->off_parts;
    memset(gradient, 0, QL_SDF_PARAMETER_COUNT * sizeof *gradient);
    memset(cpu->off_terms[k], 0, sizeof cpu->off_terms[k]);
    for (int chunk = begin_chunk; chunk < end_chunk; ++chunk) {
        if (self == cpu->member) note(cpu, ql_reduce_poke(&cpu->reduce, ANGLE));
        const int64_t begin = ql_cpu_begin(&cpu->off_split, shard, chunk);
        work->rows = (int32_t)(ql_cpu_begin(&cpu->off_split, shard, chunk + 1) - begin);
        if (work->rows == 0) continue;
        for (int32_t p = 0; p < work->rows; ++p) draw_off_point(cpu, begin + p, work->point + 3 * p);
        cpu->isa->sdf_forward(&cpu->sdf, work);
        off_losses(cpu, work, cpu->off_terms[k]);
        cpu->isa->sdf_backward(&cpu->sdf, work, gradient);
        for (int32_t p = 0; p < work->rows; ++p)
            gradient[cpu->layout->sdf[QL_SDF_HIDDEN].bias] += work->value_adjoint[p];
    }
    flush_columns(cpu, work, gradient);
    lap(self, QL_CPU_OFF);
}

/* ---- smoothness and angle network ---- */

/* A face gathers all that depends on its own angle (see ql_point_smooth). Angles are few: double. */
static void smooth_shard(ql_cpu *cpu, ql_cpu_member *self, int shard)
{
    const ql_tables *tables = cpu->setup.tables;
    const double *share = cpu->setup.shares->smooth, weight = cpu->weights->weight[QL_LOSS_SMOOTH];
    const int64_t end = ql_cpu_begin(&cpu->angle_split, shard, cpu->angle_split.chunks);
    for (int64_t i = ql_cpu_begin(&cpu->angle_split, shard, 0); i < end; ++i) {
        double sum = 0, slope_sum = 0;
        for (int32_t k = tables->neighbour_ptr[i]; k < tables->neighbour_ptr[i + 1]; ++k) {
            const int32_t j = tables->neighbour[k];
            const double delta = (double)cpu->theta[j] + tables->transport[k] - (double)cpu->theta[i];
            if (isnan(tables->transport[k])) {
                sum -= 2;
                continue;
            }
            float slope;
            sum += (double)ql_point_smooth((float)cos(delta), (float)sin(delta), &slope);
            slope_sum += (share[i] + share[j]) * (double)slope;
        }
        cpu->shard_terms[shard][QL_LOSS_SMOOTH] += share[i] * sum;
        cpu->theta_adjoint[i] -= (float)(weight * slope_sum);
    }
    lap(self, QL_CPU_SMOOTH);
}

/* Record of a chunk when all are kept; `k` counts them over our shards. */
static float *kept_record(const ql_cpu *cpu, int k)
{
    return cpu->records + (size_t)cpu->slots.record_floats * (size_t)cpu->angle_split.rows * (size_t)k;
}

static float *record_of(const ql_cpu *cpu, const ql_cpu_member *self, int shard, int chunk)
{
    return cpu->keep ? kept_record(cpu, shard * cpu->angle_split.chunks + chunk) : self->record;
}

static void angle_forward_chunk(ql_cpu *cpu, ql_cpu_member *self, int shard, int chunk, float *record)
{
    const int64_t begin = ql_cpu_begin(&cpu->angle_split, shard, chunk);
    const int32_t rows = (int32_t)(ql_cpu_begin(&cpu->angle_split, shard, chunk + 1) - begin);
    if (rows == 0) return;
    cpu->isa->angle_forward(&cpu->angle, &cpu->slots, &self->angle, record, cpu->input + begin * QL_INPUT_LD, rows,
                            cpu->theta + begin);
}

static void angle_forward(ql_cpu *cpu, ql_cpu_member *self)
{
    const int chunks = cpu->angle_split.chunks;
    for (int k; (k = next_piece(cpu, self, QL_CPU_FACE_PIECES, cpu->reduce.count * chunks)) >= 0;)
        angle_forward_chunk(cpu, self, k / chunks, k % chunks, record_of(cpu, self, k / chunks, k % chunks));
    lap(self, QL_CPU_ANGLE_FORWARD);
}

static void angle_backward_shard(ql_cpu *cpu, ql_cpu_member *self, int shard)
{
    for (int chunk = 0; chunk < cpu->angle_split.chunks; ++chunk) {
        const int64_t begin = ql_cpu_begin(&cpu->angle_split, shard, chunk);
        const int32_t rows = (int32_t)(ql_cpu_begin(&cpu->angle_split, shard, chunk + 1) - begin);
        if (rows == 0) continue;
        const double flop = self->angle.flop;
        if (!cpu->keep) angle_forward_chunk(cpu, self, shard, chunk, self->record);
        self->angle.flop = flop; /* what is computed twice counts once */
        cpu->isa->angle_backward(&cpu->angle, &cpu->slots, &self->angle, record_of(cpu, self, shard, chunk),
                                 cpu->input + begin * QL_INPUT_LD, rows, cpu->theta_adjoint + begin,
                                 cpu->shard_gradient[shard]);
    }
    lap(self, QL_CPU_ANGLE_BACKWARD);
}

/* ---- the step ---- */

/* What fills the angle network's part of a shard's gradient, and the rest. */
static void face_work(ql_cpu *cpu, ql_cpu_member *self, int shard)
{
    memset(cpu->shard_gradient[shard], 0, QL_PARAMETER_COUNT * sizeof(float));
    memset(cpu->shard_terms[shard], 0, sizeof cpu->shard_terms[shard]);
    surface_shard(cpu, self, shard);
    smooth_shard(cpu, self, shard);
    angle_backward_shard(cpu, self, shard);
}

static void work_alone(ql_cpu *cpu, ql_cpu_member *self)
{
    const int shards = cpu->reduce.count;
    for (int k; (k = next_piece(cpu, self, QL_CPU_FACE_PIECES, shards)) >= 0;) face_work(cpu, self, k);
    for (int k; (k = next_piece(cpu, self, QL_CPU_OFF_PIECES, shards * cpu->off_parts)) >= 0;) off_part(cpu, self, k);
}

/* Member's part of the flat array, the same for every step. */
static int64_t part_begin(const ql_cpu *cpu, int member)
{
    return (int64_t)QL_PARAMETER_COUNT * member / cpu->members / 64 * 64;
}

static int64_t part_end(const ql_cpu *cpu, int member)
{
    return member + 1 == cpu->members ? QL_PARAMETER_COUNT : part_begin(cpu, member + 1);
}

static void touch_member(void *context, int member)
{
    ql_cpu *cpu = context;
    float *flat[] = {cpu->parameters, cpu->moment1, cpu->moment2};
    const int64_t begin = part_begin(cpu, member), bytes = (part_end(cpu, member) - begin) * (int64_t)sizeof(float);
    for (int k = 0; k < 3; ++k) memset(flat[k] + begin, 0, (size_t)bytes);
}

void ql_cpu_touch(ql_cpu *cpu) { ql_team_run(cpu->team, touch_member, cpu); }

/* Member's part of the sum over our shards, their off-surface points included. */
static void sum_bucket(ql_cpu *cpu, int member, int bucket)
{
    const int64_t first = cpu->reduce.bucket[bucket].begin, count = cpu->reduce.bucket[bucket].end - first;
    const int64_t begin = first + count * member / cpu->members / 64 * 64,
                  end = member + 1 == cpu->members ? first + count
                                                   : first + count * (member + 1) / cpu->members / 64 * 64;
    for (int shard = 0; bucket == SDF && shard < cpu->reduce.count; ++shard)
        cpu->isa->sum_arrays(cpu->shard_gradient[shard],
                             (const float *const *)(cpu->off_gradient + (ptrdiff_t)shard * cpu->off_parts),
                             cpu->off_parts, begin, end);
    ql_reduce_fill(&cpu->reduce, bucket, (const void *const *)cpu->shard_gradient, cpu->shard_gradient[0], begin, end);
    lap(&cpu->member[member], QL_CPU_SUM);
}

static void add_off_terms(ql_cpu *cpu)
{
    for (int k = 0; k < cpu->reduce.count * cpu->off_parts; ++k)
        for (int term = 0; term < QL_LOSS_COUNT; ++term)
            cpu->shard_terms[k / cpu->off_parts][term] += cpu->off_terms[k][term];
}

/* The last part of a step in a group; the order is the same on all ranks. */
static ql_status end_together(ql_cpu *cpu)
{
    ql_reduce *reduce = &cpu->reduce;
    add_off_terms(cpu);
    QL_TRY(ql_reduce_begin(reduce, SDF));
    QL_TRY(ql_reduce_terms_begin(reduce, (const double(*)[QL_LOSS_COUNT])cpu->shard_terms, cpu->base.vote));
    QL_TRY(ql_reduce_turn(reduce, ANGLE, cpu->shard_gradient[0]));
    QL_TRY(ql_reduce_turn(reduce, SDF, cpu->shard_gradient[0]));
    QL_TRY(ql_reduce_finish(reduce, ANGLE));
    return ql_reduce_finish(reduce, SDF);
}

static void work_together(ql_cpu *cpu, ql_cpu_member *self, int member)
{
    for (int shard; (shard = next_piece(cpu, self, QL_CPU_FACE_PIECES, cpu->reduce.count)) >= 0;)
        face_work(cpu, self, shard);
    meet(cpu, member);
    sum_bucket(cpu, member, ANGLE);
    meet(cpu, member);
    if (member == 0) note(cpu, ql_reduce_begin(&cpu->reduce, ANGLE));
    lap(self, QL_CPU_SHARE);
    for (int k; (k = next_piece(cpu, self, QL_CPU_OFF_PIECES, cpu->reduce.count * cpu->off_parts)) >= 0;)
        off_part(cpu, self, k);
}

static ql_status gather_theta(ql_cpu *cpu)
{
    for (int rank = 0; rank <= cpu->reduce.ranks; ++rank)
        cpu->reduce.border[rank] = ql_reduce_begin_of(&cpu->reduce, rank, cpu->angle_split.count);
    return ql_reduce_gather(&cpu->reduce, cpu->theta, 1, QL_NUMBER_FLOAT32);
}

static void evaluate_member(void *context, int member)
{
    ql_cpu *cpu = context;
    ql_cpu_member *self = &cpu->member[member];
    const bool alone = cpu->reduce.group == NULL;
    begin_laps(self);
    self->surface.flop = self->off.flop = self->angle.flop = 0;
    pack(cpu, member);
    angle_forward(cpu, self);
    meet(cpu, member);
    if (!alone) {
        if (member == 0) note(cpu, gather_theta(cpu));
        lap(self, QL_CPU_SHARE);
        meet(cpu, member);
        work_together(cpu, self, member);
    } else {
        work_alone(cpu, self);
    }
    meet(cpu, member);
    if (alone) sum_bucket(cpu, member, ANGLE);
    sum_bucket(cpu, member, SDF);
    meet(cpu, member);
    if (!alone) {
        if (member == 0) note(cpu, end_together(cpu));
        lap(self, QL_CPU_SHARE);
        meet(cpu, member);
    }
    ql_cpu_finish_gradient(cpu, member);
    lap(self, QL_CPU_SUM);
    end_laps(self);
}

static ql_status sum_terms(ql_cpu *cpu, double terms[QL_LOSS_COUNT])
{
    const double faces = (double)cpu->surface_split.count, off = (double)cpu->off_split.count;
    if (cpu->reduce.group == NULL) {
        add_off_terms(cpu);
        QL_TRY(ql_reduce_terms_begin(&cpu->reduce, (const double(*)[QL_LOSS_COUNT])cpu->shard_terms, cpu->base.vote));
    }
    QL_TRY(ql_reduce_terms_finish(&cpu->reduce, terms, &cpu->base.vote));
    terms[QL_LOSS_SDF] /= faces;
    terms[QL_LOSS_NORMAL] /= faces;
    terms[QL_LOSS_OFF] /= off;
    terms[QL_LOSS_EIKONAL] /= faces + off;
    terms[QL_LOSS_TOTAL] = ql_loss_total(cpu->weights, terms);
    return QL_OK;
}

static void set_drop(ql_cpu *cpu, bool train)
{
    const bool random = train && cpu->setup.train->stochastic_depth;
    for (int b = 0; b < QL_BLOCK_COUNT; ++b)
        cpu->angle.drop[b] =
            random ? ql_sample_drop(cpu->setup.key, cpu->step, (uint32_t)b, cpu->layout->block[b].drop_rate) : 1.0;
}

ql_status ql_cpu_evaluate(ql_cpu *cpu, int64_t step, const ql_loss_weights *weights, double terms[QL_LOSS_COUNT])
{
    cpu->step = (uint32_t)step;
    cpu->weights = weights;
    set_drop(cpu, true);
    ql_team_run(cpu->team, evaluate_member, cpu);
    cpu->flop = 0;
    for (int m = 0; m < cpu->members; ++m)
        cpu->flop += cpu->member[m].surface.flop + cpu->member[m].off.flop + cpu->member[m].angle.flop;
    QL_TRY(noted(cpu));
    return sum_terms(cpu, terms);
}

/* ---- Adam ---- */

enum { NORM_PARTS = 64 };

typedef struct apply_context {
    ql_cpu *cpu;
    double t, part[NORM_PARTS]; /* sums of squares of fixed parts, whoever computes them */
} apply_context;

static double norm_of(const apply_context *context)
{
    double sum = 0;
    for (int k = 0; k < NORM_PARTS; ++k) sum += context->part[k];
    return sqrt(sum);
}

static void apply_member(void *context, int member)
{
    apply_context *apply = context;
    ql_cpu *cpu = apply->cpu;
    const ql_train_options *train = cpu->setup.train;
    begin_laps(&cpu->member[member]);
    for (int k = member; k < NORM_PARTS; k += cpu->members)
        apply->part[k] = cpu->isa->squares(cpu->shard_gradient[0], (int64_t)QL_PARAMETER_COUNT * k / NORM_PARTS,
                                           (int64_t)QL_PARAMETER_COUNT * (k + 1) / NORM_PARTS);
    ql_team_barrier(cpu->team);
    cpu->isa->adam(apply->t, norm_of(apply), train->clip_norm, train->learning_rate, cpu->shard_gradient[0],
                   cpu->parameters, cpu->moment1, cpu->moment2, part_begin(cpu, member), part_end(cpu, member));
    lap(&cpu->member[member], QL_CPU_APPLY);
    end_laps(&cpu->member[member]);
}

double ql_cpu_apply(ql_cpu *cpu, int64_t step)
{
    apply_context context = {.cpu = cpu, .t = (double)(step + 1)};
    ql_team_run(cpu->team, apply_member, &context);
    return norm_of(&context);
}

/* ---- evaluation for output ---- */

static void theta_member(void *context, int member)
{
    ql_cpu *cpu = context;
    ql_cpu_member *self = &cpu->member[member];
    const int chunks = cpu->angle_split.chunks, pieces = cpu->reduce.count * chunks;
    begin_laps(self);
    pack(cpu, member);
    for (int k; (k = next_piece(cpu, self, QL_CPU_FACE_PIECES, pieces)) >= 0;) {
        /* nothing is read later: one record for all chunks of a member stays in cache, and most are never touched */
        float *record = !cpu->keep ? self->record : kept_record(cpu, cpu->members <= pieces ? member : k);
        angle_forward_chunk(cpu, self, k / chunks, k % chunks, record);
    }
    lap(self, QL_CPU_ANGLE_FORWARD);
    end_laps(self);
}

ql_status ql_cpu_theta(ql_cpu *cpu, double *theta)
{
    set_drop(cpu, false);
    restart_pieces(cpu);
    ql_team_run(cpu->team, theta_member, cpu);
    QL_TRY(gather_theta(cpu));
    for (int32_t i = 0; i < cpu->setup.tables->face_count; ++i) theta[i] = (double)cpu->theta[i];
    return QL_OK;
}

typedef struct field_context {
    ql_cpu *cpu;
    const double *points;
    int64_t count;
    double *value, *gradient, *hessian;
    int32_t rows; /* of a piece; the same pieces on any number of ranks */
    int64_t first, pieces;
} field_context;

static void copy_out(double *to, const float *from, int64_t begin, int32_t rows, int32_t columns)
{
    if (to == NULL) return;
    for (int64_t k = 0; k < (int64_t)rows * columns; ++k) to[begin * columns + k] = (double)from[k];
}

static void field_member(void *context, int member)
{
    field_context *field = context;
    ql_cpu *cpu = field->cpu;
    ql_sdf_work *work = field->hessian != NULL ? &cpu->member[member].surface : &cpu->member[member].off;
    begin_laps(&cpu->member[member]);
    pack(cpu, member);
    for (int64_t k; (k = next_piece(cpu, &cpu->member[member], QL_CPU_FACE_PIECES, (int)field->pieces)) >= 0;) {
        const int64_t begin = (field->first + k) * field->rows, left = field->count - begin;
        work->rows = left < field->rows ? (int32_t)left : field->rows;
        for (int32_t p = 0; p < work->rows; ++p) place_point(work->point + 3 * p, field->points + 3 * (begin + p));
        cpu->isa->sdf_forward(&cpu->sdf, work);
        copy_out(field->value, work->value, begin, work->rows, 1);
        copy_out(field->gradient, work->gradient, begin, work->rows, 3);
        copy_out(field->hessian, work->hessian, begin, work->rows, 6);
    }
    end_laps(&cpu->member[member]);
}

ql_status ql_cpu_field(ql_cpu *cpu, const double *points, int64_t count, double *value, double *gradient,
                       double *hessian)
{
    ql_reduce *reduce = &cpu->reduce;
    field_context context = {.cpu = cpu, .points = points, .count = count};
    context.value = value;
    context.gradient = gradient;
    context.hessian = hessian;
    context.rows = hessian != NULL ? QL_CPU_SURFACE_ROWS : QL_CPU_OFF_ROWS;
    const int64_t pieces = (count + context.rows - 1) / context.rows;
    context.first = pieces * reduce->rank / reduce->ranks;
    context.pieces = pieces * (reduce->rank + 1) / reduce->ranks - context.first;
    set_drop(cpu, false);
    ql_team_run(cpu->team, field_member, &context);
    for (int rank = 0; rank <= reduce->ranks; ++rank) {
        const int64_t begin = pieces * rank / reduce->ranks * context.rows;
        reduce->border[rank] = begin < count ? begin : count;
    }
    QL_TRY(ql_reduce_gather(reduce, value, 1, QL_NUMBER_FLOAT64));
    QL_TRY(ql_reduce_gather(reduce, gradient, 3, QL_NUMBER_FLOAT64));
    return ql_reduce_gather(reduce, hessian, 6, QL_NUMBER_FLOAT64);
}
