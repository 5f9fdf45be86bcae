#!/bin/sh
# Installs what is missing: sh cmake/install-packages.sh [LIST]...   (default: cmake/packages.txt)
# Debian and Ubuntu: by apt-get, through sudo when not root. Elsewhere it prints what is missing and stops.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- "$here/packages.txt"

there() { # PACKAGE PROBE
    if command -v dpkg-query >/dev/null 2>&1; then
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
        return
    fi
    case $2 in
    cmd:*) command -v "${2#cmd:}" >/dev/null 2>&1 ;;
    pkg:*) pkg-config --exists "${2#pkg:}" >/dev/null 2>&1 ;;
    inc:*) echo "#include <${2#inc:}>" | cc -E - >/dev/null 2>&1 ;;
    py:*) python3 -c "import ${2#py:}" >/dev/null 2>&1 ;;
    *) echo "$0: unknown probe $2" >&2; exit 2 ;;
    esac
}

missing=
for list; do
    while read -r package probe; do
        case $package in '' | '#'*) continue ;; esac
        there "$package" "$probe" || missing="$missing $package"
    done <"$list"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing on this system (names as in Debian):$missing" >&2
    echo "Install them with your package manager, then run this again." >&2
    exit 3
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Missing:$missing" >&2
        echo "As root: apt-get install$missing" >&2
        exit 3
    fi
    sudo=sudo
fi
echo "Installing:$missing"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
