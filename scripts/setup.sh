#!/usr/bin/env bash
# Makes the virtual environment .venv beside this folder and installs CPS4Core into it.
# A finished installation is used again until pyproject.toml or the list of packages changes.
#
#   PYTHON=python3.12         the Python to use (3.10 to 3.13), else the first that fits
#   CPS4_TORCH_INDEX=URL      the package index to take torch from, for another build of it
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.13.0
torchvision_version=0.28.0 # the release made for this torch

fits() {
    "$1" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10 python}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "CPS4Core needs Python 3.10 to 3.13; none of these is one: ${PYTHON:-python3}." \
        "Install one, or name it: PYTHON=/path/to/python $0" >&2
    return 1
}

if ! fits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    if ! "$python" -m venv --clear .venv; then
        echo "This Python cannot make a virtual environment." \
            "On Debian and Ubuntu install the package python3-venv, then run the same again." >&2
        exit 1
    fi
fi
venv=.venv/bin/python

fingerprint=$({ cat pyproject.toml CPS4Core/requirements.txt "$0"; echo "${CPS4_TORCH_INDEX:-}"; pwd; } | "$venv" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [[ $(cat .venv/cps4-installed 2>/dev/null) != "$fingerprint" ]]; then
    index=${CPS4_TORCH_INDEX:+--index-url=$CPS4_TORCH_INDEX}
    if nvidia-smi -L >/dev/null 2>&1; then
        echo "NVIDIA GPU found: torch $torch_version with CUDA is wanted."
    else
        echo "No NVIDIA GPU found: any build of torch $torch_version does."
        if [[ $(uname) == Linux && -z $index ]]; then
            echo "On Linux the usual one may bring gigabytes of CUDA libraries. To avoid them, stop" \
                "here and set CPS4_TORCH_INDEX to PyTorch's index of CPU builds (see README.md)."
        fi
    fi
    "$venv" -m pip install $index "torch==$torch_version"
    "$venv" -m pip install $index --no-deps "torchvision==$torchvision_version"
    # Whatever build of torch came, the rest must not exchange it for another.
    "$venv" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
        >.venv/constraints.txt
    echo "torchvision==$torchvision_version" >>.venv/constraints.txt
    "$venv" -m pip install --constraint .venv/constraints.txt --editable ".[fast,test]"
    echo "$fingerprint" >.venv/cps4-installed
fi
"$venv" - <<'PYTHON'
import torch

build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU in use"
print(f"torch {torch.__version__} ({build}, {gpu}) in .venv")
PYTHON
