#!/usr/bin/env bash
# Usage: ops/k8s/deploy-local.sh [PORT] [--context CONTEXT]
#
# From nothing to a found job: builds the images, deploys operator and server to a local Kubernetes, forwards
# localhost:PORT to the server, searches for a job through it, and exits. Run again it brings what runs up to date.
#
#   PORT               1024 to 65535, 9999 if not given
#   --context CONTEXT  the kubectl context to deploy to. If not given: the current one, if it is a local cluster
#                      (Docker Desktop, kind, minikube, k3d, Rancher Desktop, OrbStack), else a cluster of its own on
#                      this machine, made by ops/cluster/up (Linux). No other context is touched.
#
# RAPIDAPI_KEY, if set, goes into the Secret iam-mcp-server-rapidapi, and the server searches real postings (JSearch);
# else it searches the sample postings inside it. ops/k8s/teardown-local.sh undoes all this.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../lib/kube.sh
. "$ROOT/ops/lib/kube.sh"

READY_SECONDS=180

port=9999
context=''
while [ $# -gt 0 ]; do
  case $1 in
    --context) [ $# -gt 1 ] || die "--context needs a value" "see ops/k8s/deploy-local.sh --help"; context=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) die "unknown argument: $1" "see ops/k8s/deploy-local.sh --help" ;;
    *) port=$1 ;;
  esac
  shift
done
case $port in
  "" | *[!0-9]* | ??????*) die "not a port: '$port'" "It is a number from 1024 to 65535; 9999 if not given." ;;
esac
if [ "$port" -lt 1024 ] || [ "$port" -gt 65535 ]; then
  die "the port $port is out of range" "It is a number from 1024 to 65535; 9999 if not given."
fi
cd "$ROOT"

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

# Before the long work: a port that is not free, a tool that is missing.
check_port() {
  local pid who=''
  if pid=$(forward_pid) && [ "$(cat "$PORT_FILE" 2>/dev/null)" = "$port" ]; then return 0; fi
  port_taken || return 0
  if have lsof; then who=$(lsof -nP -iTCP:"$port" -sTCP:LISTEN -Fpc 2>/dev/null | sed -n 's/^p\(.*\)/ by process \1/p; s/^c\(.*\)/ (\1)/p' | head -n 2 | tr -d '\n'); fi
  die "the port $port is in use$who." "Choose another: ./ops/k8s/deploy-local.sh 8888"
}

check_tools() {
  need_command curl curl
  if [ "$(uname -s)" = Linux ]; then
    have cargo || docker_runs || die "Rust is missing, and no docker engine runs that could build instead." "Install Rust from https://rustup.rs and run this again."
    return 0
  fi
  have kubectl || die "kubectl is missing." "Docker Desktop brings it; or: brew install kubectl"
  have helm || die "helm is missing." "Install it with: brew install helm"
  docker_runs || die "no docker engine runs." "Start Docker Desktop and run this again."
}

# On Linux what is missing is built, as for a cluster of our own.
find_tools() {
  if have kubectl && have helm; then return 0; fi
  step "kubectl or helm is missing: taking those of ops/cluster"
  nested ops/cluster/build
  PATH=$PATH:$TOOLS_BIN
}

prepare_cluster() {
  choose_context "$context"
  if is_ours; then
    [ "$(uname -s)" = Linux ] || die "there is no local Kubernetes among the kubectl contexts." \
      "Turn on Docker Desktop's Kubernetes (Settings, Kubernetes, Enable Kubernetes), or name a context with --context."
    step "deploying to '$CONTEXT', a cluster of its own on this machine"
    nested ops/cluster/up --name "$(cluster_name)"
    use_our_cluster || die "the cluster '$(cluster_name)' does not run, although it was just brought up" "See ops/cluster/status"
    return 0
  fi
  find_tools
  context_exists || die "there is no kubectl context '$CONTEXT'." "There are: $(kubectl config get-contexts -o name 2>/dev/null | tr '\n' ' ')"
  step "deploying to the kubectl context '$CONTEXT'"
  cluster_answers || die "the cluster of the context '$CONTEXT' does not answer." "Start it and run this again." \
    "On Linux, --context $OUR_CONTEXT deploys to a cluster of its own instead."
}

