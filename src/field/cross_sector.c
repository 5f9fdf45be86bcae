#include "field/cross_sector.h"

#include "field/cross_vector.h"

static double corner_angle(const ql_surface *s, int32_t h)
{
    double a[3], b[3], c[3];
    ql_sub(ql_at(s, ql_to(s, h)), ql_at(s, ql_from(s, h)), a);
    ql_sub(ql_at(s, ql_from(s, ql_previous(h))), ql_at(s, ql_from(s, h)), b);
    ql_cross(a, b, c);
    return atan2(ql_norm(c), ql_dot(a, b));
}

void ql_cross_sector(const ql_surface *s, const double *delta, int32_t inner, ql_sector *sector)
{
    int32_t h = inner;
    while (!s->feature[h] && s->opposite[h] >= 0) { /* to the first edge of the wedge */
        h = ql_turn_right(s, h);
        if (h == inner) break;
    }
    double turn = 0;
    int32_t first = h;
    sector->angle = 0;
    do {
        int32_t last = ql_previous(h), next = s->opposite[last];
        double corner = corner_angle(s, h);
        sector->angle += corner;
        turn += corner;
        if (next < 0 || s->feature[next]) break;
        turn -= delta[last];
        h = next;
    } while (h != first);
    sector->quads = (int32_t)lround(turn / M_PI_2);
}

void ql_cross_sector_fits(double angle, int32_t *least, int32_t *most)
{
    double degrees = angle * 180 / M_PI;
    *least = (int32_t)fmax(1, ceil(degrees / 150));
    *most = (int32_t)fmax(*least, floor(degrees / 25));
}

void ql_cross_turns(const ql_surface *s, const double *psi, const double *phi, const uint8_t *matching, double *delta)
{
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t g = s->opposite[h];
        if (g < 0) delta[h] = 0;
        if (g < h) continue;
        double d = (phi[g / 3] - psi[g]) - (phi[h / 3] - psi[h] - M_PI) + M_PI_2 * matching[h];
        delta[h] = d - 2 * M_PI * round(d / (2 * M_PI));
        delta[g] = -delta[h];
    }
}
