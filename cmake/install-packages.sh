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

missing= wished=
for list; do
    while read -r package probe optional; do
        case $package in '' | '#'*) continue ;; esac
        there "$package" "$probe" && continue
        if [ "$optional" = optional ]; then wished="$wished $package"; else missing="$missing $package"; fi
    done <"$list"
done
[ -n "$missing$wished" ] || exit 0

stop() { # WHAT TO DO
    [ -n "$missing" ] || exit 0 # the rest can be done without
    echo "Missing on this system (names as in Debian):$missing" >&2
    echo "$1" >&2
    exit 3
}
command -v apt-get >/dev/null 2>&1 || stop "Install them with your package manager, then run this again."
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || stop "As root: apt-get install$missing"
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
echo "Looking up packages:$missing$wished"
$sudo apt-get update -qq </dev/null
for package in $wished; do # not every architecture has them
    apt-cache show "$package" >/dev/null 2>&1 && missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "Installing:$missing"
policy=/usr/sbin/policy-rc.d # services that come with a package (munge, slurmctld) are not started: nothing here needs them
if [ ! -e $policy ]; then
    trap '$sudo rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod 755 $policy
fi
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null
