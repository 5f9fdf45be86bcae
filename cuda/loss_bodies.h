/* Off-surface points, the loss and its adjoints, norm and Adam: bodies over points, faces and parameters. The formulas are
 * those of model/point.h and model/sample.h; here is only who reads and writes what. No atomics: each face gathers, sums
 * are over fixed slices in a fixed order. */
#ifndef QL_CUDA_LOSS_BODIES_H
#define QL_CUDA_LOSS_BODIES_H

#include "sdf_bodies.h"

/* each(count): off-surface point first + i. */
struct ql_draw_off {
    ql_device_tables tables;
    const ql_step *step;
    float *point;
    int first;

    double bytes() const { return 12; }

    QL_BODY void operator()(int64_t i) const
    {
        int64_t index = first + i;
        float draw[3];
        if (tables.fixed_off_points != nullptr) {
            for (int c = 0; c < 3; ++c) point[3 * i + c] = tables.fixed_off_points[3 * index + c];
        } else if (index < tables.near_count) {
            uint64_t at = static_cast<uint64_t>(index);
            int64_t face = ql_sample_near(step->key, step->number, at, tables.face_count, draw);
            for (int c = 0; c < 3; ++c) point[3 * i + c] = tables.points[3 * face + c] + tables.sigma[face] * draw[c];
        } else {
            ql_sample_uniform(step->key, step->number, static_cast<uint64_t>(index), tables.range, draw);
            for (int c = 0; c < 3; ++c) point[3 * i + c] = draw[c];
        }
    }
};

/* Points per slice of the loss sums: one for each lane of a warp. */
enum { QL_TERM_ROWS = 32 };

/* rows(rows / 32): terms and adjoints of 32 surface points; first: face of the chunk's first point. */
struct ql_loss_surface {
    ql_sdf_chunk chunk;
    ql_device_tables tables;
    const ql_step *step;
    const float *theta;
    float *theta_adjoint;
    double *partial; /* slices x LOSS_COUNT */
    int first;

    double bytes() const { return 32.0 * (2 * 40 + 36 + 12); }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        double sum[4] = {0, 0, 0, 0};
        for (int lane = team.lane(); lane < QL_TERM_ROWS; lane += Team::SIZE) point(slice * QL_TERM_ROWS + lane, sum);
        double faces = tables.face_count, points = faces + tables.off_count;
        for (int j = 0; j < 4; ++j) sum[j] = team.sum(sum[j]);
        if (team.lane() > 0) return;
        double *out = partial + slice * QL_LOSS_COUNT;
        out[QL_LOSS_SDF] = sum[0] / faces;
        out[QL_LOSS_EIKONAL] = sum[1] / points;
        out[QL_LOSS_NORMAL] = sum[2] / faces;
        out[QL_LOSS_ALIGN] = sum[3];
        out[QL_LOSS_OFF] = out[QL_LOSS_SMOOTH] = 0;
    }

    QL_BODY void point(int64_t p, double sum[4]) const
    {
        int64_t i = first + p;
        ql_point_adjoint adjoint;
        if (p >= chunk.count) {
            chunk.value_adjoint[p] = 0;
            for (int c = 0; c < 3; ++c) chunk.gradient_adjoint[3 * p + c] = 0;
            for (int j = 0; j < 6; ++j) chunk.hessian_adjoint[6 * p + j] = 0;
            return;
        }
        double faces = tables.face_count, points = faces + tables.off_count;
        const double *weight = step->weight;
        ql_point_scale scale = {static_cast<float>(weight[QL_LOSS_SDF] / faces), 0,
                                static_cast<float>(weight[QL_LOSS_EIKONAL] / points),
                                static_cast<float>(weight[QL_LOSS_NORMAL] / faces),
                                static_cast<float>(weight[QL_LOSS_ALIGN]) * tables.align[i]};
        float sine, cosine;
        ql_sine_cosine(theta[i], &sine, &cosine);
        ql_point_terms terms =
            ql_point_surface(chunk.value[p], chunk.gradient + 3 * p, chunk.hessian + 6 * p, tables.normals + 3 * i,
                             tables.u + 3 * i, tables.v + 3 * i, cosine, sine, &scale, &adjoint);
        sum[0] += terms.sdf;
        sum[1] += terms.eikonal;
        sum[2] += terms.normal;
        sum[3] += static_cast<double>(terms.align) * tables.align[i];
        theta_adjoint[i] = adjoint.theta;
        chunk.value_adjoint[p] = adjoint.value;
        for (int c = 0; c < 3; ++c) chunk.gradient_adjoint[3 * p + c] = adjoint.gradient[c];
        for (int j = 0; j < 6; ++j) chunk.hessian_adjoint[6 * p + j] = adjoint.hessian[j];
    }
};

