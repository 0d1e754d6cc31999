#!/usr/bin/env bash
# Usage: ops/k8s/teardown-local.sh [--images] [--cluster] [--context CONTEXT]
#
# Undoes ops/k8s/deploy-local.sh: stops the port-forward, removes the McpServers of the namespace mcp, the operator, its
# definition and both namespaces from the cluster that was deployed to.
#
#   --images           the built images and their archives too
#   --cluster          the cluster too, if it is one that ops/cluster made
#   --context CONTEXT  the kubectl context to clean. If not given: the one that deploy-local.sh used
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/kube.sh
. "$ROOT/ops/lib/kube.sh"

context=''
images=no
cluster=no
while [ $# -gt 0 ]; do
  case $1 in
    --images) images=yes ;;
    --cluster) cluster=yes ;;
    --context) [ $# -gt 1 ] || die "--context needs a value" "see ops/k8s/teardown-local.sh --help"; context=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) die "unknown argument: $1" "see ops/k8s/teardown-local.sh --help" ;;
  esac
  shift
done
cd "$ROOT"

stop_forwards() {
  local pid
  if pid=$(forward_pid); then
    stop_forward "$pid"
    step "stopped the port-forward (process $pid)"
  fi
  # Orphans: known by their command line, and this user's.
  # shellcheck disable=SC2009 # pgrep -f would not show what is_forward verifies
  for pid in $(ps -u "$(id -u)" -o pid= -o command= | grep "port-forward -n $NAMESPACE svc/$SERVER " | grep -v grep | awk '{ print $1 }'); do
    if is_forward "$pid"; then
      stop_forward "$pid"
      step "stopped a left-over port-forward (process $pid)"
    fi
  done
  rm -f "$PID_FILE" "$PORT_FILE" "$FORWARD_LOG"
}

# target: sets CONTEXT, and KUBECONFIG as it was, to what was deployed to.
target() {
  local kubeconfig=''
  if [ -z "$context" ] && [ -s "$TARGET_FILE" ]; then
    { read -r context && read -r kubeconfig; } <"$TARGET_FILE" || true
    if [ -n "$kubeconfig" ]; then export KUBECONFIG=$kubeconfig; fi
  fi
  choose_context "$context"
}

reachable() {
  if is_ours; then
    use_our_cluster || return 1
  elif ! have kubectl || ! have helm; then
    PATH=$PATH:$TOOLS_BIN
    if ! have kubectl || ! have helm; then die "kubectl or helm is missing" "They are needed to clean the cluster of '$CONTEXT'."; fi
  fi
  context_exists && cluster_answers
}

clean_cluster() {
  local others log
  if [ -n "$(k get crd $CRD --ignore-not-found -o name)" ]; then
    k delete mcpservers --all -n $NAMESPACE --timeout=60s >/dev/null
    # While the operator is there: it ends the drains of pods that still have sessions, which a namespace that is
    # deleted would wait for.
    k wait --for=delete pod -l app.kubernetes.io/managed-by=iam-mcp-operator -n $NAMESPACE --timeout=90s >/dev/null 2>&1 ||
      warn "pods of $NAMESPACE still serve sessions; the namespace goes when they end"
    step "the McpServers of namespace $NAMESPACE are gone"
  fi
  if h status $RELEASE -n $SYSTEM_NAMESPACE >/dev/null 2>&1; then
    h uninstall $RELEASE -n $SYSTEM_NAMESPACE --wait --timeout 2m >/dev/null
    step "the operator is gone"
  fi
  others=$(k get mcpservers -A -o 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}' 2>/dev/null || true)
  if [ -n "$others" ]; then
    warn "the McpServer definition stays, because there are McpServers in other namespaces: $others"
  else
    k delete crd $CRD --ignore-not-found --timeout=60s >/dev/null
  fi
  log=$(mktemp)
  on_exit "rm -f '$log'"
  quietly "deleting the namespaces" "$log" kubectl --context "$CONTEXT" delete namespace $NAMESPACE $SYSTEM_NAMESPACE --ignore-not-found --timeout=120s ||
    die "the namespaces could not be deleted" "See: kubectl --context $CONTEXT describe namespace $NAMESPACE"
  step "the namespaces $NAMESPACE and $SYSTEM_NAMESPACE are gone from '$CONTEXT'"
}

remove_images() {
  local image tag
  for image in "$SERVER_IMAGE" "$OPERATOR_IMAGE"; do
    if docker_runs; then
      for tag in $(tags_of docker "$image"); do docker rmi "$image:$tag" >/dev/null || true; done
    fi
    if have buildah; then
      for tag in $(tags_of buildah "$image"); do buildah rmi "$image:$tag" >/dev/null || true; done
    fi
  done
  rm -rf "$IMAGES_DIR"
  step "the images are gone"
}

stop_forwards
target
if reachable; then
  clean_cluster
else
  step "the cluster of '$CONTEXT' does not run: there is nothing to remove from it"
fi
rm -f "$TARGET_FILE"
rmdir "$STATE_DIR" 2>/dev/null || true
if [ $images = yes ]; then remove_images; fi
if [ $cluster = yes ]; then
  if is_ours; then
    nested ops/cluster/down --name "$(cluster_name)"
  else
    warn "the cluster of '$CONTEXT' was not made by ops/cluster: it stays"
  fi
fi

remains() { printf '  %-62s %s\n' "$1" "$2"; }
say "Done. What stays, and what removes it:"
if is_ours && [ $cluster = no ] && use_our_cluster; then remains "the cluster '$(cluster_name)'" "ops/cluster/down --name $(cluster_name)"; fi
if [ -d "$IMAGES_DIR" ]; then remains "the images, in $IMAGES_DIR" "$0 --images"; fi
if [ -d "$TOOLS_DIR" ]; then remains "the built tools, in $TOOLS_DIR" "ops/cluster/down --tools"; fi
if [ -d "$ROOT/target" ]; then remains "the compiled Rust, in $ROOT/target" "cargo clean"; fi
