#!/bin/sh
# Kernel settings for many connections. Prints what it would set; see --help.
# Where a reason says "measured", it was on Linux 6.18 with two network namespaces.
# shellcheck disable=SC2317 # print_setting and apply_setting are called as "$action"
set -eu

usage() {
  cat <<'HELP'
scripts/tune-linux.sh [--connections N] [--outgoing] [--apply] [--persist [--etc DIR]]

Without --apply or --persist nothing is changed: it prints what is in force, what it would set, why, and what that does
to memory, as a file for /etc/sysctl.d.

  --connections N  how many connections this machine is to hold (default 100000)
  --outgoing       it opens many connections as well: load clients, or a proxy in front of fanwire
  --apply          set it now, until the next start of the machine (as root)
  --persist        write DIR/sysctl.d/90-fanwire.conf and, where open files do not suffice,
                   DIR/security/limits.d/90-fanwire.conf (as root)
  --etc DIR        instead of /etc, for images
  --help

What is better already stays as it is. In a container the settings of net.* are its own (docker run --sysctl), those of
fs.* and a few of net.* are the host's. "fanwire doctor" says what the settings in force allow.

Exit codes: 0 done, 1 something could not be set, 2 wrong arguments.
HELP
}

wrong() {
  printf 'tune-linux.sh: %s\n"tune-linux.sh --help" explains.\n' "$1" >&2
  exit 2
}

connections=100000
outgoing=no
apply=no
persist=no
etc=/etc
while [ $# -gt 0 ]; do
  case $1 in
    --connections | --etc)
      [ $# -ge 2 ] || wrong "$1 needs a value"
      if [ "$1" = --etc ]; then etc=$2; else connections=$2; fi
      shift
      ;;
    --connections=*) connections=${1#*=} ;;
    --etc=*) etc=${1#*=} ;;
    --outgoing) outgoing=yes ;;
    --apply) apply=yes ;;
    --persist) persist=yes ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) wrong "unknown argument $1" ;;
  esac
  shift
done
case $connections in
  '' | 0* | *[!0-9]* | ?????????*) wrong "--connections is \"$connections\", not an integer of 1 to 10000000" ;;
esac
[ "$connections" -le 10000000 ] || wrong "--connections is \"$connections\", not an integer of 1 to 10000000"
[ -d "$etc" ] || wrong "--etc is \"$etc\", not a folder"
if [ ! -r /proc/sys/net/core/somaxconn ]; then
  echo "tune-linux.sh: no /proc/sys/net here: this is for Linux" >&2
  exit 1
fi
if [ "$apply" = yes ] || { [ "$persist" = yes ] && [ ! -w "$etc" ]; }; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "tune-linux.sh: --apply and --persist need root; without them it prints what it would set" >&2
    exit 1
  fi
fi

memory_kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
page=$(getconf PAGESIZE)
conf=$etc/sysctl.d/90-fanwire.conf
failed=0
changed=0

path_of() {
  printf '/proc/sys/%s' "$(printf '%s' "$1" | tr . /)"
}

# The value in force, its fields separated by one space; nothing where there is no such setting.
value_of() {
  [ -r "$(path_of "$1")" ] || return 0
  # shellcheck disable=SC2046 # split into fields on purpose
  set -- $(cat "$(path_of "$1")")
  printf '%s' "$*"
}

# target RULES FIELD... : a rule a field; +n at least n, -n at most n, =n exactly n.
target() {
  rules=$1
  shift
  joined=
  for rule in $rules; do
    bound=${rule#?}
    field=${1:-$bound}
    [ $# -eq 0 ] || shift
    case $rule in
      +*) [ "$field" -ge "$bound" ] || field=$bound ;;
      -*) [ "$field" -le "$bound" ] || field=$bound ;;
      *) field=$bound ;;
    esac
    joined="$joined $field"
  done
  printf '%s' "${joined# }"
}

# setting NAME RULES REASON MEMORY : hands each setting to what the mode does with it.
setting() {
  now=$(value_of "$1")
  # shellcheck disable=SC2086 # split into fields on purpose
  want=$(target "$2" $now)
  least=$(target "$2")
  "$action" "$1" "$now" "$want" "$least" "$3" "$4"
}