/* rows(rows / 32): the same for off-surface points. */
struct ql_loss_off {
    ql_sdf_chunk chunk;
    const ql_step *step;
    double *partial;
    int face_count, off_count;

    double bytes() const { return 32.0 * 32; }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        double sum[2] = {0, 0}, off = off_count, points = off + face_count;
        for (int lane = team.lane(); lane < QL_TERM_ROWS; lane += Team::SIZE) point(slice * QL_TERM_ROWS + lane, sum);
        for (int j = 0; j < 2; ++j) sum[j] = team.sum(sum[j]);
        if (team.lane() > 0) return;
        double *out = partial + slice * QL_LOSS_COUNT;
        for (int term = 0; term < QL_LOSS_COUNT; ++term) out[term] = 0;
        out[QL_LOSS_OFF] = sum[0] / off;
        out[QL_LOSS_EIKONAL] = sum[1] / points;
    }

    QL_BODY void point(int64_t p, double sum[2]) const
    {
        ql_point_adjoint adjoint;
        if (p >= chunk.count) {
            chunk.value_adjoint[p] = 0;
            for (int c = 0; c < 3; ++c) chunk.gradient_adjoint[3 * p + c] = 0;
            return;
        }
        double off = off_count, points = off + face_count;
        ql_point_scale scale = {0, static_cast<float>(step->weight[QL_LOSS_OFF] / off),
                                static_cast<float>(step->weight[QL_LOSS_EIKONAL] / points), 0, 0};
        float f = chunk.value[p];
        ql_point_terms terms = ql_point_off(f, expf(-100 * fabsf(f)), chunk.gradient + 3 * p, &scale, &adjoint);
        sum[0] += terms.off;
        sum[1] += terms.eikonal;
        chunk.value_adjoint[p] = adjoint.value;
        for (int c = 0; c < 3; ++c) chunk.gradient_adjoint[3 * p + c] = adjoint.gradient[c];
    }
};

/* rows(own / 32, rounded up): each of our own faces, first .. first + own, gathers what depends on its own angle; adds to theta' of E_align. */
struct ql_loss_smooth {
    ql_device_tables tables;
    const ql_step *step;
    const float *theta;
    float *theta_adjoint;
    double *partial;
    int first, own;

    double bytes() const { return 32.0 * (3 * 16 + 20); }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        double sum = 0;
        for (int lane = team.lane(); lane < QL_TERM_ROWS; lane += Team::SIZE) {
            int64_t i = slice * QL_TERM_ROWS + lane;
            if (i < own) sum += face(first + i);
        }
        sum = team.sum(sum);
        if (team.lane() > 0) return;
        double *out = partial + slice * QL_LOSS_COUNT;
        for (int term = 0; term < QL_LOSS_COUNT; ++term) out[term] = 0;
        out[QL_LOSS_SMOOTH] = sum;
    }

    QL_BODY double face(int64_t i) const
    {
        float sum = 0, slopes = 0;
        for (int32_t k = tables.neighbour_ptr[i]; k < tables.neighbour_ptr[i + 1]; ++k) {
            int32_t j = tables.neighbour[k];
            float rho = tables.transport[k], sine, cosine, slope;
            if (rho != rho) { /* a degenerate face: a constant (see ql_point_smooth) */
                sum -= 2;
                continue;
            }
            ql_sine_cosine((theta[j] - theta[i]) + rho, &sine, &cosine);
            sum += ql_point_smooth(cosine, sine, &slope);
            slopes += (tables.smooth[i] + tables.smooth[j]) * slope;
        }
        theta_adjoint[i] -= static_cast<float>(step->weight[QL_LOSS_SMOOTH]) * slopes;
        return static_cast<double>(tables.smooth[i]) * sum;
    }
};

