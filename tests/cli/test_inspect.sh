. "$(dirname "$0")/harness.sh"
cd "$WORK" || exit 1

quadloom generate double-torus --faces 900 -o a.obj
expect_code 0
expect_out "a.obj:"
quadloom generate bracket --faces 300 --output b.ply
expect_code 0

quadloom inspect a.obj b.ply
expect_code 0
expect_out "closed, 1 component, genus 2"
expect_out "open, 1 component, genus 0, 2 boundary loops"
expect_out "usable    yes"

# JSON: one object per line, unusable ones too; exit code 1 says that there are some
printf 'v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n' >flat.obj
printf 'v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 7\n' >index.obj
quadloom inspect --json a.obj index.obj missing.obj flat.obj
expect_code 1
keep lines.json
run "$PYTHON" -c '
import json, sys
a, index, missing, flat = [json.loads(l) for l in open(sys.argv[1])]
assert a["genus"] == 2 and a["usable"] and len(a["hash"]) == 16 and a["name"] == "a"
assert not index["usable"] and "line 5" in index["reason"] and index["path"] == "index.obj"
assert not missing["usable"] and "missing.obj" in missing["reason"]
assert not flat["usable"] and flat["degenerate_faces"] == 1 and "no" in flat["reason"]
' "$WORK/lines.json"
expect_code 0
quadloom inspect index.obj
expect_code 1
expect_out "usable    no: reading index.obj: line 5: face refers to vertex 7, but only 3 are defined"

# the sharp angle decides what is sharp
quadloom inspect --sharp-angle 120 b.ply
expect_out "features  0 sharp edges"

# wrong command lines
quadloom inspect
expect_code 2
expect_err "no mesh named"
quadloom inspect --sharp-angle 200 a.obj
expect_code 2
quadloom generate teapot -o t.obj
expect_code 2
expect_err "there are icosphere, torus"
quadloom generate torus
expect_code 2
expect_err "add -o FILE.obj"
quadloom generate torus -o t.stl
expect_code 2
expect_err "must end in .obj, .ply or .off"
quadloom generate torus -o no/such/folder/t.obj
expect_code 3
quadloom inspect --help
expect_code 0
expect_out "--sharp-angle DEG"
