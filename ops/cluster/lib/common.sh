# shellcheck shell=bash disable=SC2034 # variables are read by the files that source this one
# Messages, time and places: what every command of ops/cluster needs.

# Where built tools are kept between runs, and where each cluster keeps its state.
CACHE_DIR=${IAM_MCP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/iam-mcp}
STATE_ROOT=${IAM_MCP_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/iam-mcp}/clusters
TOOLS_DIR=$CACHE_DIR/tools
TOOLS_BIN=$TOOLS_DIR/bin
TOOL_NAMES="etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns metrics-server helm"

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
# die MESSAGE [HINT...]: the problem, then what to do about it, a line each.
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  while [ $# -gt 0 ]; do
    printf '       %s\n' "$1" >&2
    shift
  done
  exit 1
}

# took SECONDS: "42 s" or "3 min 5 s".
took() {
  if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); fi
}

# step MESSAGE: one line of progress with the seconds since the command began.
step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# wait_until SECONDS COMMAND...: polls; fails when the time is up.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# put FILE: standard input becomes the file, in one go, and only if it differs: daemons watch their files.
put() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm -f "$1.new"; else mv -f "$1.new" "$1"; fi
}

# free_mib DIR: free space of the file system DIR is (or will be) on.
free_mib() {
  local dir=$1
  while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
  df -Pm "$dir" | awk 'NR == 2 { print $4 }'
}

# apt_install LOG PACKAGE...: installs Debian packages; what apt says goes to LOG.
apt_install() {
  local log=$1
  shift
  mkdir -p "$CACHE_DIR"
  # One after the other: apt-get refuses to work beside another one.
  set -- flock "$CACHE_DIR/apt.lock" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
  # A machine that never asked for the package lists has none.
  "$@" >"$log" 2>&1 || { flock "$CACHE_DIR/apt.lock" apt-get update && "$@"; } >>"$log" 2>&1
}

# usage: the comment block at the top of the running command is its help text.
usage() { sed -n '2,/^[^#]/{ /^#/{ s/^# \{0,1\}//; p; }; }' "$0"; }
