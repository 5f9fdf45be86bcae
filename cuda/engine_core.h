/* The engine over any machine: creation, a step, outputs, state. Instantiated twice: for the device (engine.cu), and for
 * the host emulation (host_engine.cpp), which tests run against engine ref.
 *
 * A machine has: available, budget; open, allocate, release; block_open, block_send, block_close (the tables' way to the
 * device, from any thread, without a machine) and block_wait; upload, download (complete at return); each, rows, gemm, zero;
 * enter, leave (named ranges); aside (launches beside what follows, if has_aside), meet (both have ended); replay (a recorded sequence of launches), forget (what was recorded); device (who it is, what it took); status (the first
 * error since open: after it everything does nothing), keep (an error of others that is one of ours). */
#ifndef QL_CUDA_ENGINE_CORE_H
#define QL_CUDA_ENGINE_CORE_H

#include "sequence_angle.h"
#include "sequence_sdf.h"
#include "sharing.h"

#include <new>

/* What `prepare` makes and `create` takes over: the tables on their way, or there. */
struct ql_engine_upload {
    ql_table_block block;
};

template <class Machine> struct ql_cuda_engine {
    ql_engine base; /* first: the seam's pointer is this one */
    ql_engine_setup setup;
    Machine m;
    ql_network n;
    ql_table_block block; /* the tables */
    ql_sharing<Machine> sharing;
    int near_slices; /* of loss terms that come before those of the off-surface points */
    int term_slices; /* with those */
    void *device_memory;
    float *host[3], *field_point; /* parameters and moments for state(); points of a field call */
    double norm;                  /* of the last evaluate */

    static ql_cuda_engine *of(ql_engine *engine) { return reinterpret_cast<ql_cuda_engine *>(engine); }

    /* ---- life ---- */

    static ql_share share_of(const ql_engine_setup *setup)
    {
        return setup->group != nullptr ? ql_share{setup->group->rank, setup->group->size} : ql_share{0, 1};
    }

    static bool in_group(const ql_engine_setup *setup) { return share_of(setup).ranks > 1; }

    static ql_status memory(const ql_engine_setup *setup, int64_t *bytes)
    {
        ql_plan plan;
        QL_TRY(ql_plan_make(&plan, setup, share_of(setup), Machine::budget(setup->engine)));
        *bytes = plan.bytes;
        return QL_OK;
    }

    static void destroy(ql_engine *engine)
    {
        if (engine == nullptr) return;
        ql_cuda_engine *e = of(engine);
        e->m.forget();
        e->sharing.close();
        if (e->device_memory != nullptr) e->m.release(e->device_memory);
        Machine::block_close(&e->block);
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
        if (in_group(setup)) status = ql_comm_agree(setup->group, status);
        if (status == QL_OK) status = e->sharing.open(e->m, setup->group, e->n.plan);
        if (status != QL_OK) {
            destroy(&e->base);
            return status;
        }
        *engine = &e->base;
        return QL_OK;
    }

    ql_status build()
    {
        for (float *&array : host) {
            array = static_cast<float *>(ql_memory_take(QL_PADDED_COUNT, sizeof(float)));
            if (array == nullptr) return QL_FAIL(NO_MEMORY, "no memory for the parameters");
        }
        QL_TRY(m.open());
        if (setup.upload != nullptr) {
            block = setup.upload->block;
            setup.upload->block = {};
        } else {
            QL_TRY(send_tables(&block, &setup));
        }
        ql_plan plan;
        QL_TRY(take_memory(&plan));
        ql_arena arena = {static_cast<unsigned char *>(device_memory), static_cast<size_t>(arena_bytes(&plan)), 0};
        if (!ql_network_lay_out(&n, &plan, &arena)) return QL_FAIL(INTERNAL, "engine cuda: arena too small");
        field_point = static_cast<float *>(ql_memory_take(static_cast<size_t>(plan.surface_rows) * 3, sizeof(float)));
        if (field_point == nullptr) return QL_FAIL(NO_MEMORY, "no memory for the points of a field");
        const ql_table_places places = ql_table_places_of(&setup);
        n.tables = ql_tables_view(static_cast<const float *>(block.device), &places, &setup);
        m.block_wait(block);
        m.each(static_cast<int64_t>(plan.angle_chunks) * plan.angle_rows * QL_ANGLE_INPUTS,
               ql_fill_inputs{n.tables, n.inputs, plan.first, plan.own});
        ql_fold_table fold;
        ql_fold_table_build(&fold);
        m.upload(n.angle.fold, &fold, sizeof fold);
        m.each(QL_BLOCK_COUNT, ql_drop_ones{n.ones});
        return upload_places();
    }

    /* ---- memory ---- */

    static int64_t arena_bytes(const ql_plan *plan) { return plan->bytes - plan->table_bytes; }

    /* The best plan for what is free. Others use the device too: what was free a moment ago may be gone, then the next
     * smaller plan has its turn. */
    ql_status take_memory(ql_plan *plan)
    {
        int64_t budget = Machine::budget(setup.engine);
        if (setup.engine->memory_mb == 0 && budget < INT64_MAX - block.bytes) budget += block.bytes; /* taken already */
        for (;;) {
            QL_TRY(ql_plan_make(plan, &setup, share_of(&setup), budget));
            ql_status status = m.allocate(&device_memory, static_cast<size_t>(arena_bytes(plan)));
            if (status == QL_OK) break;
            if (status != QL_STATUS_NO_MEMORY) return status;
            QL_INFO("engine cuda: %d faces: %.2f GB were not to be had, looking for less", plan->faces,
                    static_cast<double>(plan->bytes) / 1e9);
            budget = plan->bytes - 1;
        }
        if (plan->bytes == plan->keep_bytes) return QL_OK;
        char text[128];
        ql_plan_describe(plan, text, sizeof text);
        QL_INFO("engine cuda: %d faces would take %.2f GB, there are %.2f GB: %s", plan->faces,
                static_cast<double>(plan->keep_bytes) / 1e9, static_cast<double>(budget) / 1e9, text);
        return QL_OK;
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

    static ql_status send_tables(ql_table_block *block, const ql_engine_setup *setup)
    {
        const ql_table_places places = ql_table_places_of(setup);
        QL_TRY(Machine::block_open(block, places.words * 4));
        ql_tables_write(static_cast<float *>(block->host), &places, setup);
        return Machine::block_send(block);
    }

    static ql_status prepare(ql_engine_upload **upload, const ql_engine_setup *setup)
    {
        *upload = static_cast<ql_engine_upload *>(ql_memory_take(1, sizeof **upload));
        if (*upload == nullptr) return QL_FAIL(NO_MEMORY, "no memory for an upload");
        ql_status status = send_tables(&(*upload)->block, setup);
        if (status == QL_OK) return QL_OK;
        discard(*upload);
        *upload = nullptr;
        return status;
    }

    static void discard(ql_engine_upload *upload)
    {
        if (upload == nullptr) return;
        Machine::block_close(&upload->block);
        ql_free(upload);
    }

    static void device(ql_engine *engine, ql_engine_device *device)
    {
        of(engine)->m.device(device);
        device->bytes = of(engine)->n.plan.bytes;
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
        step->clip_norm = setup.train->clip_norm;
        step->adam = ql_adam_at(static_cast<double>(number + 1), 0, step->clip_norm, setup.train->learning_rate);
    }

    /* A step in four parts; the ranks of a group exchange angles behind the first and gradients behind the next two. */
    void launch_angles()
    {
        ql_angle_sequence<Machine> angle(m, n);
        m.zero(n.gradient, QL_PADDED_COUNT * sizeof(float));
        angle.prepare(n.step->drop); /* an address on the device */
        for (int chunk = 0; chunk < n.plan.angle_chunks; ++chunk) angle.forward(chunk);
    }

    void launch_surface()
    {
        ql_sdf_sequence<Machine> sdf(m, n);
        ql_angle_sequence<Machine> angle(m, n);
        near_slices = sdf.smooth(sdf.surface(0));
        angle_backward(angle);
    }

    void launch_off()
    {
        ql_sdf_sequence<Machine> sdf(m, n);
        term_slices = sdf.off(near_slices);
    }

    void launch_norm()
    {
        m.rows(QL_NORM_SLICES, ql_norm_partial{n.gradient, n.norm_partial});
        m.rows(QL_LOSS_COUNT + 1, ql_report_finish{n.term_partial, n.norm_partial, n.report, term_slices});
    }

    enum { WHOLE = 0, ANGLES = 0, SURFACE, OFF, NORM, AHEAD }; /* recorded sequences */

    void launch_alone()
    {
        if (n.plan.surface_chunks == 1 && n.plan.own <= QL_FEW_FACES && Machine::has_aside())
            return launch_side_by_side();
        launch_angles();
        launch_surface();
        launch_off();
        launch_norm();
    }

    /* A mesh of so few faces does not fill the device: all that needs no angles (the off-surface points, the surface points
     * until the loss, and the way back from it) goes beside the angle network. Both ways the sums have the same order, but for the
     * SDF's gradient, where the off-surface points come first. */
    void launch_side_by_side()
    {
        ql_sdf_sequence<Machine> sdf(m, n);
        ql_angle_sequence<Machine> angle(m, n);
        const int chunks = n.plan.angle_chunks, off_slice = sdf.near_slices();
        const auto there = [&] {
            term_slices = sdf.off(off_slice);
            sdf.surface_forward(0);
        };
        const auto back = [&] { sdf.surface_backward(0); };
        m.zero(n.gradient, QL_PADDED_COUNT * sizeof(float));
        m.aside(there);
        angle.prepare(n.step->drop);
        for (int chunk = 0; chunk < chunks; ++chunk) angle.forward(chunk);
        m.meet();
        (void)sdf.smooth(sdf.surface_loss(0, 0));
        m.aside(back);
        angle_backward(angle);
        m.meet();
        launch_norm();
    }

    /* After the forward pass of all chunks, the last of which is still there. */
    void angle_backward(ql_angle_sequence<Machine> &angle)
    {
        for (int chunk = n.plan.angle_chunks - 1; chunk >= 0; --chunk) {
            if (chunk < n.plan.angle_chunks - 1) angle.forward(chunk);
            angle.backward(chunk);
        }
        angle.finish(n.step->drop);
    }

    void launch_adam(const ql_adam &adam, const ql_ahead *ahead)
    {
        m.each(QL_PADDED_COUNT, ql_adam_step{adam, ahead, n.gradient, n.parameters, n.moment1, n.moment2});
    }

    /* Steps need the host for nothing; and each is one graph. */
    bool needs_no_host() const { return !sharing.together() || sharing.direct_together(); }
    bool is_one_graph() const { return !sharing.together() || (sharing.direct_together() && m.records_groups()); }

    template <class Launch> void part(int which, const Launch &launch)
    {
        if (is_one_graph())
            launch();
        else
            m.replay(which, launch);
    }

    /* A step up to its norm. A group's ranks exchange angles and gradients between its parts, which are graphs of their own where
     * the whole is none. */
    void launch_step()
    {
        if (!sharing.together()) return launch_alone();
        part(ANGLES, [this] { launch_angles(); });
        sharing.angles(m, n.theta);
        part(SURFACE, [this] { launch_surface(); });
        sharing.sum(m, n.gradient, [this] { part(OFF, [this] { launch_off(); }); });
        part(NORM, [this] { launch_norm(); });
    }

    /* One of the steps sent ahead, from its parameters to Adam. All ranks of a group have the same gradient, so the same norm. */
    void launch_ahead()
    {
        m.each(1, ql_step_begin{n.ahead, n.step});
        launch_step();
        m.each(1, ql_step_end{n.ahead, n.step, n.report});
        launch_adam(ql_adam{}, n.ahead);
    }

    /* As a graph, in a group with NCCL's operations in it where all ranks can record that. */
    template <class Launch> void replay(int which, const Launch &launch)
    {
        if (!is_one_graph()) return launch();
        if (!sharing.together()) return m.replay(which, launch);
        m.replay(which, launch, [this](bool mine) { return sharing.all(mine); });
    }

    /* In a group a failure of one rank's device must reach all in a call that is collective; in others it is only kept. */
    ql_status status() const { return sharing.together() ? QL_OK : m.status(); }

    static ql_status evaluate(ql_engine *engine, int64_t number, const ql_loss_weights *weights,
                              double terms[QL_LOSS_COUNT])
    {
        ql_cuda_engine *e = of(engine);
        double own[1][QL_LOSS_COUNT];
        ql_step step;
        memset(&step, 0, sizeof step);
        e->fill_step(&step, number, weights);
        e->m.upload(e->n.step, &step, sizeof step);
        e->replay(WHOLE, [e] { e->launch_step(); });
        QL_TRY(QL_CHAIN(e->look(e->n.report, 1, weights, own, &e->norm), "step %lld", static_cast<long long>(number)));
        memcpy(terms, own[0], sizeof own[0]);
        return QL_OK;
    }

    /* What `count` steps left on the device. In a group collective: the worst status of all ranks, the mesh's terms, the largest
     * wishes. */
    ql_status look(const ql_report *from, int count, const ql_loss_weights *weights, double (*terms)[QL_LOSS_COUNT],
                   double *norms)
    {
        ql_report report[QL_ENGINE_AHEAD] = {};
        if (sharing.direct_together()) QL_TRY(sharing.agree(m)); /* or we would wait for a rank that launched nothing */
        m.download(report, from, static_cast<size_t>(count) * sizeof *report);
        for (int k = 0; k < count; ++k) {
            memcpy(terms[k], report[k].terms, sizeof terms[k]);
            norms[k] = sqrt(report[k].squares); /* as in ql_step_end */
        }
        QL_TRY(sharing.together() ? sharing.exchange(m, terms, count, &base) : m.status());
        for (int k = 0; k < count; ++k) terms[k][QL_LOSS_TOTAL] = ql_loss_total(&weights[k], terms[k]);
        return QL_OK;
    }

    /* The norm came with the terms, so this only launches: the device works on while the host looks at the terms. */
    static ql_status apply(ql_engine *engine, int64_t number, double *norm)
    {
        ql_cuda_engine *e = of(engine);
        const ql_train_options *train = e->setup.train;
        *norm = e->norm;
        ql_adam adam = ql_adam_at(static_cast<double>(number + 1), e->norm, train->clip_norm, train->learning_rate);
        e->launch_adam(adam, nullptr);
        return e->status();
    }

    /* Their parameters go to the device in one piece, their reports come back in one, nothing travels in between: but in a group
     * that goes through the host, step by step. */
    static ql_status advance(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                             double (*terms)[QL_LOSS_COUNT], double *norms)
    {
        ql_cuda_engine *e = of(engine);
        struct {
            int64_t next;
            ql_step step[QL_ENGINE_AHEAD];
        } head; /* as ql_ahead begins */
        static_assert(offsetof(ql_ahead, step) == offsetof(decltype(head), step), "sent in one piece");
        if (!e->needs_no_host()) return e->advance_one_by_one(first, count, weights, terms, norms);
        memset(static_cast<void *>(&head), 0, sizeof head);
        for (int k = 0; k < count; ++k) e->fill_step(&head.step[k], first + k, &weights[k]);
        e->m.upload(e->n.ahead, &head, offsetof(ql_ahead, step) + static_cast<size_t>(count) * sizeof(ql_step));
        for (int k = 0; k < count; ++k) e->replay(AHEAD, [e] { e->launch_ahead(); });
        return QL_CHAIN(e->look(e->n.ahead->report, count, weights, terms, norms), "steps %lld to %lld",
                        static_cast<long long>(first), static_cast<long long>(first + count - 1));
    }

    ql_status advance_one_by_one(int64_t first, int count, const ql_loss_weights *weights,
                                 double (*terms)[QL_LOSS_COUNT], double *norms)
    {
        for (int k = 0; k < count; ++k) {
            QL_TRY(evaluate(&base, first + k, &weights[k], terms[k]));
            QL_TRY(apply(&base, first + k, &norms[k]));
        }
        return QL_OK;
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
        if (e->sharing.together()) {
            e->sharing.angles(e->m, e->n.theta);
            QL_TRY(e->sharing.agree(e->m));
        }
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
        for (int64_t at = 0; at < count; at += chunk.rows) {
            int64_t now = count - at < chunk.rows ? count - at : chunk.rows;
            chunk.count = static_cast<int>(now);
            for (int64_t k = 0; k < 3 * now; ++k) e->field_point[k] = static_cast<float>(points[3 * at + k]);
            e->m.upload(e->n.off_point, e->field_point, static_cast<size_t>(now) * 3 * sizeof(float));
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
        return e->status();
    }

    /* What a step at 50,000 faces computes fills any GPU of today; smaller meshes add up to four fifths of that. How many
     * of them really pay the sweep measures. */
    static int at_once(int64_t faces, int64_t off_points)
    {
        const double room = 0.8 * ql_engine_flop_formula(50000, 15000) / ql_engine_flop_formula(faces, off_points);
        return room < 1 ? 1 : room > 64 ? 64 : static_cast<int>(room);
    }

    static double flop(const ql_engine *engine)
    {
        const ql_cuda_engine *e = reinterpret_cast<const ql_cuda_engine *>(engine);
        return ql_engine_flop_formula(e->n.plan.faces, e->n.plan.off_points);
    }
};

#endif
