# shellcheck shell=bash
# Cluster DNS and the resource metrics API. They run beside the control plane instead of in pods: no image is needed for them.

# Other names are asked where the machine asks. CoreDNS reads the file in the host's network, so a stub resolver at
# 127.0.0.53 is fine; in the order of the file, as the C library does: behind a VPN the servers know different names.
forward_outside() {
  grep -qE '^[[:space:]]*nameserver[[:space:]]' /etc/resolv.conf 2>/dev/null || return 0
  printf '  forward . /etc/resolv.conf {\n    policy sequential\n  }'
}

# shellcheck disable=SC2153 # NAME is set by use_cluster
start_dns() {
  local pid
  put "$STATE/Corefile" <<E
.:$DNS_PORT {
  bind $HOST_IP
  ready $HOST_IP:$DNS_READY_PORT
  errors
  cache 5
  loadbalance
  kubernetes cluster.local in-addr.arpa {
    kubeconfig "$PKI/coredns.kubeconfig" iam-mcp-$NAME
  }
$(forward_outside)
}
E
  # It reads both files only at its start; the machine's changes when a laptop changes networks.
  if [ "$STATE/Corefile" -nt "$RUN/coredns.pid" ] || [ /etc/resolv.conf -nt "$RUN/coredns.pid" ]; then
    if pid=$(pid_of coredns); then kill -9 "$pid" && wait_until 10 eval '! alive coredns'; fi
  fi
  start coredns "$TOOLS_BIN/coredns" -conf "$STATE/Corefile"
}

dns_listens() { (: <>"/dev/tcp/$HOST_IP/$DNS_PORT") 2>/dev/null || ! alive coredns; }

wait_for_dns() {
  wait_until 30 dns_listens || failed coredns "does not listen after 30 seconds"
  alive coredns || failed coredns "ended"
}

start_addons() {
  start_dns
  start metrics-server "$TOOLS_BIN/metrics-server" --kubeconfig="$PKI/metrics-server.kubeconfig" \
    --bind-address="$HOST_IP" --secure-port="$METRICS_PORT" \
    --tls-cert-file="$PKI/metrics-server.crt" --tls-private-key-file="$PKI/metrics-server.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" \
    --metric-resolution=10s --kubelet-request-timeout=5s
}

# outside_service NAME CLUSTER_IP PORT_NAME:PROTOCOL:PORT:TARGET...: a Service for a process at the host's bridge address.
outside_service() {
  local name=$1 ip=$2 port label protocol number target service_ports='' endpoint_ports=''
  shift 2
  for port in "$@"; do
    IFS=: read -r label protocol number target <<E
$port
E
    service_ports="$service_ports{name: $label, protocol: $protocol, port: $number, targetPort: $target}, "
    endpoint_ports="$endpoint_ports{name: $label, protocol: $protocol, port: $target}, "
  done
  cat <<E
---
apiVersion: v1
kind: Service
metadata: {name: $name, namespace: kube-system}
spec: {${ip:+clusterIP: $ip, }ports: [${service_ports%, }]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $name, namespace: kube-system, labels: {kubernetes.io/service-name: $name}}
addressType: IPv4
ports: [${endpoint_ports%, }]
endpoints: [{addresses: [$HOST_IP], conditions: {ready: true}}]
E
}

apply_addons() {
  {
    outside_service kube-dns "$DNS_IP" "dns:UDP:53:$DNS_PORT" "dns-tcp:TCP:53:$DNS_PORT"
    outside_service metrics-server "" "https:TCP:443:$METRICS_PORT"
    cat <<E
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  service: {name: metrics-server, namespace: kube-system}
  caBundle: $(base64 -w 0 "$PKI/ca.crt")
  groupPriorityMinimum: 100
  versionPriority: 100
E
  } | put "$STATE/addons.yaml"
  kubectl apply --server-side --force-conflicts --field-manager=iam-mcp-cluster -f "$STATE/addons.yaml" >"$LOGS/addons.log" 2>&1 ||
    failed addons "could not be applied"
}

# An API service that does not answer breaks discovery for everybody, so `up` waits for it.
metrics_api_answers() { kubectl get --raw=/apis/metrics.k8s.io/v1beta1 >/dev/null 2>&1 || ! alive metrics-server; }

wait_for_addons() {
  wait_until 60 metrics_api_answers || failed metrics-server "its API does not answer after a minute"
  alive metrics-server || failed metrics-server "ended"
  wait_for_dns
}