# kind_of_cluster: by the context's name, else by what its nodes say.
kind_of_cluster() {
  case $CONTEXT in
    iam-mcp-*) echo ours ;;
    docker-desktop | docker-for-desktop) echo docker-desktop ;;
    kind-*) echo kind ;;
    minikube) echo minikube ;;
    k3d-*) echo k3d ;;
    rancher-desktop | orbstack) echo "$CONTEXT" ;;
    *)
      case $(k get nodes -o 'jsonpath={.items[0].spec.providerID} {.items[0].metadata.labels}' 2>/dev/null) in
        kind://*) echo kind ;;
        *minikube.k8s.io/name*) echo minikube ;;
        *) echo unknown ;;
      esac
      ;;
  esac
}

load_images() {
  local tar node name
  case $(kind_of_cluster) in
    ours) nested ops/cluster/load --name "$(cluster_name)" "$@" ;;
    kind)
      have kind || die "the command 'kind' is missing; it is needed to load images into '$CONTEXT'"
      name=$(k get nodes -o 'jsonpath={.items[0].spec.providerID}' | cut -d / -f 4)
      for tar in "$@"; do quietly "kind load" "$IMAGES_DIR/load.log" kind load image-archive "$tar" --name "$name" || return 1; done
      ;;
    minikube)
      have minikube || die "the command 'minikube' is missing; it is needed to load images into '$CONTEXT'"
      name=$(k get nodes -o 'jsonpath={.items[0].metadata.labels.minikube\.k8s\.io/name}')
      for tar in "$@"; do quietly "minikube image load" "$IMAGES_DIR/load.log" minikube -p "${name:-minikube}" image load "$tar" || return 1; done
      ;;
    k3d)
      have k3d || die "the command 'k3d' is missing; it is needed to load images into '$CONTEXT'"
      quietly "k3d image import" "$IMAGES_DIR/load.log" k3d image import "$@" -c "${CONTEXT#k3d-}"
      ;;
    docker-desktop)
      # Newer versions run nodes as containers with an image store each; in older ones the node is the engine itself.
      for node in $(k get nodes -o 'jsonpath={.items[*].metadata.name}'); do
        for tar in "$@"; do
          if docker exec -i "$node" ctr --namespace k8s.io images import - <"$tar" >/dev/null 2>&1; then step "loaded $(basename "$tar") into $node"; fi
        done
      done
      ;;
    rancher-desktop)
      if ! docker_runs; then
        for tar in "$@"; do quietly "nerdctl load" "$IMAGES_DIR/load.log" nerdctl --namespace k8s.io load -i "$tar" || return 1; done
      fi
      ;;
    orbstack) ;; # its nodes use the engine's images
    *)
      die "it is not known how images get into the cluster '$CONTEXT': it is neither kind, minikube, k3d, Docker Desktop, Rancher Desktop nor OrbStack." \
        "Push the images to a registry and install the chart: see charts/iam-mcp-operator/README.md"
      ;;
  esac
}

make_secret() {
  local name=iam-mcp-server-rapidapi
  if [ -n "${RAPIDAPI_KEY:-}" ]; then
    # By standard input, and applied by the server: the key stands in no argument, and in no annotation.
    printf '%s' "$RAPIDAPI_KEY" |
      k create secret generic $name -n $NAMESPACE --from-file=RAPIDAPI_KEY=/dev/stdin --dry-run=client -o yaml |
      k apply --server-side --force-conflicts --field-manager=deploy-local -f - >/dev/null
    step "the Secret $name holds your RAPIDAPI_KEY"
  elif [ -n "$(k get secret $name -n $NAMESPACE --ignore-not-found -o name)" ]; then
    step "RAPIDAPI_KEY is not set: the Secret $name stays as it is"
  else
    k create secret generic $name -n $NAMESPACE --from-literal=RAPIDAPI_KEY= >/dev/null
    step "RAPIDAPI_KEY is not set: the server will search its sample postings"
  fi
}

