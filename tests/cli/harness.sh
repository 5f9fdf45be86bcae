# Harness of the shell tests. A test begins with
#     . "$(dirname "$0")/harness.sh"
# and then runs things and says what it expects; the first thing that is not so ends it with a message.
#     run CMD...          keeps standard output in $OUT, standard error in $ERR, the exit code in $CODE
#     quadloom ARG...     the program under test, by run
#     expect_code N       expect_out TEXT     expect_err TEXT     reject_out TEXT     reject_err TEXT
#     expect WHAT CMD...  CMD must succeed
#     keep NAME           copies standard output to $WORK/NAME
#     skip WHY            ends the test as skipped
# $WORK is an empty folder, deleted at the end; $ROOT the checkout; $QUADLOOM the program; $SHARED the shared folder or
# ""; $PYTHON the system's Python, which has the Debian packages.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/tests/env.sh"
QUADLOOM=${QUADLOOM:-$ROOT/build/bin/quadloom}
SHARED=${QL_SHARED:-$ROOT/../shared}
[ -f "$SHARED/golden/README.md" ] || SHARED=
for name in $(env | sed -n 's/^\(QL_[A-Z]*_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
PYTHON=/usr/bin/python3
[ -x $PYTHON ] || PYTHON=python3
WORK=$(mktemp -d "${TMPDIR:-/tmp}/quadloom-cli.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
export OMPI_MCA_orte_tmpdir_base="$WORK" # two mpiruns that share one trip over each other's clearing away
OUT=$WORK/.out ERR=$WORK/.err CODE=0 COMMAND=

run() {
    COMMAND=$*
    CODE=0
    "$@" >"$OUT" 2>"$ERR" </dev/null || CODE=$?
    case $CODE in 86 | 134 | 136 | 139) fail "crashed or a sanitizer found something (code $CODE)" ;; esac
}

export LSAN_OPTIONS="suppressions=$ROOT/tests/lsan.supp:print_suppressions=0"
quadloom() { run env "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=1" "$QUADLOOM" "$@"; }

fail() {
    echo "FAILED: $*"
    echo "--- command: $COMMAND (code $CODE)"
    echo "--- standard output:" && head -c 4000 "$OUT"
    echo "--- standard error:" && head -c 8000 "$ERR"
    exit 1
}

keep() { cp "$OUT" "$WORK/$1"; }

expect_code() { [ "$CODE" -eq "$1" ] || fail "expected exit code $1"; }
expect_out() { grep -qF -- "$1" "$OUT" || fail "standard output lacks: $1"; }
expect_err() { grep -qF -- "$1" "$ERR" || fail "standard error lacks: $1"; }
reject_out() { ! grep -qF -- "$1" "$OUT" || fail "standard output has: $1"; }
reject_err() { ! grep -qF -- "$1" "$ERR" || fail "standard error has: $1"; }
expect() {
    what=$1
    shift
    "$@" >/dev/null 2>&1 || fail "$what: $*"
}
skip() {
    echo "SKIPPED: $(basename "$0" .sh) ($*)"
    exit 77
}
