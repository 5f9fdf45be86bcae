/* Readers and writers: the corpus, numbers, every variant of the formats, messages, truncation, memory that runs out. */
#include "support/test.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "mesh/generate.h"
#include "mesh/reader.h"

#include <dirent.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static ql_status read_text(ql_mesh *mesh, const char *path, const char *text)
{
    return ql_mesh_read_memory(mesh, path, text, strlen(text));
}

static void assert_same_mesh(const ql_mesh *a, const ql_mesh *b)
{
    assert_int_equal(a->vertex_count, b->vertex_count);
    assert_int_equal(a->face_count, b->face_count);
    assert_memory_equal(a->vertices, b->vertices, 3 * sizeof(double) * (size_t)a->vertex_count);
    assert_memory_equal(a->faces, b->faces, 3 * sizeof(int32_t) * (size_t)a->face_count);
    assert_true(a->hash == b->hash);
}

/* ---- corpus ---- */

/* Calls `visit` for every file of a folder of the corpus; returns how many. */
static int each_file(const char *folder, void (*visit)(const char *path, const char *name))
{
    char directory[QL_PATH_SIZE], path[QL_PATH_SIZE];
    int count = 0;
    ASSERT_OK(ql_path_join(directory, QL_TEST_CORPUS, folder));
    DIR *stream = opendir(directory);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        ASSERT_OK(ql_path_join(path, directory, entry->d_name));
        visit(path, entry->d_name);
        ++count;
    }
    (void)closedir(stream);
    return count;
}

static const char *const FOLDERS[] = {"obj", "ply", "off", "stl"};

static void visit_named(const char *path, const char *name)
{
    ql_mesh mesh;
    ql_status status = ql_mesh_read(&mesh, path);
    if (strncmp(name, "ok-", 3) == 0) {
        if (status != QL_OK) fail_msg("%s: %s", name, ql_error_text());
        assert_true(mesh.vertex_count > 0 && mesh.face_count > 0);
        for (int64_t i = 0; i < 3 * (int64_t)mesh.face_count; ++i)
            assert_true(mesh.faces[i] >= 0 && mesh.faces[i] < mesh.vertex_count);
    } else if (strncmp(name, "bad-", 4) == 0) {
        if (status != QL_STATUS_FORMAT) fail_msg("%s: status %s", name, ql_status_name(status));
        assert_non_null(strstr(ql_error_text(), path));
        assert_null(mesh.vertices);
    }
    ql_mesh_destroy(&mesh);
}

static void test_corpus(void **state)
{
    (void)state;
    int files = 0;
    for (int i = 0; i < 4; ++i) files += each_file(FOLDERS[i], visit_named);
    assert_true(files > 90);
}

/* All spellings of the tetrahedron give the same mesh. */
static ql_mesh tetrahedron;
static int tetrahedra;

static void visit_tetrahedron(const char *path, const char *name)
{
    static const char *const OTHERS[] = {"ok-quads",     "ok-concave",     "ok-repeated", "ok-isolated",
                                         "ok-numbers",   "ok-polygons",    "ok-mixed",    "ok-two-solids",
                                         "ok-collapsed", "ok-negative.obj"};
    if (strncmp(name, "ok-", 3) != 0) return;
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; ++i)
        if (strncmp(name, OTHERS[i], strlen(OTHERS[i])) == 0) return;
    ql_mesh mesh;
    ASSERT_OK(ql_mesh_read(&mesh, path));
    if (strstr(path, ".stl") == NULL) {
        if (mesh.hash != tetrahedron.hash) fail_msg("%s is another mesh", name);
        assert_same_mesh(&mesh, &tetrahedron);
    } else {
        assert_int_equal(mesh.vertex_count, 4); /* welded, in another order */
        assert_int_equal(mesh.face_count, 4);
    }
    ++tetrahedra;
    ql_mesh_destroy(&mesh);
}

static void test_variants_agree(void **state)
{
    (void)state;
    ASSERT_OK(ql_mesh_read(&tetrahedron, QL_TEST_CORPUS "/obj/ok-tetrahedron.obj"));
    assert_string_equal(tetrahedron.name, "ok-tetrahedron");
    assert_int_equal(tetrahedron.vertex_count, 4);
    const int32_t faces[] = {0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3};
    assert_memory_equal(tetrahedron.faces, faces, sizeof faces);
    tetrahedra = 0;
    for (int i = 0; i < 4; ++i) (void)each_file(FOLDERS[i], visit_tetrahedron);
    assert_true(tetrahedra >= 25);
    ql_mesh_destroy(&tetrahedron);
}