settings() {
  setting fs.nr_open "+$nofile" \
    "Nothing may raise the open files of a process above it." \
    "none until used"
  setting fs.file-max "+$((connections * 2 + 65536))" \
    "Open files of the whole machine: one a connection, and as many again for everything else." \
    "none until used, then 0.25 KiB each"
  setting net.core.somaxconn "+4096" \
    "Bounds the queue of connections that wait to be accepted. fanwire asks for 512 a listener, so more does not help." \
    "none until connections wait"
  setting net.ipv4.tcp_max_syn_backlog "+4096" \
    "Half-open connections. Counts only where tcp_syncookies is 0 (three quarters of it, measured), else the queue above does." \
    "0.3 KiB a half-open connection"
  setting net.ipv4.tcp_migrate_req "=1" \
    "What waits at a worker that dies goes to the others: measured, 91 of 200 such clients were reset without it, none with it." \
    "none"
  setting net.ipv4.tcp_notsent_lowat "-16384" \
    "A client that reads nothing is noticed after 150 KB instead of 4.2 MB (measured). What is not sent waits in fanwire, where
limits.bufferBytes bounds it: raise that for far clients that get bursts. Bulk senders on this machine wake up more often." \
    "less: at most this much unsent in the kernel a connection"
  setting net.ipv4.tcp_wmem "+4096 +16384 -1048576" \
    "The maximum is what is held for a fast client that vanishes: 2.9 MB with 4 MiB, 1.0 MB with 1 MiB (measured). It bounds a
connection of any program to about 10 MB/s over 100 ms; lower it on a machine that serves nothing else." \
    "less: at most 1 MiB a connection"
  setting net.ipv4.tcp_rmem "+4096 +32768 +262144" \
    "What clients send while a worker does not read: measured, the default (second value) a connection, three times that from
fast ones. fanwire needs little of it; a higher maximum did not make it more, so none is lowered." \
    "the default a connection that is not read, none where it is"
  setting net.ipv4.tcp_mem "$tcp_mem" \
    "Pages of $page bytes for what is on its way, all connections together: growth stops at the second, packets are lost
at the third. Idle connections need none, one with a short message on its way one, with 16 KB five (measured). Four a
connection, but not above a quarter of the memory at the second." \
    "up to the third value while clients are slow"
  if [ "$dropped" -gt 0 ]; then
    setting net.core.netdev_max_backlog "+4096" \
      "Packets waiting for a core, from containers and this machine itself: $dropped were lost since it started.
Where none are lost it is left alone; broadcasts to 8,000 local clients lost none at 1000 (measured)." \
      "none until packets wait, then about 2 KiB each"
  fi
  if [ -e /proc/sys/net/netfilter/nf_conntrack_max ]; then
    setting net.netfilter.nf_conntrack_max "+$((connections * 2 + 65536))" \
      "A firewall tracks connections here; when it is full, new ones are lost. Those that ended stay for two minutes, hence
twice. Better still: do not track fanwire's port. Set at boot only where nf_conntrack is loaded before." \
      "0.3 KiB a tracked connection"
  fi
  if [ "$outgoing" = yes ]; then
    setting net.ipv4.ip_local_port_range "-10240 +65535" \
      "Ports for connections from here: as many to one address and port of fanwire, for each local address. More: several
local addresses. Not below 10240, where programs listen (fanwire: 9001, 9002)." \
      "none"
  fi
}

# --- what is printed -------------------------------------------------------------------------------------------------

commented() {
  printf '%s\n' "$1" | sed "s/^/#   /"
}

print_setting() {
  name=$1 now=$2 want=$3 least=$4
  verdict="now $now, proposed $want"
  [ "$now" != "$want" ] || verdict="now $now, as proposed"
  line="$name = $want"
  if [ -z "$now" ]; then
    verdict="not visible here (the host's, or of a newer kernel)"
    line=
  elif [ "$now" = "$want" ] && [ "$now" != "$least" ]; then
    verdict="now $now, enough ($least would do)"
    # What an earlier run wrote down would else be lost with the file.
    grep -qs "^$name = " "$conf" || line=
  fi
  printf '\n# %s: %s\n' "$name" "$verdict"
  commented "$5"
  commented "memory: $6"
  [ -z "$line" ] || printf '%s\n' "$line"
}

