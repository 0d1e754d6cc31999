# shellcheck shell=bash disable=SC2034 # variables are read by the files that source this one
# What the proxies share: the Ingress and the pods behind it, a network namespace on the cluster's bridge, the watch.
# The caller sets PROXY and OCTET, and has the functions write_config, start_proxy, pods_changed and tell_unhappy.

# shellcheck source-path=SCRIPTDIR source=../../../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../../../cluster/lib/cluster.sh
. "$ROOT/ops/cluster/lib/cluster.sh"

# Longest time for which changes are gathered, in seconds.
MOST_GROUPED=2
# Time for the first answer of the API server, in seconds.
FIRST_ANSWER=20

parse_arguments() {
  local cluster=local
  KUBE_NAMESPACE=default
  INGRESS=
  while [ $# -gt 0 ]; do
    case $1 in
      --name | --namespace) [ $# -gt 1 ] || die "$1 needs a value" "see ops/bench/sessions/proxies/$PROXY --help" ;;
    esac
    case $1 in
      --name) cluster=$2; shift ;;
      --namespace) KUBE_NAMESPACE=$2; shift ;;
      -h | --help) usage; exit 0 ;;
      -*) die "unknown argument: $1" "see ops/bench/sessions/proxies/$PROXY --help" ;;
      *) [ -z "$INGRESS" ] || die "one Ingress only"; INGRESS=$1 ;;
    esac
    shift
  done
  [ -n "$INGRESS" ] || die "which Ingress?" "see ops/bench/sessions/proxies/$PROXY --help"
  use_cluster "$cluster"
  need_root
  [ -s "$STATE/up" ] || die "cluster '$NAME' does not run." "Bring it up with: ops/cluster/up --name $NAME"
  use_slot "$(known_slot)"
  PROXY_IP=10.250.$SLOT.$OCTET
  PROXY_NETNS=iam-$NAME-$PROXY
  PROXY_VETH=kv${SLOT}$PROXY
}

# install_quietly PACKAGE: without starting a service of its: it would listen on all addresses of the machine.
install_quietly() {
  local policy=/usr/sbin/policy-rc.d log=$CACHE_DIR/packages.log made=no
  have apt-get || die "the Debian package $1 is missing."
  if [ ! -e $policy ]; then
    on_exit "rm -f $policy"
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made=yes
  fi
  step "installing the Debian package $1" >&2
  mkdir -p "$CACHE_DIR"
  apt_install "$log" "$1" || die "the Debian package $1 could not be installed" "The log: $log"
  [ $made = no ] || rm -f $policy
}

need_daemon() { have "$1" || install_quietly "$2"; }
need_file() { [ -e "$1" ] || install_quietly "$2"; }

ours() { kubectl --namespace "$KUBE_NAMESPACE" "$@"; }

# read_ingress: DIR/annotations has "key=value" lines; DIR/routes "host path service port", with - for no host.
# shellcheck disable=SC2016
read_ingress() {
  local host path rest
  ours get ingress "$INGRESS" -o 'go-template={{range $key, $value := .metadata.annotations}}{{$key}}={{$value}}{{"\n"}}{{end}}' >"$DIR/annotations" ||
    die "the Ingress $INGRESS cannot be read" "See: kubectl --namespace $KUBE_NAMESPACE get ingress"
  ours get ingress "$INGRESS" -o 'go-template={{range .spec.rules}}{{$host := or .host "-"}}{{range .http.paths}}{{$host}} {{or .path "/"}} {{.backend.service.name}} {{or .backend.service.port.name .backend.service.port.number}}{{"\n"}}{{end}}{{end}}' >"$DIR/routes"
  [ -s "$DIR/routes" ] || die "the Ingress $INGRESS has no paths"
  while read -r host path rest; do
    # They go into a configuration file as they are.
    case $host$path in *[!A-Za-z0-9./_-]*) die "a host or path of the Ingress $INGRESS is not understood: $host $path" ;; esac
  done <"$DIR/routes"
}

