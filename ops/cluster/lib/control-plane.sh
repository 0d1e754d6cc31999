# shellcheck shell=bash
# etcd, API server, controller manager and scheduler, in the host's network namespace on the cluster's own bridge.

start_etcd_and_api() {
  # Nothing here is worth an fsync: a cluster that lost power is made anew.
  start etcd "$TOOLS_BIN/etcd" --name=local --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="http://127.0.0.1:$ETCD_PORT" --advertise-client-urls="http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls="http://127.0.0.1:$PEER_PORT" --initial-advertise-peer-urls="http://127.0.0.1:$PEER_PORT" \
    --initial-cluster="local=http://127.0.0.1:$PEER_PORT"

  # Writes only: "who changed what" in a small file, which tests read.
  put "$STATE/audit-policy.yaml" <<'E'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
E
  # Bound to the bridge, not to the machine's addresses. Aggregator routing: the host has no route to service addresses.
  start kube-apiserver "$TOOLS_BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --advertise-address="$HOST_IP" --bind-address="$HOST_IP" --secure-port="$API_PORT" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.pub" \
    --service-account-signing-key-file="$PKI/sa.key" --service-cluster-ip-range="$SERVICE_RANGE" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --enable-aggregator-routing=true --requestheader-client-ca-file="$PKI/ca.crt" \
    --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" \
    --audit-policy-file="$STATE/audit-policy.yaml" --audit-log-path="$LOGS/audit.log" \
    --audit-log-maxsize=50 --audit-log-maxbackup=2
}

api_ready_or_dead() { api_ready || ! alive kube-apiserver || ! alive etcd; }

wait_for_api() {
  wait_until 120 api_ready_or_dead || failed kube-apiserver "is not ready after two minutes"
  alive etcd || failed etcd "ended"
  alive kube-apiserver || failed kube-apiserver "ended"
}

start_controllers() {
  local credentials=$PKI/kube-controller-manager.kubeconfig
  # The autoscaler's defaults (15 s, 5 min, 30 s) are made for slow starters; a developer or a test does not wait that long.
  # Nor for 20 writes a second, the default of the controllers, where hundreds of objects are made at once.
  start kube-controller-manager "$TOOLS_BIN/kube-controller-manager" --kubeconfig="$credentials" \
    --authentication-kubeconfig="$credentials" --authorization-kubeconfig="$credentials" \
    --bind-address=127.0.0.1 --secure-port="$KCM_PORT" --profiling=false --leader-elect=false \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --allocate-node-cidrs=false --service-cluster-ip-range="$SERVICE_RANGE" \
    --kube-api-qps=500 --kube-api-burst=1000 \
    --horizontal-pod-autoscaler-sync-period=5s --horizontal-pod-autoscaler-cpu-initialization-period=10s \
    --horizontal-pod-autoscaler-initial-readiness-delay=5s
  credentials=$PKI/kube-scheduler.kubeconfig
  start kube-scheduler "$TOOLS_BIN/kube-scheduler" --kubeconfig="$credentials" \
    --authentication-kubeconfig="$credentials" --authorization-kubeconfig="$credentials" \
    --bind-address=127.0.0.1 --secure-port="$SCHEDULER_PORT" --profiling=false --leader-elect=false \
    --kube-api-qps=500 --kube-api-burst=1000
}

# Usable, not only up: without the controllers no namespace gets its default service account, and pods are refused.
controllers_ready_or_dead() {
  kubectl -n default get serviceaccount default -o name >/dev/null 2>&1 || ! alive kube-controller-manager || ! alive kube-scheduler
}

wait_for_controllers() {
  wait_until 60 controllers_ready_or_dead || failed kube-controller-manager "has made no service account after a minute"
  alive kube-controller-manager || failed kube-controller-manager "ended"
  alive kube-scheduler || failed kube-scheduler "ended"
}
