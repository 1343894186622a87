#!/usr/bin/env bash
# Runs the browser tests in the Chromium that the system has. As root on Debian it installs one where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

find_chromium() {
  command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome || true
}

if [ -z "$(find_chromium)" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null
fi
CHROMIUM="$(find_chromium)"
if [ -z "$CHROMIUM" ]; then
  echo 'The browser tests need Chromium: install it (Debian: apt-get install chromium), or say where it is: CHROMIUM=/path npm run test:browser' >&2
  exit 1
fi
export CHROMIUM
node scripts/install.js test
exec node scripts/tests/run.js --jobs 1 test/browser/swagger-ui.browser.ts
