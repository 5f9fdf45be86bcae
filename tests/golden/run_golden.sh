#!/bin/sh
# All golden files through every engine that runs here; central differences on the smallest. Skipped without the files.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${QL_SHARED:-$root/../shared}/golden
if [ ! -f "$folder/parameters.h5" ]; then
    echo "SKIPPED: golden numbers (no folder $folder; set QL_SHARED)"
    exit 77
fi
smallest=$(ls -Sr "$folder"/*.h5 | grep -v parameters | head -n 1)
set --
for file in "$folder"/*.h5; do
    case $file in */parameters.h5 | "$smallest") ;; *) set -- "$@" "$file" ;; esac
done
"$QUADLOOM" golden "$smallest" --verbose --differences
"$QUADLOOM" golden "$@" --verbose
