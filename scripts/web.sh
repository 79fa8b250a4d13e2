#!/usr/bin/env bash
# Builds the web pages into web/dist when their sources are newer; with `e2e`, only the modules that tests need.
set -euo pipefail
cd "$(dirname "$0")/../web"
if ! command -v npm >/dev/null; then
  echo "no Node.js here: building without the web pages (install nodejs and npm, then 'make web')"
  exit 0
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "installing the web pages' modules"
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
[ "${1:-}" = e2e ] && exit 0
if [ ! -e dist/watch.html ] || [ -n "$(find src *.html *.ts *.js *.json -newer dist/watch.html -print -quit)" ]; then
  echo "building the web pages"
  npm run --silent build
  touch dist/watch.html
fi
