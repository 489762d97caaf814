#!/usr/bin/env bash
# The shared libraries that Qt and OpenGL need to run without a display, for the tests in
# Testing/module. On Debian and Ubuntu they are installed if this is root, else named; the tests
# are skipped without them.
set -euo pipefail

[[ $(uname) == Linux ]] || exit 0

# library or driver, package on Debian and Ubuntu
needed=(
    libEGL.so.1 libegl1
    libGL.so.1 libgl1
    dri/swrast_dri.so libgl1-mesa-dri
    libxkbcommon.so.0 libxkbcommon0
    libdbus-1.so.3 libdbus-1-3
    libfontconfig.so.1 libfontconfig1
    libglib-2.0.so.0 libglib2.0-0
)

is_there() {
    compgen -G "/usr/lib/*/$1" >/dev/null || compgen -G "/usr/lib*/$1" >/dev/null ||
        compgen -G "/lib/*/$1" >/dev/null
}

missing=()
for ((i = 0; i < ${#needed[@]}; i += 2)); do
    is_there "${needed[i]}" || missing+=("${needed[i + 1]}")
done
[[ ${#missing[@]} == 0 ]] && exit 0

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]} for the tests of the Slicer extension"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; then
        exit 0
    fi
fi
echo "The tests of the Slicer extension are skipped: libraries are missing." \
    "On Debian and Ubuntu run: sudo apt-get install ${missing[*]}" >&2
