#include "field/cross.h"

#include "field/cross_vector.h"

static void face_frame(const ql_surface *s, int32_t f, double x[3], double y[3])
{
    double n[3];
    (void)ql_surface_normal(s, f, n);
    ql_sub(ql_at(s, s->faces[3 * f + 1]), ql_at(s, s->faces[3 * f]), x);
    (void)ql_normalise(x);
    ql_cross(n, x, y);
}

void ql_cross_edge_angles(const ql_surface *s, double *psi)
{
    for (int32_t f = 0; f < s->face_count; ++f) {
        double x[3], y[3];
        face_frame(s, f, x, y);
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            double e[3];
            ql_sub(ql_at(s, ql_to(s, h)), ql_at(s, ql_from(s, h)), e);
            psi[h] = atan2(ql_dot(e, y), ql_dot(e, x));
        }
    }
}

void ql_cross_angles(const ql_surface *s, const double *alpha, double *phi)
{
    for (int32_t f = 0; f < s->face_count; ++f) {
        double x[3], y[3];
        face_frame(s, f, x, y);
        const double *a = alpha + 3 * (int64_t)f;
        phi[f] = atan2(ql_dot(a, y), ql_dot(a, x));
    }
}

void ql_cross_directions(const ql_surface *s, const double *phi, double *alpha)
{
    for (int32_t f = 0; f < s->face_count; ++f) {
        double x[3], y[3];
        face_frame(s, f, x, y);
        for (int k = 0; k < 3; ++k) alpha[3 * (int64_t)f + k] = cos(phi[f]) * x[k] + sin(phi[f]) * y[k];
    }
}

void ql_cross_matching(const ql_surface *s, const double *psi, const double *phi, uint8_t *matching)
{
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t g = s->opposite[h];
        if (g < 0) {
            matching[h] = 0;
        } else if (h < g) {
            double turn = (phi[h / 3] - psi[h]) - (phi[g / 3] - psi[g] - M_PI);
            long k = lround(turn / M_PI_2);
            matching[h] = (uint8_t)(((k % 4) + 4) % 4);
            matching[g] = (uint8_t)((4 - matching[h]) % 4);
        }
    }
}

static double corner_angle(const ql_surface *s, int32_t h)
{
    double a[3], b[3], c[3];
    ql_sub(ql_at(s, ql_to(s, h)), ql_at(s, ql_from(s, h)), a);
    ql_sub(ql_at(s, ql_from(s, ql_previous(h))), ql_at(s, ql_from(s, h)), b);
    ql_cross(a, b, c);
    return atan2(ql_norm(c), ql_dot(a, b));
}

void ql_cross_indices(const ql_surface *s, const double *psi, const double *phi, const uint8_t *matching,
                      int32_t *index)
{
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t h = s->outgoing[v], first = h;
        index[v] = 0;
        if (h < 0) continue;
        double turn = 0;
        do { /* around v the map turns by the corner angles less the field's change across edges */
            turn += corner_angle(s, h);
            int32_t next = ql_turn_left(s, h);
            if (next < 0) break;
            int32_t from = ql_previous(h);
            double delta = (phi[next / 3] - psi[next]) - (phi[from / 3] - psi[from] - M_PI) + M_PI_2 * matching[from];
            turn -= delta - 2 * M_PI * round(delta / (2 * M_PI));
            h = next;
        } while (h != first);
        index[v] = (int32_t)((ql_on_boundary(s, v) ? 2 : 4) - lround(turn / M_PI_2));
    }
}

void ql_cross_weights(const ql_surface *s, double *weight)
{
    double normal[3], least = 1e-4 * ql_surface_area(s) / s->face_count;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t g = s->opposite[h];
        weight[h] = 0;
        if (g < 0) continue;
        double l2 = ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h)));
        double area = fmax(0.5 * ql_surface_normal(s, h / 3, normal), least) +
                      fmax(0.5 * ql_surface_normal(s, g / 3, normal), least);
        weight[h] = fmin(fmax(1.5 * l2 / area, 1e-3), 1e3);
    }
}
