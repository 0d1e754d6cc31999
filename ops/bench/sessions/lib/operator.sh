# shellcheck shell=bash
# The operator, installed with its chart. Read after ops/lib/common.sh.

OPERATOR_RELEASE=iam-mcp-operator
DEFINITION=mcpservers.iam-mcp.dev

# install_operator: sets OPERATOR_NAMESPACE. It is where the definition remembers an operator: helm lets no other release
# have the definition. An operator that is there already is upgraded and stays; ours alone goes at the end.
install_operator() {
  local owner
  OPERATOR_NAMESPACE=iam-mcp-system
  owner=$(kubectl get crd $DEFINITION --ignore-not-found --output='jsonpath={.metadata.annotations.meta\.helm\.sh/release-namespace}')
  if [ -n "$owner" ]; then OPERATOR_NAMESPACE=$owner; fi
  if [ -z "$(helm list --namespace "$OPERATOR_NAMESPACE" --filter "^$OPERATOR_RELEASE\$" --short)" ]; then
    on_exit "helm uninstall $OPERATOR_RELEASE --namespace '$OPERATOR_NAMESPACE' --wait --timeout 60s"
  fi
  step "installing the operator in $OPERATOR_NAMESPACE"
  quietly "helm" "$WORK/helm.log" helm upgrade --install $OPERATOR_RELEASE "$ROOT/charts/iam-mcp-operator" \
    --namespace "$OPERATOR_NAMESPACE" --create-namespace --wait --timeout 120s \
    --set "image.repository=${OUR_OPERATOR_IMAGE%:*}" --set "image.tag=${OUR_OPERATOR_IMAGE##*:}" --set "serverImage=$OUR_IMAGE"
}
