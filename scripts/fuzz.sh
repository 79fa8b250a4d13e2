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
cargo +nightly fuzz build --sanitizer none -O
for target in $(cargo +nightly fuzz list); do
  echo "fuzz: $target for $seconds s"
  new=$(mktemp -d)
  cargo +nightly fuzz run --sanitizer none -O "$target" "$new" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=0
  rm -rf "$new"
done
