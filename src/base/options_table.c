/* The table of options: one row each, and nothing about an option is written anywhere else.
 * To add one: a field in options.h, a row here, then `quadloom options --yaml > inputs/defaults.yaml`. */
#include "base/options.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

/* FIELD is the member of ql_options, which is also the name. The three texts: preset quality (= default),
 * reference, quick. */
#define ROW(TYPE, FIELD, UNIT, MIN, MAX, CHOICES, QUALITY, REFERENCE, QUICK, HELP)                                     \
    {                                                                                                                  \
#FIELD, QL_OPTION_##TYPE, offsetof(ql_options, FIELD), UNIT, MIN, MAX, CHOICES,                                \
            {QUALITY, REFERENCE, QUICK }, HELP                                                                         \
    }

#define NUMBER(TYPE, FIELD, UNIT, MIN, MAX, QUALITY, REFERENCE, QUICK, HELP)                                           \
    ROW(TYPE, FIELD, UNIT, MIN, MAX, NULL, QUALITY, REFERENCE, QUICK, HELP)
#define PLAIN(TYPE, FIELD, UNIT, MIN, MAX, VALUE, HELP) NUMBER(TYPE, FIELD, UNIT, MIN, MAX, VALUE, NULL, NULL, HELP)
#define SWITCH(FIELD, VALUE, HELP) ROW(BOOL, FIELD, "", 0, 1, NULL, VALUE, NULL, NULL, HELP)
#define CHOICE(FIELD, CHOICES, QUALITY, REFERENCE, QUICK, HELP)                                                        \
    ROW(CHOICE, FIELD, "", 0, 0, CHOICES, QUALITY, REFERENCE, QUICK, HELP)
#define WORD(FIELD, CHOICES, VALUE, HELP) ROW(WORD, FIELD, "", 0, 0, CHOICES, VALUE, NULL, NULL, HELP)

