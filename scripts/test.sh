#!/usr/bin/env bash
# Sets up .venv and what the Slicer tests need, and runs the tests; options go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/setup.sh
./scripts/slicer_libraries.sh
exec .venv/bin/python -m pytest "$@"