install_operator() {
  # An interrupted helm leaves its release locked. Uninstalling is harmless: definition and servers stay.
  case $(h status $RELEASE -n $SYSTEM_NAMESPACE -o json 2>/dev/null) in
    *'"status":"pending-'* | *'"status":"failed"'* | *'"status":"uninstalling"'*)
      step "an earlier installation was interrupted: starting it anew"
      h uninstall $RELEASE -n $SYSTEM_NAMESPACE --wait >/dev/null || true
      ;;
  esac
  quietly "helm" "$IMAGES_DIR/helm.log" helm --kube-context "$CONTEXT" upgrade --install $RELEASE charts/iam-mcp-operator \
    --namespace $SYSTEM_NAMESPACE --create-namespace --wait --timeout 3m \
    --set "image.repository=${operator_image%:*},image.tag=${operator_image##*:},image.pullPolicy=IfNotPresent" \
    --set "serverImage=$server_image" || {
    explain_namespace $SYSTEM_NAMESPACE
    die "the operator could not be installed" "See: kubectl --context $CONTEXT logs -n $SYSTEM_NAMESPACE deployment/$RELEASE"
  }
}

explain_namespace() {
  {
    printf '\nPods in %s:\n' "$1"
    k get pods -n "$1" -o wide
    printf '\nLast events in %s:\n' "$1"
    k get events -n "$1" --sort-by=.metadata.creationTimestamp | tail -n 12
  } >&2 2>&1 || true
}

explain_server() {
  {
    printf '\nConditions of McpServer/%s:\n' $SERVER
    k get mcpserver $SERVER -n $NAMESPACE -o 'jsonpath={range .status.conditions[*]}  {.type}={.status} {.reason}: {.message}{"\n"}{end}'
    printf '\nThe operator says:\n'
    k logs -n $SYSTEM_NAMESPACE deployment/$RELEASE --tail=8
  } >&2 2>&1 || true
  explain_namespace $NAMESPACE
}

# server_state: generation, observed generation, image, ready pods, Ready, its reason, Progressing.
server_state() {
  k get mcpserver $SERVER -n $NAMESPACE -o 'jsonpath={.metadata.generation}|{.status.observedGeneration}|{.status.image}|{.status.readyPods}|{.status.conditions[?(@.type=="Ready")].status}|{.status.conditions[?(@.type=="Ready")].reason}|{.status.conditions[?(@.type=="Progressing")].status}' 2>/dev/null || true
}

wait_for_server() {
  local end=$((SECONDS + READY_SECONDS)) told='' line wanted observed image pods ready reason progressing
  # `spec.image`, where a person has set it, wins over the operator's default.
  wanted=$(k get mcpserver $SERVER -n $NAMESPACE -o 'jsonpath={.spec.image}')
  wanted=${wanted:-$server_image}
  while :; do
    IFS='|' read -r generation observed image pods ready reason progressing <<<"$(server_state)"
    if [ "$observed" = "$generation" ] && [ "$image" = "$wanted" ] && [ "$ready" = True ] && [ "$progressing" != True ]; then break; fi
    line="McpServer/$SERVER: ${pods:-0} pods ready${reason:+, $reason}"
    if [ "$line" != "$told" ]; then
      step "$line"
      told=$line
    fi
    if [ $SECONDS -ge $end ]; then
      explain_server
      die "McpServer/$SERVER is not ready after $READY_SECONDS seconds." "Look again: kubectl --context $CONTEXT get mcps -n $NAMESPACE -o wide. Or run this again."
    fi
    sleep 1
  done
  # Old pods may still be stopping; a port-forward to one of them would end with it.
  k rollout status "deployment/$SERVER" -n $NAMESPACE --timeout=60s >/dev/null
  k get mcps -n $NAMESPACE
}

forward_up() { grep -q '^Forwarding from' "$FORWARD_LOG" 2>/dev/null || forward_ended "$forward"; }
healthy() { curl -fsS --max-time 5 "http://localhost:$port/health" >/dev/null 2>&1; }

