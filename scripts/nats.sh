#!/usr/bin/env bash
# A nats-server with JetStream on loopback, or a cluster of three, to develop and try things with. Data goes to a
# temporary directory and is gone after "stop".
#
#   scripts/nats.sh start [PORT]     one server (4222); does nothing where it runs already
#   scripts/nats.sh cluster [PORT]   three servers on PORT, PORT+1, PORT+2 (4222), replicas can be 3; among themselves they
#                                    use PORT+100 to PORT+102
#   scripts/nats.sh status           what runs, its addresses and process ids; exit code 1 where nothing does
#   scripts/nats.sh stop             ends what this script started, and nothing else
#
#   FANWIRE_NATS_SERVER   another binary; else the one on the PATH, else Debian's package is installed, for which it must be root
#   FANWIRE_NATS_DIR      where configuration, logs and data go ($TMPDIR/fanwire-nats-<uid>): one group of servers each
#   FANWIRE_NATS_CONFIG   a file of configuration to include, for instance scripts/nats-accounts.conf
#
# Exit codes: 0 done, 1 it could not be done or nothing runs, 2 no such command.
set -euo pipefail

dir="${FANWIRE_NATS_DIR:-${TMPDIR:-/tmp}/fanwire-nats-$(id -u)}"
ready_seconds=20

say() { echo "nats.sh: $*"; }
fail() { echo "nats.sh: $*" >&2; exit 1; }

find_server() {
  local candidate
  for candidate in "${FANWIRE_NATS_SERVER:-}" "$(command -v nats-server || true)" /usr/sbin/nats-server; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && { echo "$candidate"; return; }
    [ "$candidate" = "${FANWIRE_NATS_SERVER:-}" ] && [ -n "$candidate" ] && fail "FANWIRE_NATS_SERVER: $candidate cannot be run"
  done
  [ "$(id -u)" = 0 ] || fail "no nats-server found: install it (apt-get install nats-server) or name one by FANWIRE_NATS_SERVER"
  say "installing nats-server" >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nats-server >&2
  echo /usr/sbin/nats-server
}

# The process of a node, where it is still ours: a number in a file may have been given to another program since.
pid_of() {
  local pid
  pid="$(cat "$1/pid" 2>/dev/null)" || return 1
  case "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" in *"$1/nats.conf"*) echo "$pid" ;; *) return 1 ;; esac
}

# Directories of the nodes that run.
running() {
  local node
  for node in "$dir"/n*; do
    [ -d "$node" ] && pid_of "$node" >/dev/null && echo "$node"
  done
  return 0
}

url_of() { sed -n 's/^# url //p' "$1/nats.conf"; }

show() {
  local node urls=()
  for node in $(running); do
    urls+=("$(url_of "$node")")
    echo "$(basename "$node")  $(url_of "$node")  pid $(pid_of "$node")  log $node/log"
  done
  [ "${#urls[@]}" -gt 0 ] || { say "nothing runs (in $dir)"; return 1; }
  (IFS=,; echo "FANWIRE_BROKER=${urls[*]}")
}

write_config() { # node number, port, number of nodes
  local node="$dir/n$1" port=$2 nodes=$3 base=$(($2 - $1 + 1)) i
  mkdir -p "$node"
  {
    echo "# url nats://127.0.0.1:$port"
    echo "server_name: n$1"
    echo "listen: \"127.0.0.1:$port\""
    echo "pid_file: \"$node/pid\""
    echo "jetstream { store_dir: \"$node/store\" }"
    if [ "$nodes" -gt 1 ]; then
      echo "cluster {"
      echo "  name: fanwire"
      echo "  listen: \"127.0.0.1:$((port + 100))\""
      echo "  routes: ["
      for ((i = 0; i < nodes; i++)); do echo "    \"nats://127.0.0.1:$((base + 100 + i))\""; done
      echo "  ]"
      echo "}"
    fi
    if [ -n "${FANWIRE_NATS_CONFIG:-}" ]; then cat "$FANWIRE_NATS_CONFIG"; fi
  } >"$node/nats.conf"
}

