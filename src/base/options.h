/* The options of a run and the one table that defines them.
 *
 * The table (options_table.c) gives every option its name, type, unit, default, range, help and preset values. From it
 * come the YAML keys, --set, QL_* environment variables, --help, inputs/defaults.yaml and the provenance of results.
 * Order of precedence: command line > environment > YAML > preset > default; where each value came from is kept.
 */
#ifndef QL_BASE_OPTIONS_H
#define QL_BASE_OPTIONS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum ql_preset { QL_PRESET_QUALITY, QL_PRESET_REFERENCE, QL_PRESET_QUICK } ql_preset;
typedef enum ql_sampling { QL_SAMPLING_NEAR, QL_SAMPLING_FAR } ql_sampling;       /* method, section 3 */
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
    double feature_rho;   /* alignment weight 1 - exp(-rho d) near sharp edges; 0 = no features */
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
    ql_quads_method method;
} ql_quads_options;

typedef struct ql_sweep_options {
    char group[QL_OPTION_TEXT]; /* ranks per mesh: auto or a number */
    int64_t max_failures;       /* stop the sweep after so many; 0 = never */
    int64_t max_attempts;       /* quarantine a mesh whose training killed the process so many times */
    double time_limit_s;        /* 0 = none */
    int64_t prefetch;           /* meshes prepared ahead per rank */
} ql_sweep_options;

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
    ql_log_options log;
    unsigned char source[QL_OPTION_MAX]; /* ql_option_source of each row of the table */
} ql_options;

typedef enum ql_option_type {
    QL_OPTION_INT,  /* int64_t */
    QL_OPTION_SEED, /* uint64_t */
    QL_OPTION_REAL, /* double */
    QL_OPTION_BOOL,
    QL_OPTION_CHOICE, /* an enum; names in `choices` */
    QL_OPTION_STRING  /* char[QL_OPTION_TEXT]; when `choices` is set, one of them or what `pattern_help` says */
} ql_option_type;

typedef struct ql_option {
    const char *name; /* "train.steps" */
    ql_option_type type;
    size_t offset; /* in ql_options */
    const char *unit; /* "" when it has none */
    const char *preset_default;          /* text of the default (= preset quality) */
    const char *reference, *quick;       /* preset values, NULL = as default */
    double min, max;
    const char *choices; /* "a|b|c", or NULL */
    const char *help;
} ql_option;

/* The table. */
int ql_option_count(void);
const ql_option *ql_option_at(int index);
int ql_option_find(const char *name); /* -1: no such option; see also ql_option_nearest for a hint */
const char *ql_option_nearest(const char *name);

/* Defaults (preset quality). */
void ql_options_init(ql_options *options);

/* Everything in the right order: preset, YAML file (or NULL), environment, then `assignments` ("key=value"). A preset may
 * itself come from any of these sources. Errors name file, line and key. */
ql_status ql_options_resolve(ql_options *options, const char *preset, const char *yaml_path,
                             const char *const *assignments, int assignment_count);

/* Sets one option from text; `where` ("run.yaml:12", "--set", "QL_TRAIN_STEPS") begins the error message. */
ql_status ql_options_set(ql_options *options, int index, const char *value, ql_option_source source,
                         const char *where);

/* Value as text, in the form that `set` reads back to the same value. Returns `buffer`. */
const char *ql_options_get(const ql_options *options, int index, char *buffer, size_t size);

const char *ql_option_source_name(ql_option_source source);

/* YAML with values, units, ranges and help as comments. `with_sources` adds where each value came from (run.yaml). */
ql_status ql_options_write_yaml(const ql_options *options, bool with_sources, FILE *out);

/* The section of --help. */
void ql_options_print_help(FILE *out);

#endif
