# shellcheck shell=bash
# The host that the load comes from: a network namespace on the cluster's bridge with several addresses, whose way to
# Services is one node. Read after ops/cluster/lib/cluster.sh; use_slot was called.

# shellcheck disable=SC2153 # NAME, SLOT and BRIDGE are set by use_cluster and use_slot
use_clients() {
  CLIENTS_NETNS=iam-$NAME-clients
  CLIENTS_VETH=kv${SLOT}clients
}

# add_clients COUNT: makes the namespace; CLIENT_IPS gets its addresses, separated by commas. One left behind is replaced.
add_clients() {
  local i=0 address
  remove_clients
  ip netns add "$CLIENTS_NETNS"
  ip link add "$CLIENTS_VETH" type veth peer name eth0 netns "$CLIENTS_NETNS"
  ip link set "$CLIENTS_VETH" master "$BRIDGE" up
  ip -n "$CLIENTS_NETNS" link set lo up
  ip -n "$CLIENTS_NETNS" link set eth0 up
  CLIENT_IPS=
  while [ $i -lt "$1" ]; do
    address=10.250.$SLOT.$((100 + i))
    ip -n "$CLIENTS_NETNS" addr add "$address/24" dev eth0
    CLIENT_IPS=$CLIENT_IPS${CLIENT_IPS:+,}$address
    i=$((i + 1))
  done
  forget_neighbours
  use_node 1
  # shellcheck disable=SC2153 # NODE_IP is set by use_node
  ip -n "$CLIENTS_NETNS" route add "$SERVICE_RANGE" via "$NODE_IP"
}

remove_clients() {
  if [ -e "/run/netns/$CLIENTS_NETNS" ]; then ip netns del "$CLIENTS_NETNS"; fi
  ip link del "$CLIENTS_VETH" 2>/dev/null || true
}
