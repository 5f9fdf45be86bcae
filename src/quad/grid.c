#include "quad/grid.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/lattice.h"

#include <string.h>

/* Component c of R^r (x0, x1) is sign * x[which]. */
static int32_t rotated_component(int32_t r, int32_t c, int32_t *sign)
{
    static const int8_t signs[4][2] = {{1, 1}, {-1, 1}, {-1, -1}, {1, -1}};
    *sign = signs[r & 3][c];
    return (r & 1) ? 1 - c : c;
}

/* One translation on the way to a corner: R^turn t_segment. */
typedef struct step {
    int32_t segment, turn;
} step;

typedef struct builder {
    ql_grid *grid;
    const ql_surface *s;
    const ql_cut *cut;
    step *path; /* steps of all corners */
    int32_t paths, path_room;
    uint8_t *integer; /* 2V: this base scalar is an integer */
    int32_t *parent;  /* 2V: union-find over scalars that features make equal up to sign */
    int8_t *parent_sign;
    ql_lattice *lattice;
    step *loops;
    int32_t *loop_vertex, *loop_start, *loop_rotation;
    int32_t loop_count, loop_steps, loop_room, loop_step_room;
} builder;

enum { PATH_LIMIT = 64 };

/* Crossing from the face of h to the next one changes coordinates by R^k . + t or its inverse. */
static int32_t cross_seam(const ql_cut *cut, int32_t h, int32_t *rotation, step *steps, int32_t n)
{
    int32_t segment = cut->segment[h], k = cut->matching[h];
    if (segment == 0) return n;
    int32_t id = segment > 0 ? segment - 1 : -segment - 1;
    if (segment > 0) {
        for (int32_t i = 0; i < n; ++i) steps[i].turn = (steps[i].turn + k) & 3;
        steps[n++] = (step){id, 0};
    } else { /* U = R^k (W - t) with k the matching of h itself */
        steps[n++] = (step){id, 2};
        for (int32_t i = 0; i < n; ++i) steps[i].turn = (steps[i].turn + k) & 3;
    }
    *rotation = (*rotation + k) & 3;
    for (int32_t i = 0; i + 1 < n; ++i) /* the same translation there and back cancels */
        if (steps[i].segment == id && ((steps[i].turn + 2) & 3) == steps[n - 1].turn) {
            memmove(steps + i, steps + i + 1, (size_t)(n - 2 - i) * sizeof *steps);
            return n - 2;
        }
    return n;
}

static ql_status remember_loop(builder *b, int32_t v, int32_t rotation, const step *steps, int32_t n)
{
    if (b->loop_count + 1 >= b->loop_room) {
        int32_t room = 2 * b->loop_room + 64;
        void *p[3] = {ql_memory_resize(b->loop_vertex, (size_t)room, sizeof(int32_t)), NULL, NULL};
        if (p[0] != NULL) b->loop_vertex = p[0];
        p[1] = ql_memory_resize(b->loop_start, (size_t)room, sizeof(int32_t));
        if (p[1] != NULL) b->loop_start = p[1];
        p[2] = ql_memory_resize(b->loop_rotation, (size_t)room, sizeof(int32_t));
        if (p[2] != NULL) b->loop_rotation = p[2];
        if (p[0] == NULL || p[1] == NULL || p[2] == NULL) return QL_FAIL(NO_MEMORY, "no memory for seam conditions");
        b->loop_room = room;
    }
    if (b->loop_steps + n > b->loop_step_room) {
        int32_t room = 2 * b->loop_step_room + n + 64;
        void *p = ql_memory_resize(b->loops, (size_t)room, sizeof *b->loops);
        if (p == NULL) return QL_FAIL(NO_MEMORY, "no memory for seam conditions");
        b->loops = p;
        b->loop_step_room = room;
    }
    b->loop_vertex[b->loop_count] = v;
    b->loop_rotation[b->loop_count] = rotation;
    b->loop_start[b->loop_count++] = b->loop_steps;
    if (n > 0) memcpy(b->loops + b->loop_steps, steps, (size_t)n * sizeof *steps);
    b->loop_steps += n;
    b->loop_start[b->loop_count] = b->loop_steps;
    return QL_OK;
}

