#!/usr/bin/env bash
# Installs the system packages of the named sections of packages.txt, if any are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v dpkg-query >/dev/null || { echo "not Debian or Ubuntu: install by hand what packages.txt lists"; exit 0; }
missing=()
for section in "$@"; do
  while read -r name; do
    # A Node.js that came another way will do.
    case $name in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done < <(awk -v s="[$section]" '/^\[/ {on = ($1 == s); next} on && NF && !/^#/ {print $1}' packages.txt)
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing system packages: ${missing[*]}"
sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
# These packages start servers of their own; tests and benchmarks bring theirs.
for package in nginx-light:nginx haproxy:haproxy rabbitmq-server:rabbitmq-server redis-server:redis-server; do
  case " ${missing[*]} " in *" ${package%:*} "*) $sudo service "${package#*:}" stop 2>/dev/null || true ;; esac
done
