# shellcheck shell=bash
# The way from pods and nodes to the internet: the host forwards what they send, under its own address.

FORWARDING=/proc/sys/net/ipv4/ip_forward

# Only what leaves the machine changes its source: in a cluster, and between clusters, everybody is seen under his own
# address. "! -d" is for the host itself, which talks to its bridge address over lo and not over the bridge.
masquerade() {
  local range rule
  for range in "$POD_RANGE" "10.250.$SLOT.0/24"; do
    rule="POSTROUTING -s $range ! -d $range ! -o kbr+ -m comment --comment iam-mcp-$NAME -j MASQUERADE"
    # shellcheck disable=SC2086 # words
    iptables -t nat -C $rule 2>/dev/null || iptables -t nat -A $rule || return 1
  done
}

# other_forwarders: the other clusters that live on forwarding which one of ours turned on.
other_forwarders() { find "$RUN_ROOT" -mindepth 2 -maxdepth 2 -name ip_forward ! -path "$RUN/*"; }

# The old value is kept with what dies at a reboot, as the setting itself does; and written first, so that whatever
# interrupts us, `down` knows. A machine that forwards anyway gets no such file, and stays as it is.
start_forwarding() {
  local result=0
  exec 8</run
  flock 8
  if [ "$(cat $FORWARDING)" = 0 ] || [ -n "$(other_forwarders)" ]; then
    echo 0 >"$RUN/ip_forward"
    { echo 1 >$FORWARDING; } 2>/dev/null || result=1
  fi
  exec 8<&-
  return $result
}

stop_forwarding() {
  [ -e "$RUN/ip_forward" ] || return 0
  exec 8</run
  flock 8
  if [ -z "$(other_forwarders)" ]; then
    cat "$RUN/ip_forward" >$FORWARDING || warn "$FORWARDING could not be set back to $(cat "$RUN/ip_forward")"
  fi
  rm -f "$RUN/ip_forward"
  exec 8<&-
}

# Nodes have their default route since they were made. A cluster without a way out is still one to work with.
open_egress() {
  { masquerade && start_forwarding; } || warn "pods will not reach the internet: this machine's nat table or ip_forward cannot be changed"
}
