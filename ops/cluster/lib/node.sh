# shellcheck shell=bash
# A node: a network and a mount namespace of its own with containerd, kubelet and kube-proxy in them.

# What containerd, CNI and kubelet write outside of their configured directories. Each node sees a directory of its own
# there, so a container runtime already on this machine is not disturbed and nothing is left behind.
PRIVATE_DIRS="/run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers"

# Firewalls with a default of "drop" (Docker sets one) also drop what crosses our bridge, and the answers to it.
open_firewall() {
  local chain match rule
  while read -r chain match; do
    rule="$chain $match -m comment --comment iam-mcp-$NAME -j ACCEPT"
    # A chain that only has the policy "accept" is left alone: an added rule would create tables on a machine without any.
    [ "$(iptables -S "$chain")" != "-P $chain ACCEPT" ] || continue
    # shellcheck disable=SC2086 # words
    iptables -C $rule 2>/dev/null || iptables -I $rule
  done <<E
INPUT -i $BRIDGE
FORWARD -i $BRIDGE
FORWARD -o $BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED
E
}

make_cgroup() {
  local dir file
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    tr ' ' '\n' </sys/fs/cgroup/cgroup.controllers | while read -r file; do
      echo "+$file" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    done
    mkdir -p "/sys/fs/cgroup/$CGROUP" || die "cgroups cannot be made in /sys/fs/cgroup" "Inside a container they must be its own and writable; 'up --nodes 0' needs none."
    return 0
  fi
  for dir in /sys/fs/cgroup/*/; do
    [ "$dir" != /sys/fs/cgroup/unified/ ] || continue
    mkdir -p "$dir$CGROUP" || die "cgroups cannot be made in $dir" "Inside a container they must be its own and writable; 'up --nodes 0' needs none."
  done
  # A new cpuset is empty, and nothing can run in it.
  for file in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$CGROUP/$file"; done
}

# make_dir DIR: on the host; remembered if it is new, for the last `down`.
make_dir() {
  [ ! -d "$1" ] || return 0
  printf '%s\n' "$1" >>"$RUN_ROOT/made"
  mkdir -p "$1"
}

make_namespaces() {
  local dir binds=
  if alive "namespaces-$NODE"; then return 0; fi
  end_node # what may be left of it belongs to namespaces that are gone
  [ -d /run/netns ] || printf '%s\n' /run/netns >>"$RUN_ROOT/made"
  ip netns add "$NETNS"
  ip link add "$VETH" type veth peer name eth0 netns "$NETNS"
  ip link set "$VETH" master "$BRIDGE" up
  ip -n "$NETNS" addr add "$NODE_IP/24" dev eth0
  ip -n "$NETNS" link set eth0 up
  ip -n "$NETNS" link set lo up
  ip -n "$NETNS" route add default via "$HOST_IP"
  for dir in $PRIVATE_DIRS; do
    make_dir "$dir"
    mkdir -p "$NODE_DIR/private$dir"
    binds="$binds mount --bind '$NODE_DIR/private$dir' '$dir';"
  done
  # Entered with nsenter, not with `ip netns exec`: that remounts /sys, which hides the cgroups.
  # Slave first: what the host unmounts goes away here too, what is mounted here is not seen there.
  start "namespaces-$NODE" nsenter --net="/run/netns/$NETNS" unshare --mount --propagation slave sh -ec \
    "mount --make-rshared /; $binds echo 1 >/proc/sys/net/ipv4/ip_forward; : >'$RUN/$NODE.ready'; exec sleep infinity"
  wait_until 10 test -e "$RUN/$NODE.ready" || failed "namespaces-$NODE" "could not be set up"
}

inside() {
  local component=$1 pid
  shift
  pid=$(pid_of "namespaces-$NODE") || failed "namespaces-$NODE" "ended"
  start "$component" nsenter --target "$pid" --mount --net "$@"
}

# Routes between the pods: node to node over the bridge, so that the host need not forward; and from the host.
make_routes() {
  local i this=$INDEX
  ip route replace "$NODE_PODS" via "$NODE_IP" dev "$BRIDGE"
  i=1
  while [ "$i" -le "$NODES" ]; do
    [ "$i" = "$this" ] || ip -n "$NETNS" route replace "10.24$SLOT.$i.0/24" via "10.250.$SLOT.$((10 + i))"
    i=$((i + 1))
  done
}

start_containerd() {
  local cni_dir
  cni_dir=$(find_cni_dir)
  mkdir -p "$NODE_DIR/cni"
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc dies when it lowers the score ("final child's PID: EOF").
  # The opt plugin is off because it creates /opt/containerd.
  put "$NODE_DIR/containerd.toml" <<E
version = 2
root = "$NODE_DIR/containerd"
state = "$NODE_DIR/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_dir"
    conf_dir = "$NODE_DIR/cni"
E
  # ptp routes every packet through the node, where kube-proxy's rules are. Pods on a bridge would answer each other past them.
  put "$NODE_DIR/cni/10-pods.conflist" <<E
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "$NODE_DIR/ipam",
    "ranges": [[{"subnet": "$NODE_PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
E
  inside "containerd-$NODE" containerd --config "$NODE_DIR/containerd.toml"
}

containerd_answers() { ctr --address "$SOCKET" version >/dev/null 2>&1; }

wait_for_containerd() { wait_until 30 containerd_answers || failed "containerd-$NODE" "does not answer"; }

start_kubelet_and_proxy() {
  printf 'nameserver %s\n' "$DNS_IP" | put "$NODE_DIR/resolv.conf"
  # localStorageCapacityIsolation off: some machines' disks are not among those the kubelet can measure.
  # evictionHard: the disk is the developer's own; only a lack of memory makes the kubelet evict pods.
  put "$NODE_DIR/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$PKI/ca.crt"}}
authorization: {mode: Webhook}
tlsCertFile: "$PKI/$NODE.crt"
tlsPrivateKeyFile: "$PKI/$NODE.key"
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: "unix://$SOCKET"
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: "$NODE_DIR/resolv.conf"
podLogsDir: "$NODE_DIR/pod-logs"
localStorageCapacityIsolation: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi}
serializeImagePulls: false
E
  inside "kubelet-$NODE" "$TOOLS_BIN/kubelet" --config="$NODE_DIR/kubelet.yaml" --kubeconfig="$PKI/$NODE.kubeconfig" \
    --root-dir=/var/lib/kubelet --hostname-override="$NODE" --node-ip="$NODE_IP"
  put "$NODE_DIR/kube-proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "$PKI/kube-proxy.kubeconfig"}
hostnameOverride: $NODE
mode: iptables
clusterCIDR: $POD_RANGE
oomScoreAdj: 0
conntrack: {maxPerCore: 0}
iptables: {minSyncPeriod: 0s, localhostNodePorts: false}
E
  inside "kube-proxy-$NODE" "$TOOLS_BIN/kube-proxy" --config="$NODE_DIR/kube-proxy.yaml"
}

nodes_ready() {
  local ready
  ready=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' 2>/dev/null | grep -c True || true)
  [ "$ready" -ge "$NODES" ]
}

nodes_ready_or_dead() {
  local component
  nodes_ready && return 0
  for component in $(components); do alive "$component" || return 0; done
  return 1
}

wait_for_nodes() {
  local component
  wait_until 90 nodes_ready_or_dead || true
  for component in $(components); do alive "$component" || failed "$component" "ended"; done
  nodes_ready || failed kubelet-node1 "not all of the $NODES nodes are ready after 90 seconds (see 'kubectl describe nodes')"
}

node_cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$CGROUP" 2>/dev/null; }

# Pids of the node's own: its containers by cgroup; containerd, shims and kubelet by the mark and the node's paths.
node_pids() {
  local dir pid file
  for dir in $(node_cgroups); do find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done
  for file in $(grep -lzxF "$MARK" /proc/[0-9]*/environ 2>/dev/null || true); do
    pid=${file#/proc/}
    pid=${pid%/environ}
    if tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -e "$NODE_DIR/" -e "$SOCKET"; then printf '%s\n' "$pid"; fi
  done
}

node_ended() {
  local pids
  pids=$({ node_pids; pid_of "namespaces-$NODE" || true; } | sort -un)
  [ -n "$pids" ] || return 0
  # shellcheck disable=SC2086 # a list
  kill -9 $pids 2>/dev/null || true
  return 1
}

cgroups_gone() {
  local dir
  for dir in $(node_cgroups); do find "$dir" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done
  [ -z "$(node_cgroups)" ]
}

# end_node: ends all of a node's processes and removes what is of the kernel's; its images stay.
end_node() {
  wait_until 20 node_ended || return 1
  wait_until 10 cgroups_gone || return 1
  if [ -e "/run/netns/$NETNS" ]; then ip netns del "$NETNS"; fi
  ip link del "$VETH" 2>/dev/null || true
  rm -rf --one-file-system "$NODE_DIR/ipam" "$NODE_DIR/containerd-state" "$NODE_DIR/private" "$RUN/$NODE.ready" \
    "$SOCKET" "$SOCKET.ttrpc" "$RUN"/*-"$NODE".pid
}
