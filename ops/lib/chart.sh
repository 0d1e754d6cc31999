# shellcheck shell=bash
# Checks of charts/iam-mcp-operator that need no cluster. Read after common.sh; helm is on the PATH.

CHART=$ROOT/charts/iam-mcp-operator

render() { helm template iam-mcp-operator "$CHART" --namespace iam-mcp-system "$@"; }

# objects: "Kind/name" of each document on standard input.
objects() { awk '/^---/ { kind = ""; named = 0 } /^kind:/ { kind = $2 } /^metadata:/ { inside = 1; next } /^[a-z]/ { inside = 0 } inside && /^  name:/ && !named { print kind "/" $2; named = 1 }'; }

# rules_of KIND/NAME: the lines of `rules` of one document on standard input, without comments.
rules_of() {
  awk -v want="$1" '
    /^---/ { kind = ""; name = ""; inside = 0 } /^kind:/ { kind = $2 } /^  name:/ && name == "" { name = $2 }
    /^rules:/ && kind "/" name == want { inside = 1; next } /^[a-z-]*:/ && !/^- / { inside = 0 } inside && !/^ *#/ && NF'
}

problem() { printf 'chart: %s\n' "$*" >&2; return 1; }

check_chart() {
  local values out rules
  helm lint --strict --quiet "$CHART"
  for values in "$CHART"/ci/*-values.yaml; do
    say "accepted and rendered: $(basename "$values")"
    helm lint --strict --quiet "$CHART" --values "$values"
    render --values "$values" >/dev/null
  done

  for values in "$CHART"/ci/refused/*.yaml; do
    say "refused: $(basename "$values")"
    if out=$(render --values "$values" 2>&1); then problem "$(basename "$values") should be refused, and is not"; fi
    case $out in *"values don't meet the specifications of the schema"*) ;; *) problem "$(basename "$values") is not refused by the schema: $out" ;; esac
  done
  if render --kube-version 1.28.9 >/dev/null 2>&1; then problem "Kubernetes 1.28 is below the floor, and is accepted"; fi

  say "the definition stays on uninstall and upgrades with the chart"
  out=$(render --show-only templates/crd.yaml)
  case $out in *"helm.sh/resource-policy: keep"*) ;; *) problem "the definition lacks the annotation that keeps it on uninstall" ;; esac
  # Apart from the annotation it is the generated file, byte for byte.
  diff <(printf '%s\n' "$out" | grep -vE '^  annotations:$|helm.sh/resource-policy|^---$|^# Source') "$ROOT/crds/iam-mcp.dev_mcpservers.yaml" >/dev/null ||
    problem "the rendered definition differs from crds/iam-mcp.dev_mcpservers.yaml: cargo run -p iam-mcp-crds --bin crdgen"
  if render --set crds.install=false | objects | grep -q '^CustomResourceDefinition/'; then problem "crds.install=false renders the definition"; fi

  say "one replica has no PodDisruptionBudget, two have one"
  if render | objects | grep -q '^PodDisruptionBudget/'; then problem "a PodDisruptionBudget for one replica blocks every drain"; fi
  render --set replicas=2 | objects | grep -q '^PodDisruptionBudget/iam-mcp-operator$' || problem "no PodDisruptionBudget for two replicas"

  say "named namespaces: Roles there, and cluster-wide only the definition"
  out=$(render --set 'watchNamespaces={a,b}')
  [ "$(printf '%s\n' "$out" | objects | grep -cE '^Role(Binding)?/iam-mcp-operator$')" = 4 ] || problem "not a Role and a RoleBinding in each watched namespace"
  rules=$(printf '%s\n' "$out" | rules_of ClusterRole/iam-mcp-operator)
  [ "$(printf '%s\n' "$rules" | grep -c apiGroups)" = 1 ] || problem "more than the definition is readable cluster-wide: $rules"
  [ "$(printf '%s\n' "$out" | rules_of Role/iam-mcp-operator | sort -u)" = "$(render | rules_of ClusterRole/iam-mcp-operator | sed '/apiextensions/,/verbs:/d' | sort -u)" ] ||
    problem "the rules in a namespace differ from those over all namespaces"
  if render --show-only templates/rbac.yaml | grep -nE "[\"'[ ]\*[]\"', ]"; then problem "a wildcard in the RBAC rules"; fi

  say "policies are off, and on they need Kubernetes 1.30"
  if render | objects | grep -q '^ValidatingAdmissionPolicy'; then problem "policies are rendered that nobody asked for"; fi
  out=$(render --values "$CHART/ci/policies-values.yaml")
  [ "$(printf '%s\n' "$out" | objects | grep -cE '^ValidatingAdmissionPolicy(Binding)?/iam-mcp-operator-(images|service-accounts)$')" = 4 ] || problem "not two policies with a binding each"
  if render --values "$CHART/ci/policies-values.yaml" --kube-version 1.29.0 >/dev/null 2>&1; then problem "Kubernetes 1.29 has no policies in v1, and they are rendered"; fi
}
