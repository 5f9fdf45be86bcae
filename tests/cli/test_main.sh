. "$(dirname "$0")/harness.sh"

quadloom
expect_code 2
expect_err "Usage: quadloom COMMAND"
quadloom --help
expect_code 0
expect_out "doctor"
expect_out "75 stopped early"
quadloom help
expect_code 0
quadloom --version
expect_code 0
expect_out "quadloom 0."

# every command that is listed explains itself
for command in $("$QUADLOOM" --help | sed -n 's/^  \([a-z][a-z]*\)  *[a-z].*/\1/p'); do
    quadloom help "$command"
    expect_code 0
    expect_out "Usage: quadloom $command"
    quadloom "$command" --help
    expect_code 0
    quadloom "$command" --no-such-argument
    expect_code 2
    expect_err "--no-such-argument: unknown"
done

quadloom doctr
expect_code 2
expect_err "doctr: no such command; did you mean doctor?"
quadloom help doctr
expect_code 2
quadloom zzzzzz
expect_code 2
expect_err '`quadloom --help` lists them'

# what cannot be written is not success
if [ -w /dev/full ]; then
    COMMAND="quadloom options > /dev/full"
    "$QUADLOOM" options >/dev/full 2>"$ERR" && fail "a full disk passed for success"
    expect_err "standard output could not be written"
fi

# the man page is made of the same tables
quadloom help --man
expect_code 0
expect_out ".TH QUADLOOM 1"
expect_out "train.steps=10000"
expect_out "doctor"
if command -v groff >/dev/null; then
    keep quadloom.1
    run groff -man -Tascii -ww -z "$WORK/quadloom.1"
    expect_code 0
    expect "no warnings of groff" [ ! -s "$ERR" ]
fi
