. "$(dirname "$0")/harness.sh"

# what `cmake --install` puts in place works from there
BUILD=$(cd "$(dirname "$QUADLOOM")/.." && pwd)
[ -f "$BUILD/cmake_install.cmake" ] || skip "the program is not in a build folder"
run cmake --install "$BUILD" --prefix "$WORK/prefix"
expect_code 0
expect "the man page" [ -s "$WORK/prefix/share/man/man1/quadloom.1" ]
expect "the defaults" cmp "$WORK/prefix/share/quadloom/defaults.yaml" "$ROOT/inputs/defaults.yaml"
run "$WORK/prefix/bin/quadloom" --version
expect_code 0
cd "$WORK" || exit 1
run "$WORK/prefix/bin/quadloom" doctor
expect_code 0