static const ql_option table[] = {
    CHOICE(train.preset, "quality|reference|quick", "quality", "reference", "quick",
           "Set of values to start from. quality: the method as published, best quads; reference: equal to the "
           "published program number for number; quick: a coarse field soon, to look at"),
    NUMBER(INT, train.steps, "steps", 1, 1e7, "10000", NULL, "100",
           "Length of a training; the weight of E_normal follows a schedule over this many steps"),
    PLAIN(INT, train.stop_after, "steps", 0, 1e7, "0",
          "Stop after this many steps of the schedule and keep that as the result; 0: all of it"),
    PLAIN(SEED, train.seed, "", 0, 0, "1",
          "Seed of everything random; with it and the mesh's content a training is fixed"),
    SWITCH(train.deterministic, "true",
           "Same bytes in field and parameters for every number of threads and ranks; false allows faster sums"),
    NUMBER(INT, train.off_points, "points", 1, 1e8, "15000", NULL, "2000",
           "Points off the surface, drawn anew at every step"),
    PLAIN(SECONDS, train.checkpoint_every_s, "s", 0, 1e7, "300",
          "Time between checkpoints of an unfinished mesh; 0: only when the run is asked to stop"),
    NUMBER(REAL, train.learning_rate, "", 1e-12, 1, "5e-5", NULL, "2e-4", "Learning rate of Adam"),
    PLAIN(REAL, train.clip_norm, "", 1e-12, 1e30, "10", "Norm to which the gradient of both networks is clipped"),
    PLAIN(REAL, train.weight_sdf, "", 0, 1e12, "7000", "Weight of E_sdf: the surface is the zero set"),
    PLAIN(REAL, train.weight_off, "", 0, 1e12, "600", "Weight of E_off: no zero set elsewhere"),
    PLAIN(REAL, train.weight_eikonal, "", 0, 1e12, "50", "Weight of E_eik: the gradient has length 1"),
    PLAIN(REAL, train.weight_normal, "", 0, 1e12, "3",
          "Weight of E_normal (the Hessian vanishes along the normal) until 20 % of the steps; then falls to "
          "1/3000 of "
          "it at 40 % and to 0 at the end"),
    PLAIN(REAL, train.weight_align, "", 0, 1e12, "10",
          "Weight of E_align: the cross follows the principal curvature directions"),
    PLAIN(REAL, train.weight_smooth, "", 0, 1e12, "30", "Weight of E_smooth: the cross varies little between faces"),
    CHOICE(train.sampling, "near|far", "near", "far", "near",
           "Where off-surface points are drawn. near: in [-1.1, 1.1]^3 and close to the surface; far: in "
           "[-256, 256]^3 "
           "(as the published program does)"),
    PLAIN(REAL, train.near_fraction, "", 0, 1, "0.5",
          "Share of the off-surface points that lie close to the surface when train.sampling is near"),
    CHOICE(train.averaging, "faces|groups", "faces", "groups", "faces",
           "Mean in E_align and E_smooth. faces: over all faces; groups: over the faces of each number of "
           "neighbours, "
           "then over those groups (as the published program does)"),
    NUMBER(REAL, train.feature_rho, "", 0, 1e6, "10", "0", NULL,
           "E_align is weighted by 1 - exp(-rho d), d the distance to the nearest sharp edge in units of the "
           "normalised "
           "mesh (largest coordinate 1); 0: sharp edges are not looked at"),
    SWITCH(train.stochastic_depth, "true", "Drop residual blocks of the angle network at random while training"),
    PLAIN(INT, train.history_every, "steps", 1, 1e6, "10", "Steps between two rows of /train/history"),

    WORD(engine.name, "auto|ref|cpu|cuda", "auto",
         "What computes. ref: plain loops in double precision, the definition of correct; cpu: fast on "
         "cores; cuda: an "
         "NVIDIA GPU; auto: the best one compiled in for which there is a device"),
    CHOICE(engine.precision, "fp32|bf16|tf32|3xtf32|fp64", "fp32", NULL, NULL,
           "Arithmetic of the angle network's matrix products, where the engine has it; ref always computes "
           "in fp64"),
    PLAIN(INT, engine.threads, "threads", 0, 65536, "0", "Threads per rank; 0: all cores that the rank may use"),
    PLAIN(INT, engine.memory_mb, "MB", 0, 1e9, "0", "Memory that one mesh may take; 0: what the machine has"),
    CHOICE(engine.memory, "auto|keep|recompute", "auto", NULL, NULL,
           "Activations of the angle network: keep them, or recompute them in the backward pass in less "
           "memory; auto: "
           "keep where they fit"),

    SWITCH(quads.enabled, "true", "Extract and verify a quad mesh after a training"),
    PLAIN(INT, quads.target, "quads", 1, 1e8, "4000", "About how many quads a mesh shall have"),
    PLAIN(REAL, quads.edge_length, "input units", 0, 1e30, "0",
          "Length of a quad's edge, instead of quads.target; 0: from quads.target"),
    PLAIN(REAL, quads.feature_angle_deg, "degrees", 0, 180, "40",
          "An edge whose faces' normals differ by more is sharp: kept by the quads, respected by the training"),
    PLAIN(REAL, quads.irregular_price, "radians^2", 0, 1e6, "3",
          "Departure from a trained field that one irregular vertex less may cost. 0: the field's singular vertices "
          "stay. Where quads fail, half as much is tried next"),
    CHOICE(quads.method, "trained|smooth", "trained", NULL, NULL,
           "Field behind the quads. trained: by the networks; smooth: the smoothest field, no training"),

    ROW(WORD_OR_INT, sweep.group, "ranks", 1, 1e6, "auto", "auto", NULL, NULL,
        "Ranks that share one mesh: a number, or auto (few for small meshes, more for large ones)"),
    PLAIN(INT, sweep.max_failures, "meshes", 0, 1e9, "0", "Stop the run after so many failed meshes; 0: never"),
    PLAIN(INT, sweep.max_attempts, "attempts", 1, 1000, "2",
          "A mesh during whose training the process died this many times is recorded as failed"),
    PLAIN(SECONDS, sweep.time_limit_s, "s", 0, 1e9, "0",
          "Checkpoint and stop in time to be done by then (HH:MM:SS is read too); 0: none"),
    PLAIN(INT, sweep.prefetch, "meshes", 0, 1000, "1", "Meshes that a rank reads and prepares ahead"),
    ROW(WORD_OR_INT, sweep.at_once, "meshes", 1, 16, "auto", "auto", NULL, NULL,
        "Small meshes that a rank trains at the same time: a number, or auto (with engine cuda as many as pay, "
        "measured "
        "while they train; else one)"),

    SWITCH(store.parameters, "true",
           "Keep both networks in the result (17.5 MB each); false: field, quads and history alone, for sweeps of "
           "thousands of small meshes"),

    WORD(log.level, "error|warning|info|debug", "info",
         "Least severe message shown. error: something is lost; warning: look at it; info: progress; debug: "
         "for developers"),
    PLAIN(SECONDS, log.interval_s, "s", 0.1, 1e6, "30", "Time between progress lines where there is no terminal"),
};

#define COUNT ((int)(sizeof table / sizeof table[0]))
_Static_assert(COUNT <= (int)QL_OPTION_MAX, "enlarge QL_OPTION_MAX");

int ql_option_count(void) { return COUNT; }

const ql_option *ql_option_at(int index)
{
    assert(index >= 0 && index < COUNT);
    return &table[index];
}

int ql_option_find(const char *name)
{
    for (int i = 0; i < COUNT; ++i)
        if (strcmp(table[i].name, name) == 0) return i;
    return -1;
}

const char *ql_option_nearest(const char *name)
{
    const char *nearest = NULL, *dot = strrchr(name, '.');
    const char *typed_key = dot != NULL ? dot + 1 : name;
    int best = 1000;
    for (int i = 0; i < COUNT; ++i) { /* people also forget the section or take a wrong one */
        int whole = ql_text_distance(name, table[i].name);
        int key = ql_text_distance(typed_key, strchr(table[i].name, '.') + 1);
        bool near = ql_text_is_near(name, whole) || ql_text_is_near(typed_key, key);
        int distance = whole < key + 1 ? whole : key + 1;
        if (!near || distance >= best) continue;
        best = distance;
        nearest = table[i].name;
    }
    return nearest;
}