print_all() {
  printf '# Kernel settings for %s connections with fanwire, by scripts/tune-linux.sh.\n' "$connections"
  printf '# This machine has %s MiB; idle connections take about %s MiB of it (4.5 KiB each in the kernel, 1.5 in fanwire).\n' \
    "$((memory_kib / 1024))" "$((connections * 6 / 1024))"
  action=print_setting
  settings
  printf '\n# open files of a process: this shell may have %s, fanwire needs up to %s' "$hard" "$nofile"
  if [ "$files_suffice" = yes ]; then printf ', enough\n'; else printf '\n'; fi
  commented "Each connection is one. No kernel setting but one of whoever starts fanwire (which raises its soft limit to the hard
one by itself). With several workers less will do: \"fanwire doctor\" says how many."
  commented "memory: none until used"
  [ "$files_suffice" = yes ] || print_how_to_raise_files | sed 's/^/#   /'
}

print_how_to_raise_files() {
  cat <<HOW
in the shell that starts it:            ulimit -n $nofile
in the [Service] of its systemd unit:   LimitNOFILE=$nofile
for a container:                        docker run --ulimit nofile=$nofile
HOW
}

# --- what is set -----------------------------------------------------------------------------------------------------

apply_setting() {
  name=$1 now=$2 want=$3
  if [ -z "$now" ]; then
    echo "left     $name: not visible here (the host's, or of a newer kernel)"
    return
  fi
  [ "$now" != "$want" ] || return 0
  problem=$({ printf '%s\n' "$want" >"$(path_of "$name")"; } 2>&1) || true
  if [ "$(value_of "$name")" = "$want" ]; then
    changed=$((changed + 1))
    echo "set      $name: $now -> $want"
  else
    failed=1
    echo "NOT SET  $name: it stays $now, not $want (${problem##*: })"
  fi
}

apply_all() {
  action=apply_setting
  settings
  if [ "$changed" -eq 0 ] && [ "$failed" -eq 0 ]; then echo "nothing to do: the kernel's settings suffice"; fi
  [ "$files_suffice" = yes ] && return
  echo "left     open files: $hard for what this shell starts, up to $nofile are needed; that is set where fanwire starts:"
  print_how_to_raise_files | sed 's/^/         /'
}

persist_all() {
  mkdir -p "$etc/sysctl.d"
  print_all >"$conf.new"
  mv "$conf.new" "$conf"
  echo "wrote    $conf (\"sysctl --system\" sets it now, every start of the machine does)"
  [ "$files_suffice" = yes ] && return
  limits=$etc/security/limits.d/90-fanwire.conf
  mkdir -p "$etc/security/limits.d"
  {
    echo "# Open files of a process, for $connections connections with fanwire. The hard limit only: fanwire raises its own,"
    echo "# other programs may count on the usual soft one. For logins by PAM; systemd units have LimitNOFILE."
    echo "*    hard nofile $nofile"
    echo "root hard nofile $nofile"
  } >"$limits.new"
  mv "$limits.new" "$limits"
  echo "wrote    $limits (from the next login on)"
}

# --- numbers that several need ---------------------------------------------------------------------------------------

# One process may have to take all of them, 4096 that are no socket yet, and files of its own.
nofile=$(((connections + 8192 + 1023) / 1024 * 1024))
# shellcheck disable=SC3045 # dash, busybox and bash all have it
hard=$(ulimit -Hn)
files_suffice=no
if [ "$hard" = unlimited ] || [ "$hard" -ge "$nofile" ]; then files_suffice=yes; fi

pressure=$((connections * 16 * 1024 / page))
quarter=$((memory_kib * 256 / page))
[ "$pressure" -le "$quarter" ] || pressure=$quarter
tcp_mem="+$((pressure * 3 / 4)) +$pressure +$((pressure * 3 / 2))"

# The second column of every core, hexadecimal.
dropped=0
if [ -r /proc/net/softnet_stat ]; then
  while read -r _ column _; do dropped=$((dropped + 0x$column)); done </proc/net/softnet_stat
fi

[ "$apply" = no ] || apply_all
[ "$persist" = no ] || persist_all
if [ "$apply" = no ] && [ "$persist" = no ]; then print_all; fi
exit "$failed"
