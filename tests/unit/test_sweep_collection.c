/* Inputs of a run: folders, lists, collection files, shards. */
#include "support/test.h"

#include "base/file.h"
#include "sweep/collection.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[128];

static void write_text(const char *name, const char *text)
{
    char path[QL_PATH_SIZE];
    ASSERT_OK(ql_path_join(path, folder, name));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char *in_folder(const char *name)
{
    static char path[2][QL_PATH_SIZE];
    static int turn;
    turn = 1 - turn;
    ASSERT_OK(ql_path_join(path[turn], folder, name));
    return path[turn];
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/ql-collection-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    ASSERT_OK(ql_directory_make(in_folder("a/deep")));
    ASSERT_OK(ql_directory_make(in_folder("a/.hidden")));
    ASSERT_OK(ql_directory_make(in_folder("a/run/meshes")));
    ASSERT_OK(ql_directory_make(in_folder("empty")));
    write_text("a/b.obj", "12345");
    write_text("a/a.off", "123");
    write_text("a/notes.txt", "x");
    write_text("a/deep/c.ply", "1234567");
    write_text("a/.hidden/d.obj", "x");
    write_text("a/run/run.yaml", "x");
    write_text("a/run/meshes/e.obj", "x");
    write_text("z.stl", "1");
    return symlink(folder, in_folder("a/deep/loop"));
}

static int remove_folder(void **state)
{
    (void)state;
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void expect_names(const ql_collection *collection, const char *names)
{
    char got[512] = "";
    for (int64_t i = 0; i < collection->count; ++i) {
        size_t used = strlen(got);
        (void)snprintf(got + used, sizeof got - used, "%s%s", i > 0 ? " " : "",
                       ql_path_name(collection->items[i].path));
    }
    assert_string_equal(got, names);
}

static void expect_error(const char *input, ql_status status, const char *part)
{
    ql_collection collection = {0};
    assert_int_equal(ql_collection_add(&collection, input), status);
    if (strstr(ql_error_text(), part) == NULL) fail_msg("'%s' is not in: %s", part, ql_error_text());
    ql_collection_destroy(&collection);
}

static void test_folder(void **state)
{
    (void)state;
    ql_collection collection = {0};
    ASSERT_OK(ql_collection_add(&collection, in_folder("a/")));
    expect_names(&collection, "a.off b.obj c.ply z.stl"); /* z.stl by the link, which leads round in a circle */
    assert_int_equal(collection.items[1].bytes, 5);
    ASSERT_OK(ql_collection_add(&collection, in_folder("a/b.obj"))); /* known already */
    assert_int_equal(collection.count, 4);
    ql_collection_destroy(&collection);
    expect_error(in_folder("empty"), QL_STATUS_USAGE, "no mesh in this folder");
    expect_error(in_folder("none.obj"), QL_STATUS_USAGE, "none.obj: no such mesh");
}

static void test_list(void **state)
{
    (void)state;
    write_text("list.txt", "# parts\n\n  a/b.obj \r\na/deep/c.ply\n@more.txt");
    write_text("more.txt", "z.stl\n");
    write_text("bad.txt", "z.stl\n\nmissing.obj\n");
    write_text("self.txt", "@self.txt\n");
    char input[QL_PATH_SIZE + 1] = "@";
    (void)strcat(input, in_folder("list.txt"));
    ql_collection collection = {0};
    ASSERT_OK(ql_collection_add(&collection, input));
    expect_names(&collection, "b.obj c.ply z.stl");
    ql_collection_destroy(&collection);
    (void)strcpy(input + 1, in_folder("bad.txt"));
    expect_error(input, QL_STATUS_USAGE, "bad.txt:3: ");
    (void)strcpy(input + 1, in_folder("self.txt"));
    expect_error(input, QL_STATUS_USAGE, "lists within lists");
    (void)strcpy(input + 1, in_folder("no.txt"));
    expect_error(input, QL_STATUS_USAGE, "no such list file");
}

static void test_yaml(void **state)
{
    (void)state;
    write_text("c.yaml", "meshes:\n  - a/*.o*\n  - path: z.stl\n    set: {train.steps: 77, quads: {target: 9}}\n");
    ql_collection collection = {0};
    ASSERT_OK(ql_collection_add(&collection, in_folder("c.yaml")));
    expect_names(&collection, "a.off b.obj z.stl");
    ql_options run, own;
    ql_options_init(&run);
    ASSERT_OK(ql_collection_item_options(&collection.items[2], &run, &own));
    assert_int_equal(own.train.steps, 77);
    assert_int_equal(own.quads.target, 9);
    ASSERT_OK(ql_collection_item_options(&collection.items[0], &run, &own));
    assert_int_equal(own.train.steps, run.train.steps);
    ql_collection_destroy(&collection);

    write_text("c.yaml", "meshes:\n  - a/b.obj\n  - none*.obj\n");
    expect_error(in_folder("c.yaml"), QL_STATUS_USAGE, "c.yaml:3: no file fits");
    write_text("c.yaml", "meshes:\n  - path: z.stl\n    set: {train.stepz: 7}\n");
    expect_error(in_folder("c.yaml"), QL_STATUS_CONFIG, "c.yaml:3: train.stepz: no such option");
    write_text("c.yaml", "meshes:\n  - path: z.stl\n    set: {engine.threads: 7}\n");
    expect_error(in_folder("c.yaml"), QL_STATUS_CONFIG, "holds for a whole run");
    write_text("c.yaml", "train: {steps: 5}\n");
    expect_error(in_folder("c.yaml"), QL_STATUS_CONFIG, "c.yaml:1: expected `meshes:`");
    write_text("c.yaml", "meshes: [\n");
    expect_error(in_folder("c.yaml"), QL_STATUS_CONFIG, "c.yaml:");
}

static void test_shards(void **state)
{
    (void)state;
    int64_t total = 0;
    for (int64_t shard = 1; shard <= 3; ++shard) {
        ql_collection collection = {0};
        ASSERT_OK(ql_collection_add(&collection, in_folder("a")));
        ASSERT_OK(ql_collection_keep_shard(&collection, shard, 3));
        total += collection.count;
        if (shard == 1) expect_names(&collection, "c.ply z.stl"); /* largest and smallest */
        if (shard == 2) expect_names(&collection, "b.obj");
        ql_collection_destroy(&collection);
    }
    assert_int_equal(total, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_list, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_yaml, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_shards, make_folder, remove_folder),
    };
    return ql_test_main(tests);
}
