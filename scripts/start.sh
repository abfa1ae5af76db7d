#!/usr/bin/env bash
# Runs the demo in the foreground: the server with its page, and the feed that publishes to it over HTTP.
# Needs Node 20 and npm. Installs and builds what is missing or older than its source.
#
#   scripts/start.sh          one node, with the embedded broker
#   scripts/start.sh --nats   two nodes that share their rooms through a NATS server on loopback, which it starts and ends;
#                             where nats-server is missing, Debian's package is installed, for which it must be root
#
#   FANWIRE_HOST, FANWIRE_PORT   where to listen (127.0.0.1:9001); the second node takes the port 100 above
#   other arguments              for the feed, for instance --speed 2
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = "--help" ]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/start.sh
  exit 0
fi

# npm keeps its cache there.
if [ ! -d "${HOME:-}" ] || [ ! -w "${HOME:-}" ]; then
  HOME="$(mktemp -d)"
  export HOME
fi

major="$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)"
if [ "$major" -lt 20 ]; then
  echo "start.sh: Node 20 or newer is needed, found $(node --version 2>/dev/null || echo none)" >&2
  exit 1
fi

# npm writes this file at the end of an install.
installed=node_modules/.package-lock.json
if [ ! -f "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  echo "Installing packages…"
  npm ci --no-audit --no-fund --loglevel=error
fi

# As old as the sources that were built.
built=dist/.built
if [ ! -f "$built" ] || [ -n "$(find src bench scripts/bundle.mjs package.json tsconfig*.json -newer "$built" -print -quit)" ]; then
  echo "Building…"
  mkdir -p dist
  touch "$built.new"
  npm run --silent build
  mv "$built.new" "$built"
fi

exec node scripts/start.mjs "$@"
