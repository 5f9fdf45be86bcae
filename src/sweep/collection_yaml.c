/* Collection files:
 *
 *   meshes:
 *     - parts/bracket.obj
 *     - scans/(any).ply                 patterns with *, ? and [] as in a shell
 *     - path: parts/housing.stl
 *       set: {train.steps: 20000, quads.target: 8000}
 *
 * Only options of one mesh's own work (train.*, quads.*) can be set here. Errors name file and line. */
#include "base/memory.h"
#include "sweep/collection_private.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { YAML_LIMIT = 1 << 28, SET_SIZE = 4096 };

typedef struct reader {
    ql_collection *collection;
    yaml_document_t *document;
    const char *path;
    int nesting;
} reader;

static ql_status fail_at(const reader *r, const yaml_node_t *node, const char *what)
{
    return QL_FAIL(CONFIG, "%s:%zu: %s", r->path, node->start_mark.line + 1, what);
}

static const char *text_of(const yaml_node_t *node)
{
    return node != NULL && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

/* Paths of a pattern, or the path itself when it holds no pattern or names a file. */
static ql_status add_pattern(const reader *r, const yaml_node_t *node, const char *pattern, const char *set)
{
    char path[QL_PATH_SIZE];
    ql_status status = ql_collection_beside(path, r->path, pattern);
    if (status == QL_OK && (strpbrk(path, "*?[") == NULL || ql_path_exists(path)))
        status = ql_collection_add_input(r->collection, path, set, r->nesting + 1);
    else if (status == QL_OK) {
        glob_t found = {0};
        int code = glob(path, 0, NULL, &found);
        if (code == GLOB_NOMATCH)
            status = QL_FAIL(USAGE, "no file fits %s", path);
        else if (code != 0)
            status = QL_FAIL(USAGE, "%s: this pattern cannot be searched", path);
        for (size_t i = 0; status == QL_OK && i < found.gl_pathc; ++i)
            status = ql_collection_add_input(r->collection, found.gl_pathv[i], set, r->nesting + 1);
        globfree(&found);
    }
    return QL_CHAIN(status, "%s:%zu", r->path, node->start_mark.line + 1);
}

/* One "key=value" line; `key` may be "train.steps" or the name of a section whose mapping is `value`. */
static ql_status add_setting(const reader *r, const yaml_node_t *node, const char *name, const char *value,
                             char set[SET_SIZE])
{
    char where[QL_PATH_SIZE + 32];
    ql_options scratch;
    ql_options_init(&scratch);
    (void)snprintf(where, sizeof where, "%s:%zu", r->path, node->start_mark.line + 1);
    QL_TRY(ql_options_set_named(&scratch, name, value, QL_SOURCE_YAML, where));
    bool own = strncmp(name, "train.", 6) == 0 || strncmp(name, "quads.", 6) == 0;
    if (!own || strcmp(name, "train.preset") == 0)
        return QL_FAIL(CONFIG,
                       "%s: %s holds for a whole run; for one mesh only train.* (without train.preset) "
                       "and quads.* can be set",
                       where, name);
    size_t used = strlen(set);
    if (snprintf(set + used, SET_SIZE - used, "%s=%s\n", name, value) >= (int)(SET_SIZE - used))
        return QL_FAIL(CONFIG, "%s: too many options for one mesh", where);
    return QL_OK;
}

static ql_status read_settings(const reader *r, const yaml_node_t *node, const char *section, char set[SET_SIZE])
{
    if (node->type != YAML_MAPPING_NODE) return fail_at(r, node, "set: expected a mapping of options");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; ++pair) {
        yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
        char name[2 * QL_OPTION_TEXT];
        if (text_of(key) == NULL || strlen(text_of(key)) >= QL_OPTION_TEXT)
            return fail_at(r, key, "expected the name of an option");
        (void)snprintf(name, sizeof name, "%s%s%s", section, section[0] != '\0' ? "." : "", text_of(key));
        if (value->type == YAML_MAPPING_NODE && section[0] == '\0')
            QL_TRY(read_settings(r, value, name, set));
        else if (text_of(value) == NULL)
            return fail_at(r, value, "expected a single value");
        else
            QL_TRY(add_setting(r, key, name, text_of(value), set));
    }
    return QL_OK;
}

static ql_status read_mesh(const reader *r, const yaml_node_t *node)
{
    char set[SET_SIZE] = "";
    const char *pattern = text_of(node);
    if (pattern != NULL) return add_pattern(r, node, pattern, set);
    if (node->type != YAML_MAPPING_NODE)
        return fail_at(r, node, "expected a path, or a mapping with `path:` and `set:`");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; ++pair) {
        yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
        const char *name = text_of(key);
        if (name != NULL && strcmp(name, "path") == 0 && text_of(value) != NULL)
            pattern = text_of(value);
        else if (name != NULL && strcmp(name, "set") == 0)
            QL_TRY(read_settings(r, value, "", set));
        else
            return fail_at(r, key, "expected `path:` with a path or `set:` with options");
    }
    if (pattern == NULL) return fail_at(r, node, "`path:` is missing");
    return add_pattern(r, node, pattern, set);
}

static ql_status read_document(const reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(r->document), *list = NULL;
    if (root == NULL) return QL_FAIL(CONFIG, "%s: is empty; expected `meshes:` with a list of paths", r->path);
    if (root->type == YAML_SEQUENCE_NODE) list = root;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         root->type == YAML_MAPPING_NODE && pair < root->data.mapping.pairs.top; ++pair) {
        yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
        if (text_of(key) == NULL || strcmp(text_of(key), "meshes") != 0)
            return fail_at(r, key, "expected `meshes:` (options belong into the file given with -c)");
        list = yaml_document_get_node(r->document, pair->value);
    }
    if (list == NULL || list->type != YAML_SEQUENCE_NODE)
        return fail_at(r, root, "expected `meshes:` with a list of paths");
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; ++item)
        QL_TRY(read_mesh(r, yaml_document_get_node(r->document, *item)));
    if (list->data.sequence.items.start == list->data.sequence.items.top)
        return fail_at(r, list, "the list of meshes is empty");
    return QL_OK;
}

static ql_status read_text(reader *r, const char *text, size_t size)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (yaml_parser_initialize(&parser) == 0) return QL_FAIL(NO_MEMORY, "no memory for a YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    ql_status status;
    if (yaml_parser_load(&parser, &document) == 0) {
        status = QL_FAIL(CONFIG, "%s:%zu: %s", r->path, parser.problem_mark.line + 1,
                         parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        r->document = &document;
        status = read_document(r);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return status;
}

ql_status ql_collection_add_yaml(ql_collection *collection, const char *path, int nesting)
{
    char *text = NULL;
    size_t size = 0;
    QL_TRY(ql_file_read_whole(path, YAML_LIMIT, &text, &size));
    reader r = {.collection = collection, .path = path, .nesting = nesting};
    ql_status status = read_text(&r, text, size);
    ql_free(text);
    return status;
}
