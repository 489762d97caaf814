#!/usr/bin/env bash
# Sets up .venv and runs the demo; options go to `cps4 demo`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
"$here/scripts/setup.sh"
exec "$here/.venv/bin/cps4" demo "$@"