static ql_status store_path(builder *b, const step *steps, int32_t n)
{
    if (b->paths + n > b->path_room) {
        int32_t room = 2 * b->path_room + n + 1024;
        void *p = ql_memory_resize(b->path, (size_t)room, sizeof *b->path);
        if (p == NULL) return QL_FAIL(NO_MEMORY, "no memory for seam paths");
        b->path = p;
        b->path_room = room;
    }
    if (n > 0) memcpy(b->path + b->paths, steps, (size_t)n * sizeof *steps);
    b->paths += n;
    return QL_OK;
}

/* Expresses the corners round every vertex through its first one. Paths are stored by position in `order`. */
static ql_status walk_vertices(builder *b, int32_t *first, int32_t *count)
{
    const ql_surface *s = b->s;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t h = s->outgoing[v], start = h, rotation = 0, n = 0;
        step steps[PATH_LIMIT];
        if (h < 0) continue;
        while (1) {
            b->grid->base[h] = rotation;
            first[h] = b->paths;
            count[h] = n;
            QL_TRY(store_path(b, steps, n));
            int32_t from = ql_previous(h), next = s->opposite[from];
            if (next < 0) break;
            if (n + 1 >= PATH_LIMIT) return QL_FAIL(NUMERIC, "more than %d seams meet at a vertex", PATH_LIMIT);
            n = cross_seam(b->cut, from, &rotation, steps, n);
            h = next;
            if (h != start) continue;
            if (rotation != 0 || n != 0) {
                QL_TRY(remember_loop(b, v, rotation, steps, n));
                if (rotation != 0) b->integer[2 * v] = b->integer[2 * v + 1] = 1;
            }
            break;
        }
    }
    return QL_OK;
}

static int32_t find_root(builder *b, int32_t i, int32_t *sign)
{
    int32_t root = i, total = 1;
    while (b->parent[root] != root) {
        total *= b->parent_sign[root];
        root = b->parent[root];
    }
    *sign = total;
    while (b->parent[i] != i) { /* shorten the way */
        int32_t up = b->parent[i], s = b->parent_sign[i];
        b->parent[i] = root;
        b->parent_sign[i] = (int8_t)total;
        total *= s;
        i = up;
    }
    return root;
}

/* Coordinate along which a feature half-edge is constant: the axis across it. */
static int32_t constant_coordinate(const ql_cut *cut, int32_t h)
{
    long quarter = lround((cut->psi[h] - cut->phi[h / 3]) / M_PI_2);
    return (quarter % 2 + 2) % 2 == 0 ? 1 : 0;
}

/* Equal coordinates at both ends of a feature edge: joined when no seam translation is between them. */
static void join_features(builder *b, const int32_t *count)
{
    const ql_surface *s = b->s;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        b->grid->along[h] = -1;
        if (!s->feature[h]) continue;
        int32_t c = constant_coordinate(b->cut, h), g = ql_next(h), sign[2], scalar[2], corner[2] = {h, g};
        b->grid->along[h] = (int8_t)c;
        for (int e = 0; e < 2; ++e) {
            scalar[e] = 2 * s->faces[corner[e]] + rotated_component(b->grid->base[corner[e]], c, &sign[e]);
            b->integer[scalar[e]] = 1;
        }
        if (count[h] != 0 || count[g] != 0) continue;
        int32_t up[2], root[2];
        for (int e = 0; e < 2; ++e) root[e] = find_root(b, scalar[e], &up[e]);
        if (root[0] == root[1]) continue; /* the same, or x = -x, which the lattice settles */
        b->parent[root[1]] = root[0];
        b->parent_sign[root[1]] = (int8_t)(sign[0] * up[0] * sign[1] * up[1]);
    }
}

