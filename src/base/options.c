/* Setting, getting and resolving options (see options.h). Values travel as text until they reach their field;
 * every text goes through ql_options_set, so range checks and error messages are the same for all sources. */
#include "base/options.h"
#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static void *field_of(ql_options *options, const ql_option *option)
{
    return (unsigned char *)options + option->offset;
}

static const void *field_of_const(const ql_options *options, const ql_option *option)
{
    return (const unsigned char *)options + option->offset;
}

/* Appends to a text in a fixed buffer; what does not fit is cut off. */
__attribute__((format(printf, 3, 4))) static void append(char *buffer, size_t size, const char *format, ...)
{
    size_t used = strlen(buffer);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(buffer + used, size - used, format, arguments);
    va_end(arguments);
}

static void append_choices(const char *choices, char *buffer, size_t size, const char *last_glue)
{
    size_t length, next_length;
    const char *word = ql_text_choice_at(choices, 0, &length);
    for (int i = 0; word != NULL; ++i) {
        const char *next = ql_text_choice_at(choices, i + 1, &next_length);
        const char *glue = i == 0 ? "" : next != NULL ? ", " : last_glue;
        append(buffer, size, "%s%.*s", glue, (int)length, word);
        word = next;
        length = next_length;
    }
}

const char *ql_option_range(const ql_option *option, char *buffer, size_t size)
{
    char low[QL_REAL_SIZE], high[QL_REAL_SIZE];
    buffer[0] = '\0';
    switch (option->type) {
    case QL_OPTION_SEED: append(buffer, size, "0 to %llu", (unsigned long long)UINT64_MAX); break;
    case QL_OPTION_BOOL: append(buffer, size, "true or false"); break;
    case QL_OPTION_CHOICE:
    case QL_OPTION_WORD: append_choices(option->choices, buffer, size, " or "); break;
    case QL_OPTION_WORD_OR_INT:
        append_choices(option->choices, buffer, size, ", ");
        append(buffer, size, " or ");
        /* fall through */
    case QL_OPTION_INT:
    case QL_OPTION_REAL:
    case QL_OPTION_SECONDS:
        if (option->type == QL_OPTION_INT || option->type == QL_OPTION_WORD_OR_INT)
            append(buffer, size, "%.0f to %.0f", option->min, option->max);
        else
            append(buffer, size, "%s to %s", ql_text_from_real(low, option->min), ql_text_from_real(high, option->max));
        if (option->unit[0] != '\0') append(buffer, size, " %s", option->unit);
        break;
    }
    return buffer;
}

static bool set_int(const ql_option *option, const char *text, int64_t *field)
{
    int64_t value;
    if (!ql_text_to_int(text, &value) || (double)value < option->min || (double)value > option->max) return false;
    *field = value;
    return true;
}

static bool set_real(const ql_option *option, const char *text, double *field)
{
    double value;
    bool read = option->type == QL_OPTION_SECONDS ? ql_text_to_seconds(text, &value) : ql_text_to_real(text, &value);
    if (!read || value < option->min || value > option->max) return false;
    *field = value;
    return true;
}

static bool set_word(const ql_option *option, const char *text, char field[QL_OPTION_TEXT])
{
    int64_t number;
    bool number_fits = option->type == QL_OPTION_WORD_OR_INT && set_int(option, text, &number);
    if (!number_fits && ql_text_choice(option->choices, text) < 0) return false;
    if (number_fits)
        (void)snprintf(field, QL_OPTION_TEXT, "%lld", (long long)number);
    else
        (void)snprintf(field, QL_OPTION_TEXT, "%s", text);
    return true;
}

static bool set_choice(const ql_option *option, const char *text, void *field)
{
    int choice = ql_text_choice(option->choices, text);
    if (choice < 0) return false;
    _Static_assert(sizeof(ql_preset) == sizeof(int) && sizeof(ql_precision) == sizeof(int), "enums are as wide as int");
    memcpy(field, &choice, sizeof choice);
    return true;
}

static bool set_text(const ql_option *option, const char *text, void *field)
{
    switch (option->type) {
    case QL_OPTION_INT: return set_int(option, text, field);
    case QL_OPTION_SEED: return ql_text_to_uint(text, field);
    case QL_OPTION_REAL:
    case QL_OPTION_SECONDS: return set_real(option, text, field);
    case QL_OPTION_BOOL: return ql_text_to_bool(text, field);
    case QL_OPTION_CHOICE: return set_choice(option, text, field);
    case QL_OPTION_WORD:
    case QL_OPTION_WORD_OR_INT: return set_word(option, text, field);
    }
    return false;
}