static void test_mixed_ply(void **state)
{
    (void)state;
    ql_mesh ascii, other;
    ASSERT_OK(ql_mesh_read(&ascii, QL_TEST_CORPUS "/ply/ok-mixed-ascii.ply"));
    const double vertices[] = {0, 0, 0.25, 3, 0, 0, 3, 2, -1e-3, 0, 2, 0, -5, 7, 1};
    assert_int_equal(ascii.vertex_count, 5);
    assert_memory_equal(ascii.vertices, vertices, sizeof vertices);
    assert_int_equal(ascii.face_count, 3); /* a quad and a triangle */
    assert_int_equal(ascii.input_polygons, 1);
    static const char *const PATHS[] = {QL_TEST_CORPUS "/ply/ok-mixed-little.ply",
                                        QL_TEST_CORPUS "/ply/ok-mixed-big.ply"};
    for (int i = 0; i < 2; ++i) {
        ASSERT_OK(ql_mesh_read(&other, PATHS[i]));
        assert_same_mesh(&ascii, &other);
        ql_mesh_destroy(&other);
    }
    ql_mesh_destroy(&ascii);
}

static void test_stl_weld(void **state)
{
    (void)state;
    ql_mesh mesh;
    ASSERT_OK(ql_mesh_read(&mesh, QL_TEST_CORPUS "/stl/ok-negative-zero.stl"));
    assert_int_equal(mesh.vertex_count, 4);
    ql_mesh_destroy(&mesh);
    ASSERT_OK(ql_mesh_read(&mesh, QL_TEST_CORPUS "/stl/ok-two-solids.stl"));
    assert_int_equal(mesh.vertex_count, 4);
    assert_int_equal(mesh.face_count, 8);
    ql_mesh_destroy(&mesh);
}

/* ---- messages ---- */

static void assert_refused(const char *path, const char *text, const char *message)
{
    ql_mesh mesh;
    assert_int_equal(read_text(&mesh, path, text), QL_STATUS_FORMAT);
    assert_string_equal(ql_error_text(), message);
}

static void test_messages(void **state)
{
    (void)state;
    assert_refused("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 9\n",
                   "reading a.obj: line 5: face refers to vertex 9, but only 3 are defined; remove the face or correct "
                   "the reference");
    assert_refused(
        "a.obj", "v 0 0 0\nv 1 \\\n nan 0\n",
        "reading a.obj: line 3: coordinate y is \"nan\" where a finite number was expected; correct or remove it");
    assert_refused(
        "b.off", "OFF\n1099511627776 3 0\n0 0 0\n",
        "reading b.off: the header promises 1099511627776 vertices and 3 faces, but only 6 bytes follow; the "
        "file is truncated or its header wrong");
    assert_refused(
        "c.ply", "ply\nformat ascii 1.0\nelement vertex 1\nproperty quarter x\n",
        "reading c.ply: line 4 of the header: \"quarter\" where a type (char, uchar, short, ushort, int, uint, "
        "float, double) was expected; export the file again");
    assert_refused("d.obj", "", "reading d.obj: the file is empty; export it again");
    assert_refused(
        "e.dat", "hello\n",
        "reading e.dat: neither name nor content is that of an OBJ, PLY, OFF or STL file; convert it to one");
    ql_mesh mesh;
    assert_int_equal(ql_mesh_read(&mesh, "/nowhere/at/all.obj"), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "/nowhere/at/all.obj"));
}

/* Content decides when the name says nothing. */
static void visit_unnamed(const char *path, const char *name)
{
    char *data;
    size_t size;
    ql_mesh mesh;
    if (strncmp(name, "ok-", 3) != 0) return;
    if (strcmp(name, "ok-no-keyword.off") == 0 || strcmp(name, "ok-binary-trailing.stl") == 0 ||
        strcmp(name, "ok-unknown-words.obj") == 0)
        return;
    ASSERT_OK(ql_file_read_whole(path, 0, &data, &size));
    ql_status status = ql_mesh_read_memory(&mesh, "noname", data, size);
    if (status != QL_OK) fail_msg("%s: %s", name, ql_error_text());
    ql_mesh_destroy(&mesh);
    ql_free(data);
}