static void number_variables(builder *b)
{
    ql_grid *grid = b->grid;
    int32_t scalars = 2 * b->s->vertex_count, sign;
    for (int32_t i = 0; i < scalars; ++i)
        if (b->integer[i]) b->integer[find_root(b, i, &sign)] = 1;
    for (int32_t i = 0; i < scalars; ++i)
        if (b->parent[i] == i && !b->integer[i] && b->s->outgoing[i / 2] >= 0) grid->scalar[i] = grid->reals++;
    for (int32_t i = 0; i < scalars; ++i)
        if (b->parent[i] == i && b->integer[i]) grid->scalar[i] = grid->reals + grid->integers++;
    for (int32_t i = 0; i < scalars; ++i) {
        int32_t root = find_root(b, i, &sign);
        grid->scalar[i] = grid->scalar[root];
        grid->scalar_sign[i] = (int8_t)sign;
    }
    grid->integers += 2 * b->cut->segments;
}

/* Terms of coordinate c of corner h. */
static int32_t corner_terms(const builder *b, int32_t h, int32_t c, const int32_t *first, const int32_t *count,
                            ql_grid_term *out)
{
    const ql_grid *grid = b->grid;
    int32_t sign, n = 0, i = 2 * b->s->faces[h] + rotated_component(grid->base[h], c, &sign);
    out[n++] = (ql_grid_term){grid->scalar[i], sign * grid->scalar_sign[i]};
    int32_t translations = grid->reals + grid->integers - 2 * b->cut->segments;
    for (int32_t k = 0; k < count[h]; ++k) {
        const step *p = &b->path[first[h] + k];
        int32_t which = rotated_component(p->turn, c, &sign);
        out[n++] = (ql_grid_term){translations + 2 * p->segment + which, sign};
    }
    return n;
}

static ql_status store_terms(builder *b, const int32_t *first, const int32_t *count)
{
    ql_grid *grid = b->grid;
    int64_t total = 0;
    for (int32_t h = 0; h < 3 * b->s->face_count; ++h) total += 2 * (1 + (int64_t)count[h]);
    QL_TRY(QL_TAKE(grid->term, total + 1));
    int32_t n = 0;
    for (int32_t h = 0; h < 3 * b->s->face_count; ++h)
        for (int32_t c = 0; c < 2; ++c) {
            grid->start[2 * h + c] = n;
            n += corner_terms(b, h, c, first, count, grid->term + n);
        }
    grid->start[6 * b->s->face_count] = n;
    return QL_OK;
}

static ql_status add_equation(builder *b, const ql_grid_term *plus, int32_t n_plus, const ql_grid_term *minus,
                              int32_t n_minus)
{
    int32_t variable[2 * PATH_LIMIT + 4], n = 0;
    int64_t coefficient[2 * PATH_LIMIT + 4];
    for (int32_t i = 0; i < n_plus; ++i, ++n) {
        variable[n] = plus[i].variable - b->grid->reals;
        coefficient[n] = plus[i].sign;
    }
    for (int32_t i = 0; i < n_minus; ++i, ++n) {
        variable[n] = minus[i].variable - b->grid->reals;
        coefficient[n] = -minus[i].sign;
    }
    return ql_lattice_add(b->lattice, variable, coefficient, n);
}

static ql_status add_loops(builder *b)
{
    const ql_grid *grid = b->grid;
    int32_t translations = grid->reals + grid->integers - 2 * b->cut->segments;
    for (int32_t i = 0; i < b->loop_count; ++i)
        for (int32_t c = 0; c < 2; ++c) {
            ql_grid_term terms[PATH_LIMIT + 4], own;
            int32_t n = 0, sign, v = b->loop_vertex[i], k = 2 * v + rotated_component(b->loop_rotation[i], c, &sign);
            if (b->loop_rotation[i] != 0) terms[n++] = (ql_grid_term){grid->scalar[k], sign * grid->scalar_sign[k]};
            for (int32_t j = b->loop_start[i]; j < b->loop_start[i + 1]; ++j) {
                int32_t which = rotated_component(b->loops[j].turn, c, &sign);
                terms[n++] = (ql_grid_term){translations + 2 * b->loops[j].segment + which, sign};
            }
            own = (ql_grid_term){grid->scalar[2 * v + c], grid->scalar_sign[2 * v + c]};
            QL_TRY(add_equation(b, terms, n, &own, b->loop_rotation[i] != 0));
        }
    return QL_OK;
}

