# shellcheck shell=bash
# Takes a cluster away, and says what could not be.

# cluster_pids: everything of the cluster: by the mark in its environment, by recorded pid, or by being in a node's cgroup.
cluster_pids() {
  local file component dir
  for file in $(grep -lzxF "$MARK" /proc/[0-9]*/environ 2>/dev/null || true); do
    file=${file#/proc/}
    printf '%s\n' "${file%/environ}"
  done
  for file in "$RUN"/*.pid; do
    component=$(basename "$file" .pid)
    pid_of "$component" || true
  done
  for dir in $(find_cgroups); do find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done
}

find_cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name "iam-$NAME-node[0-9]" 2>/dev/null || true; }

processes_gone() {
  local pids
  pids=$(cluster_pids | sort -un)
  [ -n "$pids" ] || return 0
  # Killed, not asked: what they would write in peace is deleted next. New ones may come while containerd dies, hence the loop.
  # shellcheck disable=SC2086 # a list
  kill -9 $pids 2>/dev/null || true
  return 1
}

all_cgroups_gone() {
  local dir
  for dir in $(find_cgroups); do find "$dir" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done
  [ -z "$(find_cgroups)" ]
}

our_bridge() {
  local slot
  for slot in 0 1 2 3 4 5 6 7 8 9; do
    if bridge_is_ours $slot; then printf 'kbr%s\n' $slot; fi
  done
}

# our_rules: the cluster's firewall rules in all tables, as the words that delete them. Without -t no table gets loaded.
our_rules() {
  iptables-save 2>/dev/null | awk -v mark="--comment \"?iam-mcp-$NAME\"?( |\$)" '
    /^\*/ { table = substr($1, 2) }
    /^-A / && $0 ~ mark { sub(/^-A/, "-t " table " -D"); print }'
}

remove_network() {
  local netns link bridge rule rules
  for netns in /run/netns/iam-"$NAME"-node[0-9]; do
    [ ! -e "$netns" ] || ip netns del "$(basename "$netns")"
  done
  bridge=$(our_bridge)
  if [ -n "$bridge" ]; then
    for link in "/sys/class/net/$bridge/brif"/*; do
      [ ! -e "$link" ] || ip link del "$(basename "$link")" 2>/dev/null || true
    done
    ip link del "$bridge"
  fi
  rules=$(our_rules || true)
  [ -n "$rules" ] || return 0
  printf '%s\n' "$rules" | while read -r rule; do eval "iptables $rule"; done
  # A nat table without any rule or chain of somebody's would only keep the kernel tracking connections.
  case $rules in
    *"-t nat "*) [ -n "$(iptables-save -t nat | grep -E '^-A |^:[^ ]+ - ' || true)" ] || iptables -t nat -X ;;
  esac
}

# Directories made on the host as mount points go with the last cluster: removing one would pull it from under the others.
remove_shared() {
  local dir
  [ -f "$RUN_ROOT/made" ] || { rmdir "$RUN_ROOT" 2>/dev/null || true; return 0; }
  [ -z "$(find "$RUN_ROOT" -mindepth 1 -maxdepth 1 -type d)" ] || return 0
  sort -ru "$RUN_ROOT/made" | while read -r dir; do
    if [ "$dir" = /run/netns ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then umount /run/netns 2>/dev/null || true; fi
    rmdir "$dir" 2>/dev/null || true
  done
  rm -f "$RUN_ROOT/made"
  rmdir "$RUN_ROOT" 2>/dev/null || true
}

leftovers() {
  cluster_pids | sed 's/^/process /'
  find_cgroups | sed 's/^/cgroup /'
  our_bridge | sed 's/^/interface /'
  our_rules | sed 's/^-t \([a-z]*\) -D/firewall rule in \1:/' || true
  find /run/netns -name "iam-$NAME-node[0-9]" 2>/dev/null | sed 's/^/network namespace /' || true
  awk -v a="$STATE/" -v b="$RUN/" 'index($2, a) == 1 || index($2, b) == 1 { print "mount " $2 }' /proc/mounts
  [ ! -e "$STATE" ] || printf 'directory %s\n' "$STATE"
  [ ! -e "$RUN" ] || printf 'directory %s\n' "$RUN"
}

# exists: is there anything of this cluster at all?
exists() { [ -n "$(leftovers)" ]; }

take_down() {
  local left
  if ! exists; then
    say "cluster '$NAME' does not exist; nothing to do"
    return 0
  fi
  lock_cluster
  wait_until 30 processes_gone || warn "some processes do not end: $(cluster_pids | tr '\n' ' ')"
  step "processes ended"
  wait_until 20 all_cgroups_gone || true
  remove_network
  stop_forwarding
  rm -rf --one-file-system "$STATE" "$RUN"
  exec 9<&-
  exec 8</run
  flock 8
  remove_shared
  exec 8<&-
  rmdir "$STATE_ROOT" "$(dirname "$STATE_ROOT")" 2>/dev/null || true
  left=$(leftovers)
  if [ -n "$left" ]; then
    printf 'error: cluster %s is not gone entirely; left are:\n%s\n' "'$NAME'" "$left" >&2
    return 1
  fi
  step "cluster '$NAME' is gone: no process, interface, namespace, mount, cgroup, firewall rule or file of it is left"
}
