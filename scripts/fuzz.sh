#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds, two at a time, beginning with the committed corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
  [ -n "${CI:-}" ] && { echo "fuzz: no nightly toolchain"; exit 1; }
  echo "fuzz: skipped, needs a nightly toolchain (rustup toolchain install nightly)"; exit 0
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/fuzz"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fuzz: building"
cargo +nightly fuzz build --sanitizer none -O >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
# The programs themselves: cargo would hold its lock while one runs.
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export seconds work programs="$CARGO_TARGET_DIR/$host/release"
one() {
  local target=$1 log=$work/$1.log
  mkdir -p "$work/$target" "fuzz/artifacts/$target"
  if ! "$programs/$target" "$work/$target" "fuzz/corpus/$target" -artifact_prefix="fuzz/artifacts/$target/" \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -verbosity=1 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "fuzz: $target found something; the input is in fuzz/artifacts/$target"
    return 1
  fi
  echo "fuzz: $target, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s, nothing found"
}
export -f one
cargo +nightly fuzz list | xargs -P 2 -I TARGET bash -euc 'one TARGET'
