/* The options of a run and the one table that defines them.
 *
 * The table (options_table.c) gives every option its name, type, unit, default, range, help and preset
 * values. From it come the YAML keys, --set, QL_* environment variables, --help, inputs/defaults.yaml and the
 * provenance of results. Order of precedence: command line > environment > YAML > preset > default; where
 * each value came from is kept.
 *
 * options_table.c is the table, options.c sets, gets and resolves, options_yaml.c reads and writes YAML.
 */
#ifndef QL_BASE_OPTIONS_H
#define QL_BASE_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum ql_preset {
    QL_PRESET_QUALITY, /* the default: the paper's intent */
    QL_PRESET_REFERENCE,
    QL_PRESET_QUICK,
    QL_PRESET_COUNT
} ql_preset;
typedef enum ql_sampling { QL_SAMPLING_NEAR, QL_SAMPLING_FAR } ql_sampling;         /* method, section 3 */
typedef enum ql_averaging { QL_AVERAGING_FACES, QL_AVERAGING_GROUPS } ql_averaging; /* method, section 3 */
typedef enum ql_precision {
    QL_PRECISION_FP32,
    QL_PRECISION_BF16,
    QL_PRECISION_TF32,
    QL_PRECISION_3XTF32,
    QL_PRECISION_FP64
} ql_precision;
typedef enum ql_engine_memory { QL_MEMORY_AUTO, QL_MEMORY_KEEP, QL_MEMORY_RECOMPUTE } ql_engine_memory;
typedef enum ql_quads_method { QL_QUADS_TRAINED, QL_QUADS_SMOOTH } ql_quads_method;

enum { QL_OPTION_TEXT = 64 };

typedef struct ql_train_options {
    ql_preset preset;
    int64_t steps;      /* length of the weight schedule */
    int64_t stop_after; /* stop after this many steps of it; 0 = all */
    uint64_t seed;
    bool deterministic; /* same bytes for every number of threads and ranks */
    int64_t off_points; /* off-surface points per step */
    double checkpoint_every_s;
    double learning_rate;
    double clip_norm;
    double weight_sdf, weight_off, weight_eikonal, weight_normal, weight_align, weight_smooth;
    ql_sampling sampling;
    double near_fraction; /* share of off-surface points drawn near the surface when sampling = near */
    ql_averaging averaging;
    double feature_rho; /* alignment weight 1 - exp(-rho d) near sharp edges; 0 = no features */
    bool stochastic_depth;
    int64_t history_every; /* steps between rows of the history */
} ql_train_options;

typedef struct ql_engine_options {
    char name[QL_OPTION_TEXT]; /* ref, cpu, cuda, or auto */
    ql_precision precision;
    int64_t threads;   /* per rank; 0 = all cores this rank may use */
    int64_t memory_mb; /* budget per mesh; 0 = what the machine has */
    ql_engine_memory memory;
} ql_engine_options;

typedef struct ql_quads_options {
    bool enabled;
    int64_t target;
    double edge_length; /* input units; 0 = from target */
    double feature_angle_deg;
    double irregular_price; /* radians^2, see field/cross_clean.h */
    ql_quads_method method;
} ql_quads_options;

typedef struct ql_sweep_options {
    char group[QL_OPTION_TEXT];   /* ranks per mesh: auto or a number */
    int64_t max_failures;         /* stop the sweep after so many; 0 = never */
    int64_t max_attempts;         /* quarantine a mesh whose training killed the process so many times */
    double time_limit_s;          /* 0 = none */
    int64_t prefetch;             /* meshes prepared ahead per rank */
    char at_once[QL_OPTION_TEXT]; /* meshes in training at the same time per rank: auto or a number */
} ql_sweep_options;

typedef struct ql_store_options {
    bool parameters; /* keep the networks in results */
} ql_store_options;

typedef struct ql_log_options {
    char level[QL_OPTION_TEXT]; /* error, warning, info, debug */
    double interval_s;          /* between progress lines in a log file */
} ql_log_options;

typedef enum ql_option_source {
    QL_SOURCE_DEFAULT,
    QL_SOURCE_PRESET,
    QL_SOURCE_YAML,
    QL_SOURCE_ENVIRONMENT,
    QL_SOURCE_COMMAND_LINE
} ql_option_source;

enum { QL_OPTION_MAX = 64 };

