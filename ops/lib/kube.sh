# shellcheck shell=bash
# Which cluster the local deployment goes to, and how its port-forward is known. Read after common.sh.

# What a person types, and other tools wait for; so they are fixed.
# shellcheck disable=SC2034 # read by the scripts that source this file
{
  NAMESPACE=mcp
  SERVER=iam-mcp-server
  SYSTEM_NAMESPACE=iam-mcp-system
  RELEASE=iam-mcp-operator
  CRD=mcpservers.iam-mcp.dev

  STATE_DIR=$HOME/.local/share/iam-mcp-server
  PID_FILE=$STATE_DIR/port-forward.pid
  PORT_FILE=$STATE_DIR/port-forward.port
  FORWARD_LOG=$STATE_DIR/port-forward.log
  TARGET_FILE=$STATE_DIR/target # where deploy-local.sh deployed to: the context, then KUBECONFIG
}

OUR_CONTEXT=iam-mcp-local
CONTEXT=

k() { kubectl --context "$CONTEXT" "$@"; }
h() { helm --kube-context "$CONTEXT" "$@"; }

# cluster_name: of a context that ops/cluster made.
cluster_name() { printf '%s\n' "${CONTEXT#iam-mcp-}"; }
is_ours() { case $CONTEXT in iam-mcp-?*) return 0 ;; *) return 1 ;; esac; }

# is_local CONTEXT: by its name, and by an address that no other machine has.
is_local() {
  case $1 in
    docker-desktop | docker-for-desktop | kind-* | minikube | k3d-* | rancher-desktop | orbstack | iam-mcp-*) ;;
    *) return 1 ;;
  esac
  local server
  server=$(kubectl config view --minify --context "$1" -o 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null) || return 1
  server=${server#*://}
  case $server in
    localhost[:/]* | localhost | 127.* | 0.0.0.0* | "[::1]"* | *.internal[:/]* | *.internal | *.orb.local*) return 0 ;;
    10.* | 192.168.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].*) return 0 ;;
    *) return 1 ;;
  esac
}

# choose_context GIVEN: sets CONTEXT to the one given, else to the current one if it is local, else to our own cluster's.
choose_context() {
  local current=
  if [ -n "$1" ]; then
    CONTEXT=$1
    return 0
  fi
  if have kubectl; then current=$(kubectl config current-context 2>/dev/null || true); fi
  if [ -n "$current" ] && is_local "$current"; then
    CONTEXT=$current
    return 0
  fi
  [ -z "$current" ] || step "the current kubectl context '$current' is not a local cluster: it is left alone"
  CONTEXT=$OUR_CONTEXT
}

# use_our_cluster: kubectl and helm of this script become the running cluster's; false if it does not run.
use_our_cluster() {
  local lines
  lines=$("$ROOT/ops/cluster/env" --name "$(cluster_name)" 2>/dev/null) || return 1
  eval "$lines"
}

context_exists() { kubectl config get-contexts -o name 2>/dev/null | grep -qxF "$CONTEXT"; }
cluster_answers() { k get --raw=/readyz --request-timeout=5s >/dev/null 2>&1; }

# is_forward PID: is that process a port-forward to our server?
is_forward() {
  case $(ps -p "$1" -o command= 2>/dev/null) in
    *kubectl*port-forward*"svc/$SERVER "*) return 0 ;;
    *) return 1 ;;
  esac
}

# forward_pid: of the port-forward that deploy-local.sh started, if it still runs.
forward_pid() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
  case $pid in "" | *[!0-9]*) return 1 ;; esac
  is_forward "$pid" && printf '%s\n' "$pid"
}

forward_ended() { ! kill -0 "$1" 2>/dev/null; }

# stop_forward PID
stop_forward() {
  kill "$1" 2>/dev/null || return 0
  wait_until 5 forward_ended "$1" || kill -9 "$1" 2>/dev/null || true
}
