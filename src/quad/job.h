/* One component, one way to begin: what the rungs of the ladder share. Private to src/quad. */
#ifndef QL_QUAD_JOB_H
#define QL_QUAD_JOB_H

#include "quad/closest.h"
#include "quad/polish.h"
#include "quad/prepare.h"
#include "quad/quad.h"

/* A way to begin. Triangles of the working surface are `work_edge` of the quad edge: coarser surfaces see less detail, finer ones
 * follow the field better. An irregular vertex less is worth `price` of field energy (field/cross_clean.h). Features that leave a
 * corner at an acute angle are kept `gap` quad edges apart, patches between features with less than `patch` of a quad's area are
 * not kept (feature.h). */
typedef struct ql_beginning {
    double work_edge, price, gap, patch;
} ql_beginning;

/* A map with so many ports without a partner will fail at other scales, too. */
enum { QL_JOB_HOPELESS = 30 };
/* The wanted number is promised only where it is larger. */
enum { QL_JOB_FEW_QUADS = 50 };

/* What a job has made, or could fall back on. */
typedef struct ql_job_result {
    ql_quads quads;
    ql_quad_rung rung;
    int32_t singular; /* vertices of the field */
    int32_t released; /* vertices that let go of sharp edges */
    int32_t mended;   /* places that were mended or parted (mend.h, part.h) */
} ql_job_result;

typedef struct ql_job {
    const ql_mesh *mesh;
    const double *alpha; /* per face of the mesh, or NULL */
    const ql_component *component;
    double edge; /* wanted, input units */
    ql_beginning begin;
    double feature_angle_deg;
    double irregular_price; /* of a given field, as begin.price is of a smooth one */
    ql_surface original;    /* copy of the component with features marked */
    ql_surface work;        /* re-meshed */
    uint8_t *corner;        /* per vertex of `work` */
    double *phi;            /* per face of `work` */
    uint8_t *matching;      /* per half-edge of `work` */
    ql_closest *surface, *lines;
    int32_t *chain; /* of each line */
    int32_t euler, loops, singular, features;
    int32_t transports; /* of the last full clean-up of the field (field/cross_clean.h) */
    double crowding;    /* length of features per area, in quad edges: 1 = one on every grid line of one direction */
    int32_t released;   /* vertices of `quads` that let go of sharp edges */
    int32_t loose;      /* ports without a partner in the last map: many of them mean that no scale will help */
    int32_t folded;     /* faces of the last map that fold: no scale will help either */
    int32_t mended;     /* places of the last map that were mended or parted (mend.h, part.h) */
    bool crowded;       /* so many conditions of the last map are broken that there are too many features */
    int64_t *effort;    /* that all attempts on this component have cost so far, about nanoseconds */
    double patience;    /* share of the effort allowed for a component at which this job ends */
    ql_quad_quality *time;
    ql_quads quads; /* the result */
    ql_quad_rung rung;
    ql_job_result spare; /* the first one that had to be mended */
} ql_job;

/* Marks features, builds the trees and re-meshes; the arrays of the job are taken here and freed by ql_job_destroy. */
ql_status ql_job_prepare(ql_job *job);
void ql_job_destroy(ql_job *job);

/* What the component has cost, as a share of what it may: counted in operations, so that results do not depend on the machine; and
 * whether that is more than the job's patience. */
double ql_job_spent(const ql_job *job);
bool ql_job_tired(const ql_job *job);

/* A copy of a surface with its features. */
ql_status ql_job_copy(ql_surface *out, const ql_surface *in);

/* Takes over quads that verify, when they do: topology before the work of improving them, and after it. */
bool ql_job_accept(ql_job *job, ql_quads *quads, int sweeps);

/* The rungs that need a map. */
ql_status ql_job_climb(ql_job *job, bool *found);

/* The rung that needs none (split.c). */
ql_status ql_job_split(ql_job *job, bool *found);

#endif