typedef struct ql_options {
    ql_train_options train;
    ql_engine_options engine;
    ql_quads_options quads;
    ql_sweep_options sweep;
    ql_store_options store;
    ql_log_options log;
    unsigned char source[QL_OPTION_MAX]; /* ql_option_source of each row of the table */
} ql_options;

typedef enum ql_option_type {
    QL_OPTION_INT,         /* int64_t */
    QL_OPTION_SEED,        /* uint64_t, any value */
    QL_OPTION_REAL,        /* double */
    QL_OPTION_SECONDS,     /* double; HH:MM:SS is read too */
    QL_OPTION_BOOL,        /* bool */
    QL_OPTION_CHOICE,      /* an enum; names in `choices`, in the order of the enum */
    QL_OPTION_WORD,        /* char[QL_OPTION_TEXT]; one of `choices` */
    QL_OPTION_WORD_OR_INT, /* char[QL_OPTION_TEXT]; one of `choices`, or a whole number in the range */
} ql_option_type;

typedef struct ql_option {
    const char *name; /* "train.steps" */
    ql_option_type type;
    size_t offset;                      /* in ql_options */
    const char *unit;                   /* "" when it has none */
    double min, max;                    /* of the numeric types */
    const char *choices;                /* "a|b|c", or NULL */
    const char *value[QL_PRESET_COUNT]; /* text per preset; NULL = as QL_PRESET_QUALITY, which is the default */
    const char *help;
} ql_option;

/* The table. Rows of a section ("train") follow each other. */
int ql_option_count(void);
const ql_option *ql_option_at(int index);
int ql_option_find(const char *name);            /* -1: no such option */
const char *ql_option_nearest(const char *name); /* for a hint; NULL when nothing is near */

/* What the option accepts, for people: "1 to 1e+07 steps", "near or far". Returns `buffer`. */
const char *ql_option_range(const ql_option *option, char *buffer, size_t size);

/* Help, range and values of other presets in one line. Returns `buffer`. */
const char *ql_option_describe(const ql_option *option, char *buffer, size_t size);

/* Defaults (preset quality). */
void ql_options_init(ql_options *options);

/* Defaults, and over them the values of a preset. */
void ql_options_start_from(ql_options *options, ql_preset preset);

/* Everything in the right order: preset, YAML file (or NULL), environment, then `assignments` ("key=value",
 * later ones win). A preset may itself come from any of these sources; `preset` (or NULL) is that of the
 * command line, where
 * --set train.preset=... still wins. Errors (CONFIG) name file, line and key. */
ql_status ql_options_resolve(ql_options *options, const char *preset, const char *yaml_path,
                             const char *const *assignments, int assignment_count);

/* Sets one option from text; `where` ("run.yaml:12", "--set", "QL_TRAIN_STEPS") begins the error message. */
ql_status ql_options_set(ql_options *options, int index, const char *value, ql_option_source source, const char *where);

/* The same by name; an unknown name is an error with the nearest one as hint. */
ql_status ql_options_set_named(ql_options *options, const char *name, const char *value, ql_option_source source,
                               const char *where);

/* Value as text, in the form that `set` reads back to the same value. Returns `buffer`. */
const char *ql_options_get(const ql_options *options, int index, char *buffer, size_t size);

const char *ql_option_source_name(ql_option_source source);

/* Reads "section: {key: value}" (or "section.key: value") from a YAML file and hands every pair to `visit`,
 * with `where` = "file:line". Stops at the first error. */
typedef ql_status (*ql_options_visit)(void *context, const char *name, const char *value, const char *where);
ql_status ql_options_read_yaml(const char *path, ql_options_visit visit, void *context);
ql_status ql_options_parse_yaml(const char *text, size_t size, const char *path, ql_options_visit visit, void *context);

/* YAML of all options. Comments: help, units and ranges (inputs/defaults.yaml) or, `with_sources`, where each
 * value came from (run.yaml). */
ql_status ql_options_write_yaml(const ql_options *options, bool with_sources, FILE *out);

/* Words of a text in lines of at most `width` columns, each after `lead`. */
void ql_options_print_wrapped(FILE *out, const char *text, const char *lead, int width);

/* Environment variable of an option: train.steps -> QL_TRAIN_STEPS. Returns `buffer`. */
const char *ql_option_variable(const ql_option *option, char buffer[QL_OPTION_TEXT]);

#endif
