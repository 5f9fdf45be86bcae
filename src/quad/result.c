/* The result of ql_quads_make: components put together, the verdict, the note for people. */
#include "quad/result.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

const char *ql_quad_rung_name(ql_quad_rung rung)
{
    static const char *const name[QL_RUNG_COUNT] = {"field", "scaled", "smooth", "coarse", "split"};
    return (int)rung >= 0 && rung < QL_RUNG_COUNT ? name[rung] : "?";
}

ql_status ql_quad_result_append(ql_quad_result *r, const ql_quads *q)
{
    double *x = ql_memory_resize(r->vertices, 3 * ((size_t)r->vertex_count + (size_t)q->vertex_count), sizeof *x);
    if (x != NULL) r->vertices = x;
    int32_t *f = ql_memory_resize(r->faces, 4 * ((size_t)r->face_count + (size_t)q->face_count), sizeof *f);
    if (f != NULL) r->faces = f;
    if (x == NULL || f == NULL) return QL_FAIL(NO_MEMORY, "no memory for %d quads", r->face_count + q->face_count);
    memcpy(x + 3 * (int64_t)r->vertex_count, q->vertices, 3 * (size_t)q->vertex_count * sizeof *x);
    for (int32_t i = 0; i < 4 * q->face_count; ++i) f[4 * (int64_t)r->face_count + i] = q->faces[i] + r->vertex_count;
    r->vertex_count += q->vertex_count;
    r->face_count += q->face_count;
    return QL_OK;
}

ql_status ql_quad_result_judge(ql_quad_result *r, const ql_mesh *mesh, double feature_angle_deg)
{
    ql_quad_quality q;
    char why[256];
    double since = ql_clock_s();
    QL_TRY(ql_quad_judge(&q, &r->valid, why, r->vertices, r->vertex_count, r->faces, r->face_count, mesh,
                         feature_angle_deg));
    q.field_singularities = r->quality.field_singularities;
    q.ladder_step = r->rung;
    q.prepare_s = r->quality.prepare_s;
    q.field_s = r->quality.field_s;
    q.map_s = r->quality.map_s;
    q.extract_s = r->quality.extract_s;
    q.improve_s = r->quality.improve_s;
    q.verify_s = r->quality.verify_s + ql_clock_s() - since;
    r->quality = q;
    return r->valid ? QL_OK : QL_FAIL(NUMERIC, "result does not verify: %s", why);
}

/* Adds to the note, parts separated by semicolons. */
static void say(ql_quad_result *r, const char *text)
{
    size_t used = strlen(r->note);
    (void)snprintf(r->note + used, sizeof r->note - used, "%s%s", used > 0 ? "; " : "", text);
}

void ql_quad_result_note(ql_quad_result *r, const ql_prepared *p, bool relaxed)
{
    char text[256];
    if (p->welded + p->dropped + p->turned + p->split_edges + p->split_vertices > 0) {
        (void)snprintf(
            text, sizeof text,
            "input repaired: %d vertices welded, %d faces dropped, %d faces turned, %d edges and %d vertices split",
            p->welded, p->dropped, p->turned, p->split_edges, p->split_vertices);
        say(r, text);
    }
    if (p->slivers > 0) {
        (void)snprintf(text, sizeof text, "%d component%s without area left out", p->slivers,
                       p->slivers > 1 ? "s" : "");
        say(r, text);
    }
    if (r->rung != QL_RUNG_FIELD) {
        (void)snprintf(text, sizeof text, "used rung \"%s\" of the ladder", ql_quad_rung_name(r->rung));
        say(r, text);
    }
    if (relaxed) say(r, "not all sharp edges are kept");
}

void ql_quad_result_destroy(ql_quad_result *result)
{
    if (result == NULL) return;
    ql_free(result->vertices);
    ql_free(result->faces);
    memset(result, 0, sizeof *result);
}