# Ready: it answers, and in a cluster it knows who leads JetStream.
is_ready() { # node, number of nodes
  local line=""
  pid_of "$1" >/dev/null || return 1
  { exec 3<>"/dev/tcp/127.0.0.1/$(url_of "$1" | sed 's/.*://')"; } 2>/dev/null || return 1
  read -r -t 2 line <&3 || true
  exec 3>&- 3<&-
  [[ "$line" == INFO* ]] || return 1
  [ "$2" -eq 1 ] || grep -q "JetStream cluster .*metadata leader" "$1/log"
}

start() { # number of nodes, port
  local nodes=$1 port=$2 binary i node deadline pids=()
  if ! [[ "$port" =~ ^[1-9][0-9]{0,4}$ ]] || [ "$((port + 100 + nodes))" -gt 65535 ]; then
    fail "$port is no port to start at"
  fi
  case "$(running | wc -l)" in
    0) ;;
    "$nodes") say "runs already"; show; return ;;
    *) fail "$(running | wc -l) of the servers in $dir run, not $nodes: \"nats.sh stop\" first" ;;
  esac
  [ -z "${FANWIRE_NATS_CONFIG:-}" ] || [ -r "$FANWIRE_NATS_CONFIG" ] || fail "FANWIRE_NATS_CONFIG: $FANWIRE_NATS_CONFIG cannot be read"
  binary="$(find_server)"
  [ ! -e "$dir" ] || [ -O "$dir" ] || fail "$dir belongs to somebody else"
  clean
  (umask 077 && mkdir -p "$dir")
  trap 'stop >/dev/null; exit 1' INT TERM
  for ((i = 1; i <= nodes; i++)); do
    write_config "$i" "$((port + i - 1))" "$nodes"
    # Its own session: an interrupt of this terminal is not meant for it.
    setsid "$binary" -c "$dir/n$i/nats.conf" >"$dir/n$i/log" 2>&1 </dev/null &
    pids+=($!)
  done
  deadline=$((SECONDS + ready_seconds))
  for ((i = 1; i <= nodes; i++)); do
    node="$dir/n$i"
    until is_ready "$node" "$nodes"; do
      if ! kill -0 "${pids[$((i - 1))]}" 2>/dev/null; then
        give_up "$node" "n$i ended at once, see above: is $(url_of "$node") taken, or the configuration wrong?"
      elif [ "$SECONDS" -ge "$deadline" ]; then
        give_up "$node" "n$i was not ready within $ready_seconds s"
      fi
      sleep 0.1
    done
  done
  trap - INT TERM
  say "$("$binary" --version)"
  show
}

give_up() { # node, why
  tail -n 5 "$1/log" >&2
  stop >/dev/null
  fail "$2"
}

# Only what start made: the directory may have been named by somebody who keeps other things in it.
clean() {
  rm -rf "$dir"/n[1-3]
  rmdir "$dir" 2>/dev/null || true
}

stop() {
  local node pid count=0
  for node in $(running); do
    pid="$(pid_of "$node")" || continue
    kill "$pid"
    for _ in $(seq 50); do pid_of "$node" >/dev/null || break; sleep 0.1; done
    ! pid_of "$node" >/dev/null || kill -9 "$pid"
    count=$((count + 1))
  done
  clean
  if [ "$count" -gt 0 ]; then say "stopped $count"; else say "nothing ran (in $dir)"; fi
}

case "${1:-}" in
  start) start 1 "${2:-4222}" ;;
  cluster) start 3 "${2:-4222}" ;;
  status) show ;;
  stop) stop ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; [ -n "${1:-}" ] && [ "$1" != "--help" ] && exit 2 || exit 0 ;;
esac
