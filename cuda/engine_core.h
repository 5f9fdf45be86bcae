/* The engine over any machine: creation, a step, outputs, state. Instantiated twice: for the device (engine.cu), and for
 * the host emulation (host_engine.cpp), which tests run against engine ref.
 *
 * A machine has: available, budget; open, allocate, release; upload, download (complete at return); each, rows, gemm, zero;
 * enter, leave (named ranges); replay (a recorded sequence of launches); status (the first error since open). */
#ifndef QL_CUDA_ENGINE_CORE_H
#define QL_CUDA_ENGINE_CORE_H

#include "sequence_angle.h"
#include "sequence_sdf.h"

#include <new>

template <class Machine> struct ql_cuda_engine {
    ql_engine base; /* first: the seam's pointer is this one */
    ql_engine_setup setup;
    Machine m;
    ql_network n;
    void *device_memory;
    float *host[3], *field_point; /* parameters and moments for state(); points of a field call */
    double norm;                  /* of the last evaluate */

    static ql_cuda_engine *of(ql_engine *engine) { return reinterpret_cast<ql_cuda_engine *>(engine); }

    /* ---- life ---- */

    static ql_status memory(const ql_engine_setup *setup, int64_t *bytes)
    {
        ql_plan plan;
        QL_TRY(ql_plan_make(&plan, setup, Machine::budget(setup->engine)));
        *bytes = plan.bytes;
        return QL_OK;
    }

    static void destroy(ql_engine *engine)
    {
        if (engine == nullptr) return;
        ql_cuda_engine *e = of(engine);
        if (e->device_memory != nullptr) e->m.release(e->device_memory);
        for (float *array : e->host) ql_free(array);
        ql_free(e->field_point);
        e->~ql_cuda_engine();
        ql_free(e);
    }

    static ql_status create(ql_engine **engine, const ql_engine_setup *setup, const ql_engine_class *kind)
    {
        *engine = nullptr;
        void *raw = ql_memory_take(1, sizeof(ql_cuda_engine));
        if (raw == nullptr) return QL_FAIL(NO_MEMORY, "no memory for an engine");
        ql_cuda_engine *e = new (raw) ql_cuda_engine();
        e->base.kind = kind;
        e->setup = *setup;
        ql_status status = e->build();
        if (status != QL_OK) {
            destroy(&e->base);
            return status;
        }
        *engine = &e->base;
        return QL_OK;
    }

    ql_status build()
    {
        ql_plan plan;
        for (float *&array : host) {
            array = static_cast<float *>(ql_memory_take(QL_PADDED_COUNT, sizeof(float)));
            if (array == nullptr) return QL_FAIL(NO_MEMORY, "no memory for the parameters");
        }
        QL_TRY(m.open());
        QL_TRY(ql_plan_make(&plan, &setup, Machine::budget(setup.engine)));
        QL_TRY(m.allocate(&device_memory, static_cast<size_t>(plan.bytes)));
        ql_arena arena = {static_cast<unsigned char *>(device_memory), static_cast<size_t>(plan.bytes), 0};
        if (!ql_network_lay_out(&n, &plan, &setup, &arena)) return QL_FAIL(INTERNAL, "engine cuda: arena too small");
        field_point = static_cast<float *>(ql_memory_take(static_cast<size_t>(plan.surface_rows) * 3, sizeof(float)));
        if (field_point == nullptr) return QL_FAIL(NO_MEMORY, "no memory for the points of a field");
        QL_TRY(upload_tables());
        ql_fold_table fold;
        ql_fold_table_build(&fold);
        m.upload(n.angle.fold, &fold, sizeof fold);
        m.each(QL_BLOCK_COUNT, ql_drop_ones{n.ones});
        return upload_places();
    }

    ql_status upload_places()
    {
        int32_t *place =
            static_cast<int32_t *>(ql_memory_take(static_cast<size_t>(n.angle.columns.total), sizeof *place));
        if (place == nullptr) return QL_FAIL(NO_MEMORY, "no memory for a table");
        ql_angle_columns columns;
        ql_angle_columns_build(&columns, place);
        m.upload(n.angle.column_place, place, static_cast<size_t>(columns.total) * sizeof *place);
        ql_free(place);
        return m.status();
    }

    /* ---- tables ---- */

    /* rows x width as float32; rows behind the end repeat the last one. */
    static void fill(float *to, int to_ld, const double *from, int width, int64_t count, int64_t rows)
    {
        for (int64_t i = 0; i < rows; ++i)
            for (int c = 0; c < width; ++c)
                to[i * to_ld + c] = static_cast<float>(from[(i < count ? i : count - 1) * width + c]);
    }

    void upload_doubles(const float *to, float *buffer, const double *from, int width, int64_t count, int64_t rows)
    {
        fill(buffer, width, from, width, count, rows);
        m.upload(const_cast<float *>(to), buffer, static_cast<size_t>(rows * width) * sizeof(float));
    }

    ql_status upload_tables()
    {
        const ql_tables *t = setup.tables;
        const ql_device_tables &d = n.tables;
        int angle = n.plan.angle_chunks * n.plan.angle_rows, surface = n.plan.surface_chunks * n.plan.surface_rows;
        int64_t faces = t->face_count, rows = angle > surface ? angle : surface, pairs = t->neighbour_ptr[faces];
        int64_t largest = QL_ANGLE_INPUTS * rows > pairs ? QL_ANGLE_INPUTS * rows : pairs;
        float *buffer = static_cast<float *>(ql_memory_take(static_cast<size_t>(largest), sizeof(float)));
        if (buffer == nullptr) return QL_FAIL(NO_MEMORY, "no memory to upload the tables of %d faces", t->face_count);
        const struct {
            const float *to;
            const double *from;
        } threes[] = {{d.points, t->points}, {d.normals, t->normals}, {d.u, t->u}, {d.v, t->v}};
        for (const auto &table : threes) upload_doubles(table.to, buffer, table.from, 3, faces, rows);
        for (int k = 0; k < 4; ++k) fill(buffer + 3 * k, QL_ANGLE_INPUTS, threes[k].from, 3, faces, rows);
        m.upload(const_cast<float *>(d.inputs), buffer, static_cast<size_t>(QL_ANGLE_INPUTS * rows) * sizeof(float));
        upload_doubles(d.align, buffer, setup.shares->align, 1, faces, faces);
        upload_doubles(d.smooth, buffer, setup.shares->smooth, 1, faces, faces);
        if (d.sigma != nullptr) upload_doubles(d.sigma, buffer, t->sigma, 1, faces, faces);
        upload_doubles(d.transport, buffer, t->transport, 1, pairs, pairs);
        ql_free(buffer);
        m.upload(const_cast<int32_t *>(d.neighbour_ptr), t->neighbour_ptr, static_cast<size_t>(faces + 1) * 4);
        m.upload(const_cast<int32_t *>(d.neighbour), t->neighbour, static_cast<size_t>(pairs) * 4);
        if (d.fixed_off_points != nullptr)
            m.upload(const_cast<float *>(d.fixed_off_points), setup.fixed_off_points,
                     static_cast<size_t>(n.plan.off_points) * 3 * sizeof(float));
        return m.status();
    }

    /* ---- a step ---- */

    void fill_step(ql_step *step, int64_t number, const ql_loss_weights *weights) const
    {
        const ql_layout *layout = ql_layout_get();
        step->key = setup.key;
        step->number = static_cast<uint32_t>(number);
        for (int b = 0; b < QL_BLOCK_COUNT; ++b)
            step->drop[b] = setup.train->stochastic_depth
                                ? static_cast<float>(ql_sample_drop(setup.key, step->number, static_cast<uint32_t>(b),
                                                                    layout->block[b].drop_rate))
                                : 1.0f;
        for (int term = 0; term < QL_LOSS_COUNT; ++term) step->weight[term] = weights->weight[term];
    }

    void launch_step()
    {
        ql_sdf_sequence<Machine> sdf(m, n);
        ql_angle_sequence<Machine> angle(m, n);
        const float *drop = n.step->drop; /* an address on the device */
        m.zero(n.gradient, QL_PADDED_COUNT * sizeof(float));
        sdf.prepare();
        angle.prepare(drop);
        for (int chunk = 0; chunk < n.plan.angle_chunks; ++chunk) angle.forward(chunk);
        int slices = sdf.smooth(sdf.off(sdf.surface(0)));
        m.rows(QL_LOSS_COUNT, ql_loss_finish{n.term_partial, n.report, slices});
        for (int chunk = n.plan.angle_chunks - 1; chunk >= 0; --chunk) {
            if (chunk < n.plan.angle_chunks - 1) angle.forward(chunk); /* the last one is still there */
            angle.backward(chunk);
        }
        angle.finish(drop);
        m.rows(QL_NORM_SLICES, ql_norm_partial{n.gradient, n.norm_partial});
        m.rows(1, ql_norm_finish{n.norm_partial, n.report});
    }

    static ql_status evaluate(ql_engine *engine, int64_t number, const ql_loss_weights *weights,
                              double terms[QL_LOSS_COUNT])
    {
        ql_cuda_engine *e = of(engine);
        ql_step step;
        ql_report report = {};
        memset(&step, 0, sizeof step);
        e->fill_step(&step, number, weights);
        e->m.upload(e->n.step, &step, sizeof step);
        e->m.replay([e] { e->launch_step(); });
        e->m.download(&report, e->n.report, sizeof report);
        QL_TRY(QL_CHAIN(e->m.status(), "step %lld", static_cast<long long>(number)));
        memcpy(terms, report.terms, sizeof report.terms);
        terms[QL_LOSS_TOTAL] = ql_loss_total(weights, terms);
        e->norm = sqrt(report.squares);
        return QL_OK;
    }

    /* The norm came with the terms, so this only launches: the device works on while the host looks at the terms. */
    static ql_status apply(ql_engine *engine, int64_t number, double *norm)
    {
        ql_cuda_engine *e = of(engine);
        const ql_train_options *train = e->setup.train;
        *norm = e->norm;
        ql_adam adam = ql_adam_at(static_cast<double>(number + 1), e->norm, train->clip_norm, train->learning_rate);
        e->m.each(QL_PADDED_COUNT, ql_adam_step{adam, e->n.gradient, e->n.parameters, e->n.moment1, e->n.moment2});
        return e->m.status();
    }

    /* ---- outputs ---- */

    /* Downloads a padded flat array and closes its gap. */
    void fetch_flat(float *to, const float *from)
    {
        m.download(to, from, QL_PADDED_COUNT * sizeof(float));
        memmove(to + QL_SDF_PARAMETER_COUNT, to + QL_SDF_PARAMETER_COUNT + QL_GAP,
                (QL_PARAMETER_COUNT - QL_SDF_PARAMETER_COUNT) * sizeof(float));
    }

    static ql_status gradient(ql_engine *engine, double *gradient)
    {
        ql_cuda_engine *e = of(engine);
        e->fetch_flat(e->host[0], e->n.gradient);
        for (int i = 0; i < QL_PARAMETER_COUNT; ++i) gradient[i] = e->host[0][i];
        return e->m.status();
    }

    static ql_status theta(ql_engine *engine, double *theta)
    {
        ql_cuda_engine *e = of(engine);
        ql_angle_sequence<Machine> angle(e->m, e->n);
        int64_t faces = e->n.plan.faces;
        angle.prepare(e->n.ones);
        for (int chunk = 0; chunk < e->n.plan.angle_chunks; ++chunk) angle.forward(chunk);
        float *buffer = static_cast<float *>(ql_memory_take(static_cast<size_t>(faces), sizeof(float)));
        if (buffer == nullptr) return QL_FAIL(NO_MEMORY, "no memory for %d angles", e->n.plan.faces);
        e->m.download(buffer, e->n.theta, static_cast<size_t>(faces) * sizeof(float));
        for (int64_t i = 0; i < faces; ++i) theta[i] = buffer[i];
        ql_free(buffer);
        return e->m.status();
    }

    void fetch(double *to, const float *from, int64_t count)
    {
        if (to == nullptr) return;
        const int64_t most = 3 * static_cast<int64_t>(n.plan.surface_rows);
        for (int64_t at = 0; at < count; at += most) {
            int64_t now = count - at < most ? count - at : most;
            m.download(field_point, from + at, static_cast<size_t>(now) * sizeof(float));
            for (int64_t i = 0; i < now; ++i) to[at + i] = field_point[i];
        }
    }

    static ql_status field(ql_engine *engine, const double *points, int64_t count, double *value, double *gradient,
                           double *hessian)
    {
        ql_cuda_engine *e = of(engine);
        ql_sdf_sequence<Machine> sdf(e->m, e->n);
        ql_sdf_chunk chunk = e->n.surface;
        chunk.point = e->n.off_point;
        sdf.prepare();
        for (int64_t at = 0; at < count; at += chunk.rows) {
            int64_t now = count - at < chunk.rows ? count - at : chunk.rows;
            fill(e->field_point, 3, points + 3 * at, 3, now, chunk.rows);
            e->m.upload(e->n.off_point, e->field_point, static_cast<size_t>(chunk.rows) * 3 * sizeof(float));
            sdf.outputs(chunk);
            e->fetch(value != nullptr ? value + at : nullptr, chunk.value, now);
            e->fetch(gradient != nullptr ? gradient + 3 * at : nullptr, chunk.gradient, 3 * now);
            e->fetch(hessian != nullptr ? hessian + 6 * at : nullptr, chunk.hessian, 6 * now);
        }
        return e->m.status();
    }

    /* ---- state ---- */

    static ql_status state(ql_engine *engine, ql_engine_state *state)
    {
        ql_cuda_engine *e = of(engine);
        const float *from[] = {e->n.parameters, e->n.moment1, e->n.moment2};
        for (int k = 0; k < 3; ++k) e->fetch_flat(e->host[k], from[k]);
        *state = ql_engine_state{QL_FLOAT32, e->host[0], e->host[1], e->host[2]};
        return e->m.status();
    }

    static ql_status set_state(ql_engine *engine, const ql_engine_state *state)
    {
        ql_cuda_engine *e = of(engine);
        float *to[] = {e->n.parameters, e->n.moment1, e->n.moment2};
        const void *from[] = {state->parameters, state->moment1, state->moment2};
        for (int k = 0; k < 3; ++k) {
            float *flat = e->host[k];
            for (int i = QL_PARAMETER_COUNT - 1; i >= 0; --i) /* downwards: `from` may be our own view */
                flat[ql_padded(i)] = state->type == QL_FLOAT64
                                         ? static_cast<float>(static_cast<const double *>(from[k])[i])
                                         : static_cast<const float *>(from[k])[i];
            memset(flat + QL_SDF_PARAMETER_COUNT, 0, QL_GAP * sizeof(float));
            memset(flat + QL_PARAMETER_COUNT + QL_GAP, 0,
                   (QL_PADDED_COUNT - QL_PARAMETER_COUNT - QL_GAP) * sizeof(float));
            e->m.upload(to[k], flat, QL_PADDED_COUNT * sizeof(float));
        }
        return e->m.status();
    }

    static double flop(const ql_engine *engine)
    {
        const ql_cuda_engine *e = reinterpret_cast<const ql_cuda_engine *>(engine);
        return ql_engine_flop_formula(e->n.plan.faces, e->n.plan.off_points);
    }
};

#endif
