# shellcheck shell=bash disable=SC2034 # variables are read by the files that are sourced after this one
# A cluster's name, its slot on this machine and what follows from it, its lock and its processes.

RUN_ROOT=/run/iam-mcp # short, because socket paths are limited to 107 bytes; gone after a reboot, as the processes are
MAX_NODES=9

# use_cluster NAME: sets the paths of a cluster.
use_cluster() {
  case $1 in
    "" | *[!a-z0-9-]* | [!a-z]*) die "not a cluster name: '$1'" "A name is made of a-z, 0-9 and '-', and starts with a letter." ;;
  esac
  [ ${#1} -le 20 ] || die "the cluster name '$1' is longer than 20 characters"
  NAME=$1
  STATE=$STATE_ROOT/$NAME
  RUN=$RUN_ROOT/$NAME
  LOGS=$STATE/log
  PKI=$STATE/pki
  # In the environment of every process of the cluster, containerd's shims included: how `down` knows them.
  MARK=IAM_MCP_CLUSTER_PROCESS=$NAME
}

# use_slot S: every address, port and interface name of a cluster follows from its slot, 0 to 9.
use_slot() {
  SLOT=$1
  BRIDGE=kbr$SLOT
  HOST_IP=10.250.$SLOT.1
  POD_RANGE=10.24$SLOT.0.0/16
  SERVICE_RANGE=10.23$SLOT.0.0/16
  SERVICE_IP=10.23$SLOT.0.1
  DNS_IP=10.23$SLOT.0.10
  API_PORT=$((6443 + SLOT))
  METRICS_PORT=$((4443 + SLOT))
  DNS_PORT=$((10530 + SLOT))
  DNS_READY_PORT=$((8180 + SLOT))
  ETCD_PORT=$((12300 + SLOT * 10))
  PEER_PORT=$((ETCD_PORT + 1))
  KCM_PORT=$((ETCD_PORT + 2))
  SCHEDULER_PORT=$((ETCD_PORT + 3))
  API=https://$HOST_IP:$API_PORT
}

# use_node I: the same for the cluster's I-th node.
use_node() {
  INDEX=$1
  NODE=node$INDEX
  NODE_DIR=$STATE/nodes/$NODE
  NODE_IP=10.250.$SLOT.$((10 + INDEX))
  NODE_PODS=10.24$SLOT.$INDEX.0/24
  NETNS=iam-$NAME-$NODE
  CGROUP=iam-$NAME-$NODE
  VETH=kv${SLOT}n$INDEX
  SOCKET=$RUN/$NODE.sock
}

# forget_neighbours: has the nodes ask anew who has an address on the bridge. A host made again under an address that was
# there lately has another MAC, and is answered at the old one for up to ten seconds.
forget_neighbours() {
  local i=1 nodes
  nodes=$(cat "$STATE/nodes.count" 2>/dev/null || echo 0)
  while [ "$i" -le "$nodes" ]; do
    use_node "$i"
    ip -n "$NETNS" neigh flush dev eth0
    i=$((i + 1))
  done
}

need_root() {
  [ "$(uname -s)" = Linux ] || die "this cluster runs on Linux only." "On macOS use Docker Desktop's Kubernetes, kind or minikube."
  [ "$(id -u)" = 0 ] || die "root is needed: the cluster makes network namespaces, mounts and cgroups." "Run it with sudo."
}

# lock_cluster: one `up`, `down` or `load` at a time. The lock is on the run directory, which `down` removes.
lock_cluster() {
  while :; do
    mkdir -p "$RUN"
    exec 9<"$RUN"
    if ! flock -n 9; then
      step "waiting for another command on cluster '$NAME' to finish"
      flock 9
    fi
    [ "$(stat -Lc %i /proc/self/fd/9)" != "$(stat -c %i "$RUN" 2>/dev/null)" ] || break
  done
  if [ -f "$RUN/state" ] && [ "$(cat "$RUN/state")" != "$STATE" ]; then
    die "a cluster '$NAME' of another state directory runs on this machine: $(cat "$RUN/state")" "Choose another name with --name."
  fi
}

known_slot() { cat "$STATE/slot" 2>/dev/null || cat "$RUN/slot" 2>/dev/null; }

# bridge_is_ours S: the alias names the cluster; without one, somebody was interrupted right after making the bridge.
bridge_is_ours() {
  case $(cat "/sys/class/net/kbr$1/ifalias" 2>/dev/null) in
    "iam-mcp-$NAME") ;;
    "") [ -e "/sys/class/net/kbr$1" ] && [ "$(known_slot)" = "$1" ] ;;
    *) return 1 ;;
  esac
}

# port_taken ADDRESS PORT: does anybody listen there, on all addresses included?
port_taken() { [ -n "$(ss -Hltn "sport = :$2" | awk -v a="$1:$2" -v n="$2" '$4 == a || $4 == "0.0.0.0:" n || $4 == "*:" n || $4 == "[::]:" n')" ]; }

slot_free() {
  use_slot "$1"
  [ ! -e "/sys/class/net/$BRIDGE" ] &&
    [ -z "$(ip -4 route show root "10.250.$1.0/24")" ] && [ -z "$(ip -4 route show root "$POD_RANGE")" ] &&
    ! port_taken "$HOST_IP" "$API_PORT" && ! port_taken 127.0.0.1 "$ETCD_PORT"
}

