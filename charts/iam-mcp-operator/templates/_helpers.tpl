{{/* The name of every object: the release's, unless that only repeats the chart's. */}}
{{- define "operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/part-of: iam-mcp
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "operator.serverImage" -}}
{{ .Values.serverImage | default (printf "ghcr.io/iam-mcp/iam-mcp-server:%s" .Chart.AppVersion) }}
{{- end -}}

{{/*
The Lease of the operators of one class.
*/}}
{{- define "operator.lease" -}}
{{ .Chart.Name }}{{ with .Values.operatorClass }}-{{ . }}{{ end }}
{{- end -}}

{{/*
What the operator does in a namespace it watches: exactly the verbs that it uses. Server-side apply of an object that
does not exist yet needs both patch and create.
*/}}
{{- define "operator.rules" -}}
- apiGroups: [iam-mcp.dev]
  resources: [mcpservers]
  verbs: [list, watch]
- apiGroups: [iam-mcp.dev]
  resources: [mcpservers/status]
  verbs: [patch]
# The children's owner references block the deletion of their McpServer until they are gone. The admission plugin
# OwnerReferencesPermissionEnforcement, where a cluster has it on, asks for this in return.
- apiGroups: [iam-mcp.dev]
  resources: [mcpservers/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# The optional children are pruned when they are no longer wanted.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Those that McpServers mount: one that a single node can mount must not meet a rollout that starts new pods first.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# These where the cluster has them.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
# Watched by their metadata alone; read: those that McpServers have as environment.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
# Watched by their metadata alone; read: the Secrets that McpServers name or own; written: NAME-keys and NAME-token.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
# The pods of McpServers: watched to see which drain; patched: the annotation with the cost of deleting one, from its open
# sessions; deleted: only one that is being deleted already and whose McpServer is gone, to shorten its grace.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# Opens the readiness gate of a pod whose McpServer has verify: Gate.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What the policies look at. Not the status, nor the scale: nothing there is chosen. */}}
{{- define "operator.policyMatch" -}}
matchConstraints:
  resourceRules:
    - apiGroups: [iam-mcp.dev]
      apiVersions: ["*"]
      operations: [CREATE, UPDATE]
      resources: [mcpservers]
{{- end -}}

{{- define "operator.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- .labels | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  {{- with .selector }}
  matchResources:
    namespaceSelector:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
