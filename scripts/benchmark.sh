#!/usr/bin/env bash
# The benchmark of docs/benchmark.md: the rows of `cps4 methods` at sizes that two CPU cores afford.
#
#   scripts/benchmark.sh STUDY OUTPUT [options of cps4 compare]
#   scripts/benchmark.sh STUDY OUTPUT --rows scripts/rows/ideas.yaml --scored held-out
#
# It goes on where it was stopped; OUTPUT may hold the results of docs/benchmark. On a GPU take
# `cps4 compare` with a larger preset.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
study=$1 output=$2
shift 2
export OMP_WAIT_POLICY=PASSIVE
"$here/scripts/setup.sh" >&2
# 780 updates, the first 600 on the labelled slices alone.
exec "$here/.venv/bin/cps4" compare "$study" --output "$output" --preset cpu --jobs 2 --threads 1 \
    --set "input.size=[128,64]" \
    --set "network.widths=[16,16,32,64,128]" \
    --set stage2.learning_rate=0.002 \
    --set stage2.epochs=78 \
    --set stage2.warmup=0.7692 \
    --set "stage2.milestones=[0.87,0.96]" \
    --set stage1.epochs=15 \
    "$@"