static ql_status add_features(builder *b)
{
    const ql_grid *grid = b->grid;
    for (int32_t h = 0; h < 3 * b->s->face_count; ++h) {
        if (grid->along[h] < 0 || b->s->opposite[h] > h) continue;
        int32_t i = 2 * h + grid->along[h], j = 2 * ql_next(h) + grid->along[h];
        int32_t ni = grid->start[i + 1] - grid->start[i], nj = grid->start[j + 1] - grid->start[j];
        const ql_grid_term *ti = grid->term + grid->start[i], *tj = grid->term + grid->start[j];
        if (ni == 1 && nj == 1 && ti->variable == tj->variable && ti->sign == tj->sign) continue;
        QL_TRY(add_equation(b, ti, ni, tj, nj));
    }
    return QL_OK;
}

static ql_status eliminate_all(builder *b)
{
    ql_grid *grid = b->grid;
    uint8_t *prefer = NULL;
    QL_TRY(QL_TAKE(prefer, grid->integers + 1));
    for (int32_t i = grid->integers - 2 * b->cut->segments; i < grid->integers; ++i) prefer[i] = 1;
    ql_status status = ql_lattice_create(&b->lattice, grid->integers, prefer);
    ql_free(prefer);
    if (status == QL_OK) status = add_loops(b);
    if (status == QL_OK) status = add_features(b);
    if (status == QL_OK) status = ql_lattice_solve(b->lattice, &grid->lattice, &grid->free_integers);
    return status;
}

static ql_status take_arrays(builder *b, int32_t **first, int32_t **count)
{
    int64_t halves = 3 * (int64_t)b->s->face_count, scalars = 2 * (int64_t)b->s->vertex_count;
    QL_TRY(QL_TAKE(*first, halves));
    QL_TRY(QL_TAKE(*count, halves));
    QL_TRY(QL_TAKE(b->grid->start, 2 * halves + 1));
    QL_TRY(QL_TAKE(b->grid->base, halves));
    QL_TRY(QL_TAKE(b->grid->along, halves));
    QL_TRY(QL_TAKE(b->grid->scalar, scalars));
    QL_TRY(QL_TAKE(b->grid->scalar_sign, scalars));
    QL_TRY(QL_TAKE(b->integer, scalars));
    QL_TRY(QL_TAKE(b->parent, scalars));
    QL_TRY(QL_TAKE(b->parent_sign, scalars));
    for (int32_t i = 0; i < scalars; ++i) {
        b->parent[i] = i;
        b->parent_sign[i] = 1;
    }
    return QL_OK;
}

ql_status ql_grid_create(ql_grid *grid, const ql_surface *s, const ql_cut *cut, int with_features)
{
    memset(grid, 0, sizeof *grid);
    builder b = {.grid = grid, .s = s, .cut = cut};
    int32_t *first = NULL, *count = NULL;
    ql_status status = take_arrays(&b, &first, &count);
    if (status == QL_OK) status = walk_vertices(&b, first, count);
    if (status == QL_OK && with_features) join_features(&b, count);
    for (int32_t h = 0; status == QL_OK && !with_features && h < 3 * s->face_count; ++h) grid->along[h] = -1;
    if (status == QL_OK) {
        number_variables(&b);
        status = store_terms(&b, first, count);
    }
    if (status == QL_OK) status = eliminate_all(&b);
    ql_free(first);
    ql_free(count);
    ql_free(b.path);
    ql_free(b.integer);
    ql_free(b.parent);
    ql_free(b.parent_sign);
    ql_free(b.loops);
    ql_free(b.loop_vertex);
    ql_free(b.loop_start);
    ql_free(b.loop_rotation);
    ql_lattice_destroy(b.lattice);
    if (status != QL_OK) ql_grid_destroy(grid);
    return status;
}

void ql_grid_destroy(ql_grid *grid)
{
    if (grid == NULL) return;
    ql_free(grid->start);
    ql_free(grid->term);
    ql_free(grid->lattice);
    ql_free(grid->base);
    ql_free(grid->scalar);
    ql_free(grid->scalar_sign);
    ql_free(grid->along);
    memset(grid, 0, sizeof *grid);
}
