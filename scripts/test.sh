#!/usr/bin/env bash
# Sets up .venv and what the Slicer tests need, and runs the tests; options go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/setup.sh
./scripts/slicer_libraries.sh
# UTF-8 whatever the locale: some libraries set it anew when they are loaded.
exec env PYTHONUTF8=1 .venv/bin/python -m pytest "$@"