static void test_content_detection(void **state)
{
    (void)state;
    for (int i = 0; i < 4; ++i) (void)each_file(FOLDERS[i], visit_unnamed);
    assert_true(ql_mesh_is_readable_name("a/b.OBJ") && ql_mesh_is_readable_name("x.y.ply"));
    assert_false(ql_mesh_is_readable_name("obj") || ql_mesh_is_readable_name("a.obj/b") ||
                 ql_mesh_is_readable_name(""));
}

/* ---- damage ---- */

/* Every truncation is answered, and what is refused leaves nothing behind. */
static void visit_truncated(const char *path, const char *name)
{
    char *data;
    size_t size;
    (void)name;
    ASSERT_OK(ql_file_read_whole(path, 0, &data, &size));
    for (size_t cut = 0; cut < size; ++cut) {
        ql_mesh mesh;
        char *copy = ql_memory_take(cut, 1); /* exactly so long: a sanitizer sees a read behind it */
        memcpy(copy, data, cut);
        ql_status status = ql_mesh_read_memory(&mesh, path, copy, cut);
        assert_true(status == QL_OK || status == QL_STATUS_FORMAT);
        ql_mesh_destroy(&mesh);
        ql_free(copy);
    }
    ql_free(data);
}

static void test_truncation(void **state)
{
    (void)state;
    for (int i = 0; i < 4; ++i) (void)each_file(FOLDERS[i], visit_truncated);
}

static void visit_without_memory(const char *path, const char *name)
{
    if (strncmp(name, "ok-", 3) != 0) return;
    for (int n = 1; n < 100; ++n) {
        ql_mesh mesh;
        ql_memory_report before = ql_memory_balance();
        ql_memory_fail_at(n);
        ql_status status = ql_mesh_read(&mesh, path);
        ql_memory_fail_at(0);
        if (status == QL_OK) {
            assert_true(n > 4);
            ql_mesh_destroy(&mesh);
            return;
        }
        assert_int_equal(status, QL_STATUS_NO_MEMORY);
        assert_true(ql_memory_balance().blocks == before.blocks);
    }
    fail_msg("%s: still out of memory", name);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    for (int i = 0; i < 4; ++i) (void)each_file(FOLDERS[i], visit_without_memory);
}

/* ---- numbers ---- */

static double scan_number(const char *text)
{
    ql_scanner scanner;
    double value = NAN;
    ql_scan_open(&scanner, text, strlen(text));
    if (!ql_scan_real(&scanner, &value)) fail_msg("not a number: %s", text);
    ql_scan_close(&scanner);
    return value;
}

static void assert_number(const char *text)
{
    double ours = scan_number(text), theirs = strtod(text, NULL);
    if (memcmp(&ours, &theirs, sizeof ours) != 0) fail_msg("%s: %.17g and not %.17g", text, ours, theirs);
}

static void test_numbers_exact(void **state)
{
    (void)state;
    static const char *const NUMBERS[] = {
        "0",
        "-0",
        "+0.0",
        ".5",
        "5.",
        "1e0",
        "1E-5",
        "123456789012345678",
        "12345678901234567890123",
        "0.1000000000000000055511151231257827021181583404541015625",
        "9007199254740993",
        "9007199254740992.9999999999",
        "9007199254740993.0000000001",
        "4.9e-324",
        "2.4703282292062327208e-324",
        "2.2250738585072011e-308",
        "1e22",
        "1e23",
        "1.7976931348623157e308",
        "1e308",
        "1e309",
        "-1e400",
        "1e-400",
        "1e99999999999",
        "0e99999999999",
        "1e-99999999999",
        "8.5",
        "0.30000000000000004",
        "179769313486231580793728971405301e276",
        "36028797018963973e-17",
        "18446744073709551615",
        "18446744073709551616e-19",
        "9999999999999999999e-19",
        "5000000000000000000001e-21",
        "0.000000000000000000000000000000000000000000000000000000000000000000000001",
        "10000000000000000000000000000000000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; ++i) assert_number(NUMBERS[i]);

    ql_key key = ql_key_make(1, 2);
    for (uint64_t i = 0; i < 200000; ++i) {
        ql_random4 r = ql_random_at(key, QL_STREAM_TEST, 0, i);
        char text[64];
        int64_t mantissa = (int64_t)((uint64_t)r.r[0] << 32 | r.r[1]) >> (r.r[2] % 60);
        if (i % 3 == 0)
            (void)snprintf(text, sizeof text, "%llde%d", (long long)mantissa, (int)(r.r[3] % 60) - 35);
        else if (i % 3 == 1)
            (void)snprintf(text, sizeof text, "%.*f", (int)(r.r[3] % 20), (double)mantissa * 0x1p-40);
        else
            (void)snprintf(text, sizeof text, "%.*g", 1 + (int)(r.r[3] % 20),
                           ldexp((double)mantissa, (int)(r.r[2] % 256) - 190));
        assert_number(text);
    }
}

static void test_not_numbers(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"",     "-",   "+",   ".",  "e5",  "1e",    "1e+",  "1..2",   "1,5",
                                        "0x10", "nan", "inf", "1f", "--1", "1.5.2", "-.e1", "NaN(1)", "1#QNAN"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; ++i) {
        ql_scanner scanner;
        double value;
        ql_scan_open(&scanner, WORDS[i], strlen(WORDS[i]));
        if (ql_scan_real(&scanner, &value)) fail_msg("taken for a number: %s", WORDS[i]);
        ql_scan_close(&scanner);
    }
}