# annotation KEY DEFAULT
annotation() {
  local value
  value=$(sed -n "s|^$1=||p" "$DIR/annotations")
  case $value in
    "") printf '%s\n' "$2" ;;
    *[!A-Za-z0-9_\ .-]*) die "the annotation $1 of the Ingress $INGRESS is not understood: $value" ;;
    *) printf '%s\n' "$value" ;;
  esac
}

backend_name() { printf '%s-%s-%s\n' "$KUBE_NAMESPACE" "$1" "$2"; }

# read_ports: DIR/ports has "service port name": the port's name in the Service is its name in the EndpointSlices. The
# only port of a Service may have none; then it is -.
# shellcheck disable=SC2016
read_ports() {
  local service port name
  while read -r service port; do
    name=$(ours get service "$service" -o "go-template={{range .spec.ports}}{{if or (eq (print .port) \"$port\") (eq (print .name) \"$port\")}}{{or .name \"-\"}}{{end}}{{end}}") ||
      die "the Service $service of the Ingress $INGRESS cannot be read"
    [ -n "$name" ] || die "the Service $service has no port $port"
    printf '%s %s %s\n' "$service" "$port" "$name"
  done >"$DIR/ports" <<END
$(cut -d ' ' -f 3,4 "$DIR/routes" | sort -u)
END
}

# kubectl writes a line in pieces, and a read with a time limit would take a piece for a line.
whole_lines() {
  local line
  while IFS= read -r line; do printf '%s\n' "$line"; done
}

