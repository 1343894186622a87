#!/usr/bin/env bash
# Installs what the slow tests need, where it is missing: as root on Debian. Elsewhere it names what is missing.
# Each argument is a program whose package has its name, or a package of Debian without a program of its name.
set -euo pipefail

is_installed() {
  command -v "$1" > /dev/null && return
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

missing=()
for name in "$@"; do
  is_installed "$name" || missing+=("$name")
done
[ "${#missing[@]}" = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "Not installed: ${missing[*]}. The tests that need it will fail." >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