ql_status ql_options_set(ql_options *options, int index, const char *value, ql_option_source source, const char *where)
{
    const ql_option *option = ql_option_at(index);
    char range[256];
    if (!set_text(option, value, field_of(options, option)))
        return QL_FAIL(CONFIG, "%s: %s: '%.80s' is not accepted; expected %s", where, option->name, value,
                       ql_option_range(option, range, sizeof range));
    options->source[index] = (unsigned char)source;
    return QL_OK;
}

ql_status ql_options_set_named(ql_options *options, const char *name, const char *value, ql_option_source source,
                               const char *where)
{
    int index = ql_option_find(name);
    if (index >= 0) return ql_options_set(options, index, value, source, where);
    const char *nearest = ql_option_nearest(name);
    if (nearest != NULL) return QL_FAIL(CONFIG, "%s: %.80s: no such option; did you mean %s?", where, name, nearest);
    return QL_FAIL(CONFIG, "%s: %.80s: no such option; `quadloom options` lists them", where, name);
}

const char *ql_options_get(const ql_options *options, int index, char *buffer, size_t size)
{
    const ql_option *option = ql_option_at(index);
    const void *field = field_of_const(options, option);
    char real[QL_REAL_SIZE];
    int choice;
    size_t length;
    buffer[0] = '\0';
    switch (option->type) {
    case QL_OPTION_INT: append(buffer, size, "%lld", (long long)*(const int64_t *)field); break;
    case QL_OPTION_SEED: append(buffer, size, "%llu", (unsigned long long)*(const uint64_t *)field); break;
    case QL_OPTION_REAL:
    case QL_OPTION_SECONDS: append(buffer, size, "%s", ql_text_from_real(real, *(const double *)field)); break;
    case QL_OPTION_BOOL: append(buffer, size, "%s", *(const bool *)field ? "true" : "false"); break;
    case QL_OPTION_CHOICE:
        memcpy(&choice, field, sizeof choice);
        const char *word = ql_text_choice_at(option->choices, choice, &length);
        assert(word != NULL);
        append(buffer, size, "%.*s", (int)length, word);
        break;
    case QL_OPTION_WORD:
    case QL_OPTION_WORD_OR_INT: append(buffer, size, "%s", (const char *)field); break;
    }
    return buffer;
}

const char *ql_option_source_name(ql_option_source source)
{
    static const char *const names[] = {"default", "preset", "yaml", "environment", "command line"};
    return names[source];
}

static void set_from_table(ql_options *options, int index, const char *text, ql_option_source source)
{
    const ql_option *option = ql_option_at(index);
    bool accepted = set_text(option, text, field_of(options, option));
    assert(accepted); /* a row of the table contradicts itself */
    (void)accepted;
    options->source[index] = (unsigned char)source;
}

void ql_options_init(ql_options *options)
{
    memset(options, 0, sizeof *options);
    for (int i = 0; i < ql_option_count(); ++i)
        set_from_table(options, i, ql_option_at(i)->value[QL_PRESET_QUALITY], QL_SOURCE_DEFAULT);
}

void ql_options_start_from(ql_options *options, ql_preset preset)
{
    ql_options_init(options);
    for (int i = 0; i < ql_option_count(); ++i) {
        const char *text = ql_option_at(i)->value[preset];
        if (text != NULL && preset != QL_PRESET_QUALITY) set_from_table(options, i, text, QL_SOURCE_PRESET);
    }
}

const char *ql_option_variable(const ql_option *option, char buffer[QL_OPTION_TEXT])
{
    (void)snprintf(buffer, QL_OPTION_TEXT, "QL_%s", option->name);
    for (char *c = buffer; *c != '\0'; ++c) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
        if (*c == '.') *c = '_';
    }
    return buffer;
}