# start_watch: a line on descriptor 7 for every EndpointSlice there is, and again for every change of one:
# "EVENT NAME SERVICE READY/PORT_NAME/ADDRESS:PORT...".
# One process for all of them: starting a kubectl for each change takes seconds on a busy machine.
WATCH=
# shellcheck disable=SC2016
start_watch() {
  rm -f "$DIR"/slices/*
  # Not the function kubectl, whose pid would be that of a shell around it.
  env "$MARK" "$TOOLS_BIN/kubectl" --kubeconfig="$STATE/kubeconfig" --namespace "$KUBE_NAMESPACE" \
    get endpointslices --selector kubernetes.io/service-name --watch --output-watch-events \
    --output 'go-template={{.type}} {{with .object}}{{.metadata.name}} {{index .metadata.labels "kubernetes.io/service-name"}}{{$ports := .ports}}{{range .endpoints}}{{$ready := .conditions.ready}}{{range .addresses}}{{$address := .}}{{range $ports}} {{$ready}}/{{or .name "-"}}/{{$address}}:{{.port}}{{end}}{{end}}{{end}}{{end}}{{"\n"}}' \
    > >(whole_lines >&7) 2>>"$DIR/watch.log" </dev/null &
  WATCH=$!
}
stop_watch() { if [ -n "$WATCH" ]; then kill "$WATCH" 2>/dev/null || true; fi; }

# read_changes: takes what the watch says, and what comes within a second of it: changes come in groups. False if it said
# nothing.
read_changes() {
  local event name rest end=
  while IFS=' ' read -r -t 1 event name rest <&7; do
    case $event in
      DELETED) rm -f "$DIR/slices/$name" ;;
      *) printf '%s\n' "$rest" >"$DIR/slices/$name" ;;
    esac
    : "${end:=$((SECONDS + MOST_GROUPED))}"
    [ "$SECONDS" -lt "$end" ] || break
  done
  [ -n "$end" ]
}

# sort_pods: DIR/pods/BACKEND has the addresses of the ready pods. One that is going is not ready.
sort_pods() {
  local service port name
  while read -r service port name; do
    find "$DIR/slices" -type f -exec cat {} + | awk -v service="$service" -v name="$name" '$1 == service {
      for (i = 2; i <= NF; i++) { split($i, part, "/"); if (part[1] != "false" && part[2] == name) print part[3] } }' |
      sort -u >"$DIR/pods.new"
    put "$DIR/pods/$(backend_name "$service" "$port")" <"$DIR/pods.new" # in one go: it may be read just now
  done <"$DIR/ports"
}

# What is in the namespace is ours, whatever became of its parents.
proxy_processes() { ip netns pids "$PROXY_NETNS" 2>/dev/null || true; }
proxy_ended() { [ -z "$(proxy_processes)" ]; }

remove_netns() {
  local pid
  for pid in $(proxy_processes); do kill -9 "$pid" 2>/dev/null || true; done
  ip link del "$PROXY_VETH" 2>/dev/null || true
  ip netns del "$PROXY_NETNS" 2>/dev/null || true
}

# make_netns: on the cluster's bridge, as a machine beside the nodes is. Its way to the pods are the nodes.
make_netns() {
  local i=1 nodes
  nodes=$(cat "$STATE/nodes.count")
  proxy_ended || die "$PROXY runs already on cluster '$NAME'." "One at a time: its address is $PROXY_IP."
  remove_netns # of one that was killed
  on_exit remove_netns
  ip netns add "$PROXY_NETNS"
  ip link add "$PROXY_VETH" type veth peer name eth0 netns "$PROXY_NETNS"
  ip link set "$PROXY_VETH" master "$BRIDGE" up
  ip -n "$PROXY_NETNS" addr add "$PROXY_IP/24" dev eth0
  ip -n "$PROXY_NETNS" link set eth0 up
  ip -n "$PROXY_NETNS" link set lo up
  ip -n "$PROXY_NETNS" route add default via "$HOST_IP"
  while [ "$i" -le "$nodes" ]; do
    use_node "$i"
    ip -n "$PROXY_NETNS" route add "$NODE_PODS" via "$NODE_IP"
    i=$((i + 1))
  done
  forget_neighbours
}

# in_netns COMMAND...: in the background, PROXY_PID; with the mark that `ops/cluster/down` knows a cluster's processes by.
PROXY_PID=
in_netns() {
  env "$MARK" setsid nsenter --net="/run/netns/$PROXY_NETNS" "$@" >>"$DIR/error.log" 2>&1 </dev/null 7>&- &
  PROXY_PID=$!
}

proxy_runs() { kill -0 "$PROXY_PID" 2>/dev/null; }

# SIGTERM ends a master and all its workers at once, old ones included; remove_netns kills what is left.
stop_proxy() {
  [ -n "$PROXY_PID" ] || return 0
  kill -TERM "$PROXY_PID" 2>/dev/null || true
  wait_until 5 proxy_ended || true
  tell_unhappy >&2
}

# last_words: what it logged last.
last_words() { tail -n 3 "$DIR/error.log" 2>/dev/null || true; }

all_pods() { cat "$DIR"/pods/*; }
tell_pods() { step "$PROXY: pods $(all_pods | tr '\n' ' ')" >&2; }

answers() { (exec 3<>"/dev/tcp/$PROXY_IP/80") 2>/dev/null; }

# follow: keeps the proxy's pods as the EndpointSlices are, until a signal comes.
follow() {
  local known now
  known=$(all_pods)
  while :; do
    kill -0 "$WATCH" 2>/dev/null || start_watch # it ends after some time, and when the API server does
    proxy_runs || die "$PROXY ended" "$(last_words)"
    read_changes || continue
    sort_pods
    now=$(all_pods)
    [ "$now" != "$known" ] || continue
    known=$now
    tell_pods
    pods_changed || warn "$PROXY does not take the new configuration: $(last_words)"
  done
}

run_proxy() {
  DIR=$(mktemp -d)
  on_exit "rm -rf '$DIR'"
  mkdir "$DIR/pods" "$DIR/slices"
  read_ingress
  read_ports
  mkfifo "$DIR/changes"
  exec 7<>"$DIR/changes" # both ways: neither end waits for the other
  on_exit stop_watch
  start_watch
  wait_until $FIRST_ANSWER read_changes || warn "there are no EndpointSlices in $KUBE_NAMESPACE yet"
  sort_pods
  write_config >"$DIR/config"
  make_netns
  on_exit stop_proxy
  start_proxy
  wait_until 5 answers || die "$PROXY does not listen" "$(last_words)"
  tell_pods
  say "http://$PROXY_IP"
  follow
}