/* A locale with a decimal comma changes neither reading nor writing. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const LOCALES[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"};
    const char *set = NULL;
    for (int i = 0; i < 4 && set == NULL; ++i) set = setlocale(LC_ALL, LOCALES[i]);
    if (set == NULL) {
        print_message("SKIPPED: test_locale (no locale with a decimal comma)\n");
        skip();
    }
    double simple = scan_number("1.5"), hard = scan_number("1.2345678901234567890123e-30");
    (void)setlocale(LC_ALL, "C");
    assert_true(simple == 1.5 && hard == 1.2345678901234567890123e-30);
}

/* ---- writing, hash, speed ---- */

static void test_write_and_read_back(void **state)
{
    (void)state;
    static const char *const EXTENSIONS[] = {"obj", "ply", "off"};
    ql_mesh mesh, back;
    ASSERT_OK(ql_generate_torus(&mesh, 12, 7));
    mesh.vertices[0] = -1.0 / 3.0;
    mesh.vertices[1] = 1e-300;
    mesh.vertices[2] = 6.02214076e23;
    ql_mesh_rehash(&mesh);
    for (int i = 0; i < 3; ++i) {
        char path[64];
        (void)snprintf(path, sizeof path, "/tmp/ql-test-%ld.%s", (long)getpid(), EXTENSIONS[i]);
        ASSERT_OK(ql_mesh_write(&mesh, path));
        ASSERT_OK(ql_mesh_read(&back, path));
        assert_same_mesh(&mesh, &back);
        ql_mesh_destroy(&back);
        ASSERT_OK(ql_file_remove(path));
    }
    assert_int_equal(ql_mesh_write(&mesh, "/tmp/a.stl"), QL_STATUS_USAGE);
    ql_mesh_destroy(&mesh);
}

static void test_hash(void **state)
{
    (void)state;
    ql_mesh a, b;
    ASSERT_OK(read_text(&a, "a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"));
    assert_true(a.hash == UINT64_C(0xae4285b999c3f4e3)); /* results are named after it: it must never change */
    ASSERT_OK(read_text(&b, "other.obj", "v -0 0 -0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"));
    assert_true(a.hash == b.hash);
    b.faces[0] = 1;
    b.faces[1] = 0;
    ql_mesh_rehash(&b);
    assert_true(a.hash != b.hash);
    ql_mesh_destroy(&a);
    ql_mesh_destroy(&b);
}

/* A bound that only an accident of complexity would break, also under sanitizers; the real figure is printed. */
static void test_speed(void **state)
{
    (void)state;
    ql_mesh mesh, back;
    ASSERT_OK(ql_generate_torus(&mesh, 250, 100));
    const char *path = "/tmp/ql-test-speed.obj";
    ASSERT_OK(ql_mesh_write(&mesh, path));
    double start = ql_clock_s();
    ASSERT_OK(ql_mesh_read(&back, path));
    double seconds = ql_clock_s() - start;
    print_message("OBJ with 50,000 faces read in %.1f ms\n", 1e3 * seconds);
    assert_true(seconds < 2.0);
    assert_true(back.hash == mesh.hash);
    ASSERT_OK(ql_file_remove(path));
    ql_mesh_destroy(&mesh);
    ql_mesh_destroy(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),        cmocka_unit_test(test_variants_agree),
        cmocka_unit_test(test_mixed_ply),     cmocka_unit_test(test_stl_weld),
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_content_detection),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_numbers_exact), cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_locale),        cmocka_unit_test(test_write_and_read_back),
        cmocka_unit_test(test_hash),          cmocka_unit_test(test_speed),
    };
    return ql_test_main(tests);
}
