#!/usr/bin/env bash
# Installs programs that the slow tests need, where they are missing: as root on Debian. Elsewhere it names them.
set -euo pipefail

missing=()
for program in "$@"; do
  command -v "$program" > /dev/null || missing+=("$program")
done
[ "${#missing[@]}" = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "Not installed: ${missing[*]}. The tests that need these programs will fail." >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
