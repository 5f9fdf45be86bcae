#!/bin/sh
# Quad meshes of every mesh in a folder, judged, beside what other quad meshers do.
#
#     analysis/quads.sh DIR [OUT_DIR]
#
# Environment: QUADLOOM (program; default build/bin/quadloom), QUADS (target, default 4000), METHOD (smooth or trained; with
# trained, FIELDS names a folder with NAME.rosy, NAME.txt or, as `quadloom export` writes them, NAME-HASH8.rosy; meshes
# without one are left out), QL_SHARED (folder with tools/quadjudge.py and peers/peers.csv; default ../shared beside the
# checkout). Writes OUT_DIR/NAME.obj, NAME.json, NAME.judge and table.csv; prints the table
# (quads_table.py). One thread.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
meshes=${1:?usage: analysis/quads.sh DIR [OUT_DIR]}
out=${2:-quads-out}
program=${QUADLOOM:-$here/build/bin/quadloom}
shared=${QL_SHARED:-$here/../shared}
target=${QUADS:-4000}
method=${METHOD:-smooth}
mkdir -p "$out"
for mesh in "$meshes"/*.obj "$meshes"/*.ply "$meshes"/*.off "$meshes"/*.stl; do
    [ -f "$mesh" ] || continue
    name=$(basename "$mesh")
    name=${name%.*}
    set --
    if [ "$method" = trained ]; then
        for field in "${FIELDS:?FIELDS names no folder}/$name".rosy "$FIELDS/$name".txt "$FIELDS/$name"-????????.rosy; do
            [ -f "$field" ] && set -- --field "$field"
        done
        [ $# -gt 0 ] || continue # nothing trained for it
    fi
    rm -f "$out/$name.obj" "$out/$name.judge"
    if OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$program" quads "$mesh" --method "$method" --target-quads "$target" "$@" \
        -o "$out/$name.obj" --json >"$out/$name.json" 2>"$out/$name.log"; then
        if [ -f "$shared/tools/quadjudge.py" ] && [ "${mesh##*.}" = obj ]; then
            /usr/bin/python3 "$shared/tools/quadjudge.py" "$out/$name.obj" "$mesh" >"$out/$name.judge"
        fi
    else
        echo "$name: $(tail -n 1 "$out/$name.log")"
    fi
done
/usr/bin/python3 "$here/analysis/quads_table.py" "$out" --target "$target" --peers "$shared/peers/peers.csv" \
    --manifest "$shared/meshes/manifest.csv" --csv "$out/table.csv"
