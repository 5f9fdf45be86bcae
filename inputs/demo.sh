#!/bin/sh
# Installs what is missing, builds, makes three meshes by formula, trains them on 2 ranks and says where the results are.
# No GPU, no Slurm, no argument needed. Two cores take about two minutes after the build.
#   sh inputs/demo.sh              everything goes to out/demo
#   sh inputs/demo.sh FOLDER       or elsewhere
set -eu
cd "$(dirname "$0")/.."
demo=${1:-out/demo}
say() { printf '\n== %s\n' "$*"; }

say "Installing what is missing"
sh cmake/install-packages.sh cmake/packages.txt

say "Building in build/release"
mkdir -p "$demo"
cmake --preset release >"$demo/build.log" 2>&1 && cmake --build build/release --target quadloom \
    -j "$(getconf _NPROCESSORS_ONLN)" \
    >>"$demo/build.log" 2>&1 || { tail -n 30 "$demo/build.log"; echo "The build failed; all of it: $demo/build.log"; exit 1; }
quadloom=$PWD/build/release/bin/quadloom
"$quadloom" --version

say "Three meshes by formula in $demo/meshes"
mkdir -p "$demo/meshes"
"$quadloom" generate double-torus --faces 900 -o "$demo/meshes/double-torus.obj"
"$quadloom" generate block --faces 600 -o "$demo/meshes/block.ply"
"$quadloom" generate bracket --faces 500 -o "$demo/meshes/bracket.off"

# Open MPI as root, with fewer cores than ranks, and without ranks that spin while they wait
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_WAIT_POLICY=passive
launch="mpirun -n 2"
"$quadloom" doctor | grep -q '^  mpi  *not built in' && launch=

say "Training: $launch quadloom run $demo/meshes -o $demo/run --preset quick ..."
rm -rf "$demo/run"
# shellcheck disable=SC2086 # words
$launch "$quadloom" run "$demo/meshes" -o "$demo/run" --preset quick \
    --set quads.target=1000 --set log.interval_s=10

say "Checking every byte and number of the results"
"$quadloom" verify "$demo/run"

say "Where to look"
cat <<END
Table of the meshes      $demo/run/summary.csv
A result (HDF5)          $(ls "$demo"/run/meshes/double-torus-*.h5)
  opens in ParaView 5.10+ as it is: choose the VTKHDF reader, colour by theta, glyphs along alpha and beta
Quad meshes              $demo/run/quads/*.obj
Field as lines to look at in any mesh viewer:
  build/release/bin/quadloom export $(ls "$demo"/run/meshes/double-torus-*.h5) --what field --format obj -o field.obj
What every option means  build/release/bin/quadloom options
A field worth keeping    the same without --preset quick and --set: 10,000 steps, 4,000 quads
END
if [ -d analysis/quadloom ]; then
    echo "A picture                PYTHONPATH=analysis python3 -m quadloom render $demo/run -o picture.png"
fi
