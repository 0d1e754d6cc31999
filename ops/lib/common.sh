# shellcheck shell=bash
# What the scripts of ops share, outside of ops/cluster and on top of its messages (say, step, warn, die, took, usage).
# They run in bash 3.2, which is what macOS has.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../cluster/lib/common.sh
. "$ROOT/ops/cluster/lib/common.sh"

# shellcheck disable=SC2034 # read by the scripts that source this file
{
  IMAGES_DIR=$CACHE_DIR/images
  SERVER_IMAGE=localhost/iam-mcp-server
  OPERATOR_IMAGE=localhost/iam-mcp-operator
}

HEARTBEAT_SECONDS=15

have() { command -v "$1" >/dev/null 2>&1; }

# on_exit COMMAND: runs it when the script ends, however it ends; the last given runs first.
ON_EXIT=
on_exit() { ON_EXIT="$1; $ON_EXIT"; }
JOB=
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP PIPE
  if [ -n "$JOB" ]; then kill -TERM -- "-$JOB" 2>/dev/null || true; wait "$JOB" 2>/dev/null || true; fi
  eval "$ON_EXIT"
  exit "$status"
}
trap finish EXIT
trap 'printf "\ninterrupted\n" >&2; exit 130' INT
trap 'exit 143' TERM HUP
trap 'exit 141' PIPE # else bash would die of it without having cleaned up

# quietly TEXT LOG COMMAND...: runs a command with its output in LOG, and says every 15 seconds what it is at. On failure
# the end of the log is shown. In a process group of its own, so that an interrupt ends all of it.
quietly() {
  local text=$1 log=$2 next status=0 started=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  JOB=$!
  set +m
  next=$((SECONDS + HEARTBEAT_SECONDS))
  while kill -0 "$JOB" 2>/dev/null; do
    sleep 0.2
    if [ "$SECONDS" -ge "$next" ]; then
      step "$text, $(took $((SECONDS - started))): $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-120)"
      next=$((SECONDS + HEARTBEAT_SECONDS))
    fi
  done
  wait "$JOB" || status=$?
  JOB=
  if [ $status -ne 0 ]; then
    tail -n 40 "$log" >&2
    printf 'The whole log: %s\n' "$log" >&2
  fi
  return $status
}

# nested COMMAND...: another of our commands, which tells its own progress and its own seconds.
# The reader outlives an interrupt, so that the command can say its last words.
indented() {
  local line
  trap '' INT TERM HUP
  while IFS= read -r line; do printf '        %s\n' "$line"; done
}
nested() { "$@" 2>&1 | indented; }

# need_command COMMAND PACKAGE: installs the Debian package when the command is missing and we may.
need_command() {
  local log
  ! have "$1" || return 0
  have apt-get || die "$1 is missing." "Install it and run this again."
  [ "$(id -u)" = 0 ] || die "$1 is missing." "Install it with: sudo apt-get install $2"
  step "installing the Debian package $2"
  log=$(mktemp)
  if ! apt_install "$log" "$2"; then
    tail -n 5 "$log" >&2
    rm -f "$log"
    die "the Debian package $2 could not be installed"
  fi
  rm -f "$log"
}

# checksum: of standard input; the command has another name on macOS.
checksum() { if have sha256sum; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

# The docker command is often there without an engine behind it.
docker_runs() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# tags_of ENGINE IMAGE
tags_of() {
  local name=.Repository
  [ "$1" = docker ] || name=.Name
  "$1" images --format "{{$name}} {{.Tag}}" | awk -v image="$2" '$1 == image { print $2 }'
}