/* QL_TRAIN_... that is no option is a typo; QL_ variables of other sections are somebody else's. */
static ql_status check_variable(const char *entry)
{
    static const char *const sections[] = {"QL_TRAIN_", "QL_ENGINE_", "QL_QUADS_", "QL_SWEEP_", "QL_LOG_"};
    bool ours = false;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; ++i)
        ours = ours || strncmp(entry, sections[i], strlen(sections[i])) == 0;
    if (!ours) return QL_OK;
    char typed[QL_OPTION_TEXT], variable[QL_OPTION_TEXT];
    (void)snprintf(typed, sizeof typed, "%.*s", (int)strcspn(entry, "="), entry);
    const char *nearest = NULL;
    int best = 1000;
    for (int i = 0; i < ql_option_count(); ++i) {
        int distance = ql_text_distance(typed, ql_option_variable(ql_option_at(i), variable));
        if (distance == 0) return QL_OK;
        if (distance >= best || !ql_text_is_near(typed, distance)) continue;
        best = distance;
        nearest = ql_option_at(i)->name;
    }
    if (nearest == NULL)
        return QL_FAIL(CONFIG, "environment variable %s: no such option; `quadloom options` lists them", typed);
    return QL_FAIL(CONFIG, "environment variable %s: no such option; did you mean %s?", typed,
                   ql_option_variable(ql_option_at(ql_option_find(nearest)), variable));
}

static ql_status read_environment(ql_options *options)
{
    char variable[QL_OPTION_TEXT], where[QL_OPTION_TEXT + 32];
    for (char **entry = environ; entry != NULL && *entry != NULL; ++entry) QL_TRY(check_variable(*entry));
    for (int i = 0; i < ql_option_count(); ++i) {
        const char *value = getenv(ql_option_variable(ql_option_at(i), variable));
        if (value == NULL) continue;
        (void)snprintf(where, sizeof where, "environment variable %s", variable);
        QL_TRY(ql_options_set(options, i, value, QL_SOURCE_ENVIRONMENT, where));
    }
    return QL_OK;
}

static ql_status visit_yaml(void *context, const char *name, const char *value, const char *where)
{
    return ql_options_set_named(context, name, value, QL_SOURCE_YAML, where);
}

static ql_status read_assignment(ql_options *options, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char name[QL_OPTION_TEXT];
    if (equals == NULL || (size_t)(equals - assignment) >= sizeof name)
        return QL_FAIL(CONFIG, "--set %.80s: expected key=value, e.g. --set train.steps=1000", assignment);
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    return ql_options_set_named(options, name, equals + 1, QL_SOURCE_COMMAND_LINE, "--set");
}

/* All sources from low to high precedence over what `options` holds. */
static ql_status read_sources(ql_options *options, const char *preset, const char *yaml_path,
                              const char *const *assignments, int assignment_count)
{
    if (yaml_path != NULL) QL_TRY(ql_options_read_yaml(yaml_path, visit_yaml, options));
    QL_TRY(read_environment(options));
    if (preset != NULL)
        QL_TRY(ql_options_set_named(options, "train.preset", preset, QL_SOURCE_COMMAND_LINE, "--preset"));
    for (int i = 0; i < assignment_count; ++i) QL_TRY(read_assignment(options, assignments[i]));
    return QL_OK;
}

/* Two passes: the first tells which preset was asked for, wherever that was said; the second starts from it.
 */
ql_status ql_options_resolve(ql_options *options, const char *preset, const char *yaml_path,
                             const char *const *assignments, int assignment_count)
{
    ql_options_init(options);
    QL_TRY(read_sources(options, preset, yaml_path, assignments, assignment_count));
    ql_preset wanted = options->train.preset;
    ql_options_start_from(options, wanted);
    return read_sources(options, preset, yaml_path, assignments, assignment_count);
}

/* Words of `text` in lines of at most `width` columns, each after `lead`. */
void ql_options_print_wrapped(FILE *out, const char *text, const char *lead, int width)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column == 0 || column + 1 + length > width)
            column = fprintf(out, "%s%s%.*s", column == 0 ? "" : "\n", lead, length, text);
        else
            column += fprintf(out, " %.*s", length, text);
        text += length;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

const char *ql_option_describe(const ql_option *option, char *buffer, size_t size)
{
    static const struct {
        ql_preset preset;
        const char *name;
    } others[] = {{QL_PRESET_REFERENCE, "reference"}, {QL_PRESET_QUICK, "quick"}};
    char range[256];
    buffer[0] = '\0';
    append(buffer, size, "%s. [%s", option->help, ql_option_range(option, range, sizeof range));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; ++i) {
        const char *value = option->value[others[i].preset];
        if (value == NULL || strcmp(value, option->value[QL_PRESET_QUALITY]) == 0 || option->offset == 0) continue;
        append(buffer, size, "; preset %s: %s", others[i].name, value);
    }
    append(buffer, size, "]");
    return buffer;
}
