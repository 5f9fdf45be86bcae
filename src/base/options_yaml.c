/* Options as YAML (see options.h): reading by libyaml's document interface, which knows the line of every
 * node, and writing. The grammar is small: a mapping of sections, each a mapping of scalars; "section.key:
 * value" at the top is accepted too. Everything else is an error with its line. */
#include "base/options.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { YAML_LIMIT = 1 << 20, WHERE_SIZE = QL_PATH_SIZE + 32 };

typedef struct reader {
    const char *path;
    yaml_document_t *document;
    ql_options_visit visit;
    void *context;
    struct seen { /* for keys given twice */
        char name[QL_OPTION_TEXT];
        size_t line;
    } seen[QL_OPTION_MAX];
    int seen_count;
} reader;

static const char *where_is(const reader *r, const yaml_node_t *node, char where[WHERE_SIZE])
{
    (void)snprintf(where, WHERE_SIZE, "%s:%zu", r->path, node->start_mark.line + 1);
    return where;
}

static const char *scalar_text(const yaml_node_t *node) { return (const char *)node->data.scalar.value; }

static ql_status check_scalar(const reader *r, const yaml_node_t *node, const yaml_node_t *place, const char *what)
{
    char where[WHERE_SIZE];
    if (node->type != YAML_SCALAR_NODE)
        return QL_FAIL(CONFIG, "%s: %s: expected a single value, not a list or a mapping", where_is(r, place, where),
                       what);
    if (strlen(scalar_text(node)) != node->data.scalar.length)
        return QL_FAIL(CONFIG, "%s: %s: a zero byte in the text", where_is(r, place, where), what);
    return QL_OK;
}

static ql_status note_seen(reader *r, const char *name, const yaml_node_t *key)
{
    char where[WHERE_SIZE];
    for (int i = 0; i < r->seen_count; ++i)
        if (strcmp(r->seen[i].name, name) == 0)
            return QL_FAIL(CONFIG, "%s: %s: given twice, first on line %zu", where_is(r, key, where), name,
                           r->seen[i].line);
    if (r->seen_count < QL_OPTION_MAX) {
        struct seen *entry = &r->seen[r->seen_count++];
        (void)snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->line = key->start_mark.line + 1;
    }
    return QL_OK;
}

static ql_status read_pair(reader *r, const char *section, const yaml_node_t *key, const yaml_node_t *value)
{
    char name[QL_OPTION_TEXT], where[WHERE_SIZE];
    int length = section[0] == '\0' ? snprintf(name, sizeof name, "%s", scalar_text(key))
                                    : snprintf(name, sizeof name, "%s.%s", section, scalar_text(key));
    if (length < 0 || (size_t)length >= sizeof name)
        return QL_FAIL(CONFIG, "%s: %.40s...: no such option; `quadloom options` lists them", where_is(r, key, where),
                       name);
    QL_TRY(check_scalar(r, value, key, name));
    QL_TRY(r->visit(r->context, name, scalar_text(value), where_is(r, key, where)));
    return note_seen(r, name, key);
}

static ql_status read_mapping(reader *r, const char *section, const yaml_node_t *mapping)
{
    const yaml_node_pair_t *end = mapping->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < end; ++pair) {
        const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
        QL_TRY(check_scalar(r, key, key, "key"));
        bool empty = value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0 &&
                     value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        bool top = section[0] == '\0', dotted = strchr(scalar_text(key), '.') != NULL;
        if (top && value->type == YAML_MAPPING_NODE)
            QL_TRY(read_mapping(r, scalar_text(key), value));
        else if (!(top && empty && !dotted)) /* "train:" with nothing under it says nothing */
            QL_TRY(read_pair(r, section, key, value));
    }
    return QL_OK;
}

static ql_status parse_failure(const char *path, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) return QL_FAIL(NO_MEMORY, "%s: no memory to read it", path);
    return QL_FAIL(CONFIG, "%s:%zu: not YAML: %s", path, parser->problem_mark.line + 1,
                   parser->problem != NULL ? parser->problem : "unknown problem");
}

static ql_status read_document(yaml_parser_t *parser, reader *r)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document)) return parse_failure(r->path, parser);
    r->document = &document;
    char where[WHERE_SIZE];
    ql_status status = QL_OK;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    /* no root: an empty file; an empty scalar: only comments behind '---' */
    bool nothing = root == NULL || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0);
    if (!nothing && root->type != YAML_MAPPING_NODE)
        status = QL_FAIL(CONFIG, "%s: expected sections such as 'train:'", where_is(r, root, where));
    else if (!nothing)
        status = read_mapping(r, "", root);
    yaml_document_delete(&document);
    r->document = NULL;
    return status;
}

/* A file has one document; a second one would silently be ignored. */
static ql_status check_end(yaml_parser_t *parser, const char *path)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document)) return parse_failure(path, parser);
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    size_t line = document.start_mark.line + 1;
    yaml_document_delete(&document);
    return root == NULL ? QL_OK : QL_FAIL(CONFIG, "%s:%zu: a second YAML document; keep one per file", path, line);
}

ql_status ql_options_parse_yaml(const char *text, size_t size, const char *path, ql_options_visit visit, void *context)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return QL_FAIL(NO_MEMORY, "%s: no memory to read it", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    reader r = {.path = path, .visit = visit, .context = context};
    ql_status status = read_document(&parser, &r);
    if (status == QL_OK && !parser.stream_end_produced) status = check_end(&parser, path);
    yaml_parser_delete(&parser);
    return status;
}

ql_status ql_options_read_yaml(const char *path, ql_options_visit visit, void *context)
{
    char *text;
    size_t size;
    QL_TRY(ql_file_read_whole(path, YAML_LIMIT, &text, &size));
    ql_status status = ql_options_parse_yaml(text, size, path, visit, context);
    ql_free(text);
    return status;
}

static void write_row(const ql_options *options, int index, bool with_sources, FILE *out)
{
    const ql_option *option = ql_option_at(index);
    char value[QL_OPTION_TEXT + 64], text[1024];
    if (!with_sources) ql_options_print_wrapped(out, ql_option_describe(option, text, sizeof text), "  # ", 110);
    (void)fprintf(out, "  %s: %s", strchr(option->name, '.') + 1, ql_options_get(options, index, value, sizeof value));
    if (with_sources) (void)fprintf(out, "  # %s", ql_option_source_name(options->source[index]));
    (void)fputc('\n', out);
}

ql_status ql_options_write_yaml(const ql_options *options, bool with_sources, FILE *out)
{
    const char *section = "";
    for (int i = 0; i < ql_option_count(); ++i) {
        const char *name = ql_option_at(i)->name;
        size_t length = strcspn(name, ".");
        if (strncmp(section, name, length + 1) != 0) {
            (void)fprintf(out, "%s%.*s:\n", i > 0 ? "\n" : "", (int)length, name);
            section = name;
        }
        write_row(options, i, with_sources, out);
    }
    return ferror(out) ? QL_FAIL(IO, "options could not be written") : QL_OK;
}