enum { QL_NORM_ROWS = 2048, QL_NORM_SLICES = (QL_PADDED_COUNT + QL_NORM_ROWS - 1) / QL_NORM_ROWS };

/* rows(NORM_SLICES): squares of a slice of the gradient. */
struct ql_norm_partial {
    const float *gradient;
    double *partial;

    double bytes() const { return 4 * QL_NORM_ROWS; }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        double sum = 0;
        int64_t end = (slice + 1) * QL_NORM_ROWS;
        if (end > QL_PADDED_COUNT) end = QL_PADDED_COUNT;
        for (int64_t i = slice * QL_NORM_ROWS + team.lane(); i < end; i += Team::SIZE)
            sum += static_cast<double>(gradient[i]) * gradient[i];
        sum = team.sum(sum);
        if (team.lane() == 0) partial[slice] = sum;
    }
};

/* rows(LOSS_COUNT + 1): the terms, the sum of squares. */
struct ql_report_finish {
    const double *term_partial, *norm_partial;
    ql_report *report;
    int term_slices;

    double bytes() const { return (8.0 * QL_NORM_SLICES + 8.0 * QL_LOSS_COUNT * term_slices) / (QL_LOSS_COUNT + 1); }

    template <class Team> QL_BODY void operator()(int64_t which, const Team &team) const
    {
        const bool term = which < QL_LOSS_COUNT;
        const double *from = term ? term_partial + which : norm_partial;
        const int count = term ? term_slices : QL_NORM_SLICES, step = term ? QL_LOSS_COUNT : 1;
        double sum = 0;
        for (int64_t s = team.lane(); s < count; s += Team::SIZE) sum += from[s * step];
        sum = team.sum(sum);
        if (team.lane() > 0) return;
        if (term)
            report->terms[which] = which == QL_LOSS_TOTAL ? 0 : sum;
        else
            report->squares = sum;
    }
};

/* each(1): the next of the steps that were sent ahead begins. */
struct ql_step_begin {
    const ql_ahead *ahead;
    ql_step *step;

    double bytes() const { return 2 * sizeof *step; }
    QL_BODY void operator()(int64_t) const { *step = ahead->step[ahead->next]; }
};

/* each(1): what it leaves, and its clip. */
struct ql_step_end {
    ql_ahead *ahead;
    const ql_step *step;
    const ql_report *report;

    double bytes() const { return 2 * sizeof *report + sizeof *step; }

    QL_BODY void operator()(int64_t) const
    {
        ahead->report[ahead->next] = *report;
        ahead->adam = step->adam;
        ahead->adam.clip = ql_adam_clip(sqrt(report->squares), step->clip_norm);
        ahead->next++;
    }
};

/* each(PADDED_COUNT): clip and Adam; the coefficients from the host, or (`ahead`) from the step's end. */
struct ql_adam_step {
    ql_adam given;
    const ql_ahead *ahead;
    const float *gradient;
    float *parameters, *moment1, *moment2;

    double bytes() const { return 28; }

    QL_BODY void operator()(int64_t i) const
    {
        const ql_adam adam = ahead != nullptr ? ahead->adam : given;
        float p = parameters[i], m = moment1[i], v = moment2[i];
        ql_adam_update(&adam, gradient[i], &p, &m, &v);
        parameters[i] = p;
        moment1[i] = m;
        moment2[i] = v;
    }
};

#endif
