. "$(dirname "$0")/harness.sh"

# the committed file is what the table says
quadloom options --yaml
expect_code 0
cmp -s "$OUT" "$ROOT/inputs/defaults.yaml" ||
    fail "inputs/defaults.yaml is out of date: quadloom options --yaml > inputs/defaults.yaml"

quadloom options --yaml --preset reference
expect_code 0
expect_out "sampling: far"
expect_out "averaging: groups"
quadloom options --yaml --preset quick
expect_out "steps: 100"
quadloom options --yaml --preset slow
expect_code 2
expect_err "expected quality, reference or quick"

# the same everywhere, whatever the environment says
COMMAND="QL_TRAIN_STEPS=5 quadloom options --yaml"
QL_TRAIN_STEPS=5 "$QUADLOOM" options --yaml >"$OUT" 2>"$ERR"
cmp -s "$OUT" "$ROOT/inputs/defaults.yaml" || fail "the environment changes inputs/defaults.yaml"

quadloom options
expect_code 0
for name in train.steps train.seed train.deterministic train.off_points train.preset train.checkpoint_every_s engine.name \
    engine.precision engine.threads engine.memory_mb quads.enabled quads.target quads.edge_length \
    quads.feature_angle_deg quads.method sweep.group sweep.max_failures sweep.time_limit_s; do
    expect_out "  $name="
done
quadloom options train.steps
expect_out "QL_TRAIN_STEPS"
reject_out "train.seed"
quadloom options train.stepz
expect_code 2
expect_err "did you mean train.steps?"
