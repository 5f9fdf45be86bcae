/* One mesh over the ranks of a group (method, section 5): each rank computes a range of the faces and of the off-surface
 * points; angles are gathered before the loss, the gradient is summed in two buckets, that of the angle network while the
 * off-surface points are computed.
 *
 * Between devices by a communicator whose arrays lie there (NCCL, nccl_comm.h), or through pinned host memory by the group's own
 * (engine/reduce.h: the same bytes for the same ranks). What the hosts want to know of each other, statuses, wishes and the loss terms
 * of the steps that were sent ahead, goes between the hosts in one piece (ql_word). */
#ifndef QL_CUDA_SHARING_H
#define QL_CUDA_SHARING_H

#include "network.h"

#include <initializer_list>
#include <stdlib.h>

extern "C" {
#include "engine/reduce.h"
}

enum { QL_BUCKET_SDF, QL_BUCKET_ANGLE, QL_BUCKETS };

/* What a rank tells all others at a time. */
struct ql_word {
    int32_t status;
    int32_t vote; /* engine/engine.h */
    double pace_s;
    double terms[QL_ENGINE_AHEAD][QL_LOSS_COUNT];
};

template <class Machine> class ql_sharing
{
  public:
    ~ql_sharing() { close(); }
    bool together() const { return group != nullptr; }
    bool direct_together() const { return direct != nullptr; }

    /* Collective; `with` NULL or of one rank: alone, and nothing is done (unless QL_CUDA_NCCL_ALONE is set, so that a test on
     * one GPU has NCCL's calls in its graph). */
    ql_status open(Machine &m, ql_comm *with, const ql_plan &its_plan)
    {
        if (with == nullptr || (with->size == 1 && getenv("QL_CUDA_NCCL_ALONE") == nullptr)) return QL_OK;
        static const int64_t border[] = {0, QL_SDF_PARAMETER_COUNT + QL_GAP, QL_PADDED_COUNT};
        const ql_reduce_setup setup = {with, QL_NUMBER_FLOAT32, 0, 1, border, QL_BUCKETS};
        plan = its_plan;
        ql_status status = ql_reduce_create(&reduce, &setup);
        words = static_cast<ql_word *>(ql_memory_take(static_cast<size_t>(with->size), sizeof *words));
        if (status == QL_OK && words == nullptr) status = QL_FAIL(NO_MEMORY, "no memory for a group's words");
        if (status == QL_OK) status = m.take_host(&host_theta, plan.faces);
        if (status == QL_OK) status = m.take_host(&host_gradient, QL_PADDED_COUNT);
        if (status == QL_OK) {
            ql_arena measuring = ql_arena_measuring();
            (void)ql_reduce_take(&reduce, &measuring);
            status = ql_arena_create(&buffers, measuring.used);
        }
        if (status == QL_OK && !ql_reduce_take(&reduce, &buffers))
            status = QL_FAIL(INTERNAL, "buffers of a group too small");
        QL_TRY(ql_comm_agree(with, status));
        QL_TRY(m.connect(&direct, with));
        group = with;
        return QL_OK;
    }

    void close()
    {
        if (direct != nullptr && broken) Machine::give_up(direct);
        ql_comm_destroy(direct);
        direct = group = nullptr;
        ql_free(words);
        words = nullptr;
        ql_reduce_destroy(&reduce);
        ql_arena_destroy(&buffers);
        Machine::give_host(host_theta);
        Machine::give_host(host_gradient);
        host_theta = host_gradient = nullptr;
    }

    /* Collective: whether all say yes. */
    bool all(bool mine)
    {
        word.status = mine ? QL_OK : QL_STATUS_ENVIRONMENT;
        return tell() == QL_OK && first_bad() == nullptr;
    }

    /* Collective: the worst of all ranks' devices. Takes memory only where one has failed. */
    ql_status agree(Machine &m)
    {
        word.status = m.status();
        QL_TRY(tell());
        if (first_bad() == nullptr) return QL_OK;
        broken = true;
        return ql_comm_agree(group, m.status());
    }

    /* Collective: own terms of `count` steps become those of the mesh, wishes the largest of all. */
    ql_status exchange(Machine &m, double (*terms)[QL_LOSS_COUNT], int count, ql_engine *base)
    {
        memcpy(word.terms, terms, static_cast<size_t>(count) * sizeof *terms);
        word.vote = base->vote;
        word.pace_s = base->pace_s;
        QL_TRY(agree(m));
        memset(terms, 0, static_cast<size_t>(count) * sizeof *terms);
        for (const ql_word *one = words; one < words + group->size; ++one) {
            if (one->vote > base->vote) base->vote = one->vote;
            if (one->pace_s > base->pace_s) base->pace_s = one->pace_s;
            for (int k = 0; k < count; ++k)
                for (int term = 0; term < QL_LOSS_COUNT; ++term) terms[k][term] += one->terms[k][term];
        }
        return QL_OK;
    }

    /* Collective: the angles of all faces. The machine keeps an error until all agree, here and in `sum`. */
    void angles(Machine &m, float *theta) { m.keep(direct != nullptr ? gather_directly(theta) : gather(m, theta)); }

    /* Collective. The angle bucket is ready on the device; `meanwhile` launches what computes the other one. */
    template <class Launch> void sum(Machine &m, float *gradient, const Launch &meanwhile)
    {
        if (direct != nullptr) return m.keep(sum_directly(gradient, meanwhile));
        fetch(m, QL_BUCKET_ANGLE, gradient);
        meanwhile();
        m.keep(reduce_on_host(m, QL_BUCKET_ANGLE, gradient));
        fetch(m, QL_BUCKET_SDF, gradient);
        m.keep(reduce_on_host(m, QL_BUCKET_SDF, gradient));
    }

  private:
    ql_comm *group = nullptr;  /* borrowed; nullptr: alone */
    ql_comm *direct = nullptr; /* between devices; nullptr: through the host */
    ql_plan plan = {};
    ql_reduce reduce = {};
    ql_arena buffers = {};
    float *host_theta = nullptr, *host_gradient = nullptr; /* pinned */
    ql_word word = {}, *words = nullptr;                   /* ours, all ranks' */
    bool broken = false;                                   /* a rank has failed: nobody waits for its operations */

    ql_status tell() { return group->kind->allgather(group, &word, words, sizeof word); }

    const ql_word *first_bad() const
    {
        for (const ql_word *one = words; one < words + group->size; ++one)
            if (one->status != QL_OK) return one;
        return nullptr;
    }

    void find_borders()
    {
        for (int rank = 0; rank <= reduce.ranks; ++rank)
            reduce.border[rank] = ql_reduce_begin_of(&reduce, rank, plan.faces);
    }

    ql_status gather(Machine &m, float *theta)
    {
        m.download(host_theta + plan.first, theta + plan.first, static_cast<size_t>(plan.own) * sizeof(float));
        find_borders();
        QL_TRY(ql_reduce_gather(&reduce, host_theta, 1, QL_NUMBER_FLOAT32));
        m.upload(theta, host_theta, static_cast<size_t>(plan.faces) * sizeof(float));
        return QL_OK;
    }

    void fetch(Machine &m, int bucket, const float *gradient)
    {
        const ql_reduce_bucket &b = reduce.bucket[bucket];
        m.download(host_gradient + b.begin, gradient + b.begin, static_cast<size_t>(b.end - b.begin) * sizeof(float));
    }

    ql_status reduce_on_host(Machine &m, int bucket, float *gradient)
    {
        const ql_reduce_bucket &b = reduce.bucket[bucket];
        const void *arrays[] = {host_gradient};
        ql_reduce_fill(&reduce, bucket, arrays, host_gradient, b.begin, b.end);
        QL_TRY(ql_reduce_begin(&reduce, bucket));
        QL_TRY(ql_reduce_turn(&reduce, bucket, host_gradient));
        QL_TRY(ql_reduce_finish(&reduce, bucket));
        m.upload(gradient + b.begin, host_gradient + b.begin, static_cast<size_t>(b.end - b.begin) * sizeof(float));
        return QL_OK;
    }

    ql_status gather_directly(float *theta)
    {
        ql_request request = {};
        find_borders();
        int *count = reduce.gather_table, *at = count + reduce.ranks;
        for (int rank = 0; rank < reduce.ranks; ++rank) {
            at[rank] = static_cast<int>(reduce.border[rank]);
            count[rank] = static_cast<int>(reduce.border[rank + 1]) - at[rank];
        }
        const ql_parts parts = {count, at};
        QL_TRY(direct->kind->gather_begin(direct, theta, &parts, QL_NUMBER_FLOAT32, &request));
        return direct->kind->wait(direct, &request);
    }

    template <class Launch> ql_status sum_directly(float *gradient, const Launch &meanwhile)
    {
        ql_request request[QL_BUCKETS] = {};
        for (int bucket : {QL_BUCKET_ANGLE, QL_BUCKET_SDF}) {
            const ql_reduce_bucket &b = reduce.bucket[bucket];
            if (bucket == QL_BUCKET_SDF) meanwhile();
            QL_TRY(direct->kind->sum_begin(direct, gradient + b.begin, static_cast<int>(b.end - b.begin),
                                           QL_NUMBER_FLOAT32, &request[bucket]));
        }
        for (ql_request &one : request) QL_TRY(direct->kind->wait(direct, &one));
        return QL_OK;
    }
};

#endif
