#!/usr/bin/env bash
# Licences, bans, duplicates and sources of all dependencies; advisories where their database can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo deny --workspace --log-level error check licenses bans sources
if ! timeout 60 cargo deny --workspace --log-level error check advisories 2>/tmp/nexus-advisories.$$; then
  if grep -qiE 'fetch|clone|network|resolve|connect' /tmp/nexus-advisories.$$; then
    echo "advisories: the database cannot be reached from here, not checked"
  else
    cat /tmp/nexus-advisories.$$; rm -f /tmp/nexus-advisories.$$; exit 1
  fi
fi
rm -f /tmp/nexus-advisories.$$