start_forward() {
  local old
  mkdir -p "$STATE_DIR"
  if old=$(forward_pid); then stop_forward "$old"; fi
  # In a process group of its own, so that the terminal's Ctrl-C does not reach it.
  set -m
  nohup kubectl --context "$CONTEXT" port-forward -n $NAMESPACE "svc/$SERVER" "$port:80" >"$FORWARD_LOG" 2>&1 </dev/null &
  forward=$!
  set +m
  printf '%s\n' "$forward" >"$PID_FILE"
  printf '%s\n' "$port" >"$PORT_FILE"
  wait_until 20 forward_up || true
  if forward_ended "$forward" || ! wait_until 10 healthy; then
    cat "$FORWARD_LOG" >&2
    die "localhost:$port could not be forwarded to svc/$SERVER" "The log: $FORWARD_LOG"
  fi
  disown "$forward" 2>/dev/null || true
}

# A search as a client would make it; what comes back is what a model reads.
search() {
  local answer text
  answer=$(curl -sS --max-time 60 "http://localhost:$port/mcp" -H 'Content-Type: application/json' \
    -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2025-11-25' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_jobs","arguments":{"query":"Python developer","location":"San Francisco, CA","num_jobs":5,"slice_job_description":100}}}') ||
    die "the server does not answer on localhost:$port" "See: kubectl --context $CONTEXT logs -n $NAMESPACE -l app=$SERVER"
  # The JSON string after "text":, with its quotes; printf undoes the other escapes.
  text=$(printf '%s\n' "$answer" | LC_ALL=C sed -E -n 's/.*"text":"(([^"\\]|\\.)*)".*/\1/p' | LC_ALL=C sed -E 's/\\(["\/])/\1/g' | head -n 1)
  case $answer in
    *'"isError":true'* | *'"error":'*)
      printf '%b\n' "${text:-$answer}" >&2
      die "the search failed, although the server runs" \
        "With a RAPIDAPI_KEY: is it valid? Without: delete the Secret iam-mcp-server-rapidapi and run this again."
      ;;
  esac
  [ -n "$text" ] || die "the server's answer is not understood: $answer"
  printf '\n%b\n' "$text"
}

goodbye() {
  local see="kubectl --context $CONTEXT get mcps -n $NAMESPACE" name=
  if is_ours; then
    [ "$CONTEXT" = $OUR_CONTEXT ] || name=" --name $(cluster_name)"
    see="eval \"\$(ops/cluster/env$name)\"; kubectl get mcps -n $NAMESPACE"
  fi
  cat <<E
Found through http://localhost:$port, $(took $SECONDS) after the start. Connect a client:

  Claude Code      claude mcp add --transport http iam-mcp http://localhost:$port/mcp
  Claude Desktop   Settings > Connectors > Add custom connector: http://localhost:$port
  legacy SSE       http://localhost:$port/sse
  health           curl http://localhost:$port/health

  look around      $see
  undo all this    ./ops/k8s/teardown-local.sh
E
}

check_port
check_tools
prepare_cluster

step "building the images"
references=$(mktemp)
on_exit "rm -f '$references'"
ops/images 2>&1 >"$references" | indented
server_image=$(sed -n 's/^\([^ ]*iam-mcp-server:[^ ]*\) .*/\1/p' "$references")
operator_image=$(sed -n 's/^\([^ ]*iam-mcp-operator:[^ ]*\) .*/\1/p' "$references")
step "loading the images into the cluster"
load_images "$IMAGES_DIR/iam-mcp-server.tar" "$IMAGES_DIR/iam-mcp-operator.tar" || die "the images could not be loaded into '$CONTEXT'"

mkdir -p "$STATE_DIR"
printf '%s\n%s\n' "$CONTEXT" "${KUBECONFIG:-}" >"$TARGET_FILE"
step "making the namespace and the Secret"
k apply -f ops/k8s/namespace.yaml >/dev/null
make_secret
step "installing the operator"
install_operator
k wait --for=condition=Established "crd/$CRD" --timeout=30s >/dev/null
step "applying ops/k8s/mcpserver.yaml"
k apply -f ops/k8s/mcpserver.yaml >/dev/null
wait_for_server
step "forwarding localhost:$port to svc/$SERVER"
start_forward
step "searching for a job through it"
search
goodbye