# claim_slot: finds this cluster's slot or takes a free one. The bridge is the claim: it is machine-wide and dies with a reboot.
claim_slot() {
  local slot
  slot=$(known_slot || true)
  exec 8</run
  flock 8
  if [ -n "$slot" ] && [ -e "/sys/class/net/kbr$slot" ] && ! bridge_is_ours "$slot"; then
    die "the bridge kbr$slot, which cluster '$NAME' used, belongs to somebody else now." "Run 'ops/cluster/down --name $NAME', then 'up' again."
  fi
  if [ -z "$slot" ]; then
    for slot in 0 1 2 3 4 5 6 7 8 9 none; do
      [ $slot != none ] || die "no free slot: ten clusters run, or their addresses (10.230-10.250.x) or ports (6443...) are taken by others." \
        "See 'ip route' and 'ss -ltn'; end a cluster with 'ops/cluster/down --name NAME'."
      if slot_free $slot; then break; fi
    done
  fi
  use_slot "$slot"
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  printf '%s\n' "$slot" >"$STATE/slot"
  printf '%s\n' "$slot" >"$RUN/slot"
  printf '%s\n' "$STATE" >"$RUN/state"
  if [ ! -e "/sys/class/net/$BRIDGE" ]; then
    ip link add "$BRIDGE" type bridge
  fi
  ip link set "$BRIDGE" alias "iam-mcp-$NAME"
  ip addr replace "$HOST_IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  exec 8<&-
}

# start_time PID: in clock ticks since boot; with the pid it names a process for good. A zombie has none: it has ended.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # fields
  set -- ${stat##*) }
  case $1 in Z | X) return 1 ;; esac
  printf '%s\n' "${20}"
}

# pid_of COMPONENT: its pid, if it is still the process that was started.
pid_of() {
  local pid started
  read -r pid started 2>/dev/null <"$RUN/$1.pid" || return 1
  [ "$(start_time "$pid")" = "$started" ] && printf '%s\n' "$pid"
}

alive() { pid_of "$1" >/dev/null; }

# start COMPONENT COMMAND...: in the background, unless it runs. The process records itself before it becomes the
# command, so that whatever interrupts us, `down` finds it.
# shellcheck disable=SC2016
start() {
  local component=$1
  shift
  if alive "$component"; then return 0; fi
  mkdir -p "$LOGS"
  rm -f "$RUN/$component.pid" # of one that died; below, its being there means that the new one has recorded itself
  [ ! -s "$LOGS/$component.log" ] || mv -f "$LOGS/$component.log" "$LOGS/$component.log.1"
  env "$MARK" setsid sh -c 'read -r stat </proc/$$/stat; started=$(set -- ${stat##*) }; echo "${20}")
    echo "$$ $started" >"$0.new" && mv "$0.new" "$0" && exec "$@"' \
    "$RUN/$component.pid" "$@" </dev/null >"$LOGS/$component.log" 2>&1 3>&- 8<&- 9<&- &
  wait_until 5 test -s "$RUN/$component.pid" || failed "$component" "could not be started"
}

# failed COMPONENT WHAT: the end of `up`: what failed, the last meaningful lines of its log, known causes.
failed() {
  local log=$LOGS/$1.log lines hint=
  lines=$(grep -E '^[EF][0-9]{4} |level=(error|fatal)|"level":"(error|fatal|panic)"|^panic|^Error|^error|rror:' "$log" 2>/dev/null | tail -n 5 | cut -c 1-400 || true)
  [ -n "$lines" ] || lines=$(tail -n 5 "$log" 2>/dev/null | cut -c 1-400 || true)
  printf '\n%s\n\n' "$lines" >&2
  case $(tail -n 60 "$log" 2>/dev/null) in
    *"address already in use"*) hint="Another program listens on one of the cluster's ports: see 'ss -ltnup'." ;;
    *"no space left on device"*) hint="The disk is full: see 'df -h'." ;;
    *"too many open files"*) hint="The limit of open files is too low: see 'ulimit -n'." ;;
    *"cgroup"*"ead-only"* | *"find cgroup mount"* | *"ailed to create"*cgroup*) hint="It may be the cgroups: a container without its own writable /sys/fs/cgroup cannot run nodes; 'up --nodes 0' needs none." ;;
    *"ermission denied"* | *"peration not permitted"*) hint="Something is not permitted: inside an unprivileged container the cluster cannot run." ;;
  esac
  set -- "$1: $2" "The log: $log" ${hint:+"$hint"} "'ops/cluster/up --name $NAME' tries again from here; 'ops/cluster/down --name $NAME' removes it all."
  die "$@"
}

kubectl() { "$TOOLS_BIN/kubectl" --kubeconfig="$STATE/kubeconfig" "$@"; }
api_ready() { kubectl get --raw=/readyz >/dev/null 2>&1; }

# components: what should run now, a name a line.
components() {
  printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler
  local nodes i
  nodes=$(cat "$STATE/nodes.count" 2>/dev/null || echo 0)
  if [ "$nodes" -gt 0 ]; then printf '%s\n' coredns metrics-server; fi
  i=1
  while [ "$i" -le "$nodes" ]; do
    printf '%s\n' "namespaces-node$i" "containerd-node$i" "kubelet-node$i" "kube-proxy-node$i"
    i=$((i + 1))
  done
}
