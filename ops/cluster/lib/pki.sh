# shellcheck shell=bash
# The cluster's certificate authority, a certificate for each component, and kubeconfig files.

new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>>"$LOGS/pki.log"; }

# certificate FILE SUBJECT [NAMES]: made once; NAMES is a subjectAltName.
certificate() {
  local base=$PKI/$1
  [ ! -s "$base.crt" ] || return 0
  new_key -keyout "$base.key" -out "$base.csr" -subj "$2"
  printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}" >"$base.ext"
  openssl x509 -req -in "$base.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -out "$base.crt.new" \
    -days 3650 -extfile "$base.ext" 2>>"$LOGS/pki.log"
  mv "$base.crt.new" "$base.crt"
  rm -f "$base.csr" "$base.ext"
}

# kubeconfig CREDENTIAL FILE: one file with everything in it, so that it can be copied elsewhere.
kubeconfig() {
  [ ! -s "$2" ] || return 0
  put "$2" <<E
apiVersion: v1
kind: Config
clusters:
- name: iam-mcp-$NAME
  cluster: {server: "$API", certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")}
users:
- name: iam-mcp-$NAME
  user: {client-certificate-data: $(base64 -w 0 "$PKI/$1.crt"), client-key-data: $(base64 -w 0 "$PKI/$1.key")}
contexts:
- name: iam-mcp-$NAME
  context: {cluster: iam-mcp-$NAME, user: iam-mcp-$NAME}
current-context: iam-mcp-$NAME
E
}

control_plane_certificates() {
  local component
  mkdir -p "$PKI" "$LOGS"
  umask 077
  if [ ! -s "$PKI/ca.crt" ]; then
    new_key -x509 -keyout "$PKI/ca.key" -out "$PKI/ca.crt.new" -subj "/CN=iam-mcp-$NAME" -days 3650
    mv "$PKI/ca.crt.new" "$PKI/ca.crt"
  fi
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$SERVICE_IP,IP:$HOST_IP"
  certificate admin /O=system:masters/CN=admin
  certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
  certificate front-proxy /CN=front-proxy-client
  certificate coredns /O=system:masters/CN=coredns
  certificate metrics-server /O=system:masters/CN=metrics-server "DNS:metrics-server.kube-system.svc"
  for component in kube-controller-manager kube-scheduler kube-proxy; do certificate $component "/CN=system:$component"; done
  for component in coredns metrics-server kube-controller-manager kube-scheduler kube-proxy; do
    kubeconfig $component "$PKI/$component.kubeconfig"
  done
  kubeconfig admin "$STATE/kubeconfig"
  if [ ! -s "$PKI/sa.pub" ]; then
    openssl genrsa -out "$PKI/sa.key" 2048 2>>"$LOGS/pki.log"
    openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub.new" 2>>"$LOGS/pki.log"
    mv "$PKI/sa.pub.new" "$PKI/sa.pub"
  fi
  umask 022
}

node_certificates() {
  umask 077
  certificate "$NODE" "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP"
  kubeconfig "$NODE" "$PKI/$NODE.kubeconfig"
  umask 022
}
