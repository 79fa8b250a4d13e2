#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds, beginning with the committed corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
  [ -n "${CI:-}" ] && { echo "fuzz: no nightly toolchain"; exit 1; }
  echo "fuzz: skipped, needs a nightly toolchain (rustup toolchain install nightly)"; exit 0
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/fuzz"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "fuzz: building"
cargo +nightly fuzz build --sanitizer none -O >"$log" 2>&1 || { cat "$log"; exit 1; }
for target in $(cargo +nightly fuzz list); do
  new=$(mktemp -d)
  if ! cargo +nightly fuzz run --sanitizer none -O "$target" "$new" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -verbosity=1 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $target found something; the input is in fuzz/artifacts/$target"
    exit 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz: $target, $runs runs in $seconds s, nothing found"
  rm -rf "$new"
done
