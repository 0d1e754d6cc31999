//! What a person writes: the spec of `McpServer`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint, VolumeMount,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    auth::AuthSpec,
    autoscaling::AutoscalingSpec,
    disruption::DisruptionSpec,
    exposure::{IngressSpec, ServiceSpec},
    http_route::HttpRouteSpec,
    image::{EndpointSpec, Protocol, Transport},
    job_search::JobSearchSpec,
    limits::LimitsSpec,
    monitoring::MonitoringSpec,
    network_policy::NetworkPolicySpec,
    probes::ProbesSpec,
    rollout::RolloutSpec,
    schema,
    sessions::SessionsSpec,
    status::McpServerStatus,
    telemetry::TelemetrySpec,
    verify::Verify,
    workload::{ExtraVolume, PodTemplatePatch, PullSecret},
};

/// Environment variables that the operator sets itself, each from a field of the spec or because
/// the probes and the Service depend on it. `spec.env` may not name them.
pub const RESERVED_ENV: &[&str] = &[
    "ADMIN_PORT",
    "ALLOWED_HOSTS",
    "APP_NAME",
    "BASE_PATH",
    "CORS_ORIGINS",
    "DRAIN_IDLE_SECONDS",
    "DRAIN_SECONDS",
    "HOST",
    "IAM_DATA_ROOT",
    "JOB_PROVIDER",
    "LOG_LEVEL",
    "MCP_TRANSPORT",
    "PEER_PORT",
    "POD_IP",
    "POD_UID",
    "PORT",
    "RAPIDAPI_HOST",
    "RAPIDAPI_KEY",
    "RAPIDAPI_KEY_FILE",
    "SESSION_KEY_FILE",
    "VERIFY_AT_START",
];

/// One MCP server: the operator makes and keeps everything it needs in the cluster (ServiceAccount,
/// Secret, Deployment, Service, with several pods a PodDisruptionBudget and, where asked for, Ingress and
/// HorizontalPodAutoscaler).
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "iam-mcp.dev",
    version = "v1alpha1",
    kind = "McpServer",
    plural = "mcpservers",
    singular = "mcpserver",
    shortname = "mcps",
    category = "mcp",
    namespaced,
    status = "McpServerStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "McpServer is one MCP server: the operator makes and keeps everything it needs in the cluster.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the server answers as asked"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why, in one word"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".status.readyPods",
        description = "Ready pods of those wanted"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "Where MCP clients connect"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image",
        description = "The image of the current pod template",
        priority = 1
    ),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Verified")].status"#,
        description = "Whether it spoke MCP when it was last asked",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        description = "Why, in a sentence",
        priority = 1
    ),
    validation = Rule::new(
        r"self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message("metadata.name: at most 52 characters, lower-case letters, digits and '-', starting with a letter; it becomes the name of the Service and other children"),
    validation = Rule::new("!has(self.spec.serviceAccountName) || self.spec.serviceAccountName != self.metadata.name")
        .message("serviceAccountName: the ServiceAccount of the McpServer's own name is the one that the operator makes; leave the field out to use it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.endpoint) || !has(self.env) || self.env.all(e, !(e.name in ['ADMIN_PORT', 'ALLOWED_HOSTS', 'APP_NAME', 'BASE_PATH', \
         'CORS_ORIGINS', 'DRAIN_IDLE_SECONDS', 'DRAIN_SECONDS', 'HOST', 'IAM_DATA_ROOT', 'JOB_PROVIDER', 'LOG_LEVEL', \
         'MCP_TRANSPORT', 'PEER_PORT', 'POD_IP', 'POD_UID', 'PORT', 'RAPIDAPI_HOST', 'RAPIDAPI_KEY', \
         'RAPIDAPI_KEY_FILE', 'SESSION_KEY_FILE', 'VERIFY_AT_START']))"
    )
    .message("env: the operator sets this variable itself; use logLevel, cors, jobSearch, ingress, sessions or verify instead (HOST, PORT, ADMIN_PORT, PEER_PORT, APP_NAME, ALLOWED_HOSTS and IAM_DATA_ROOT are fixed)")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))"
    )
    .message("volumeMounts: each needs a volume of that name in volumes"),
    validation = Rule::new("!has(self.ingress) || !has(self.httpRoute) || self.ingress.path == self.httpRoute.path")
        .message("httpRoute: path must be that of ingress, because the server answers below one path")
)]
#[x_kube(
    validation = Rule::new(
        "!has(self.verify) || self.verify != 'Off' || !has(self.service) || self.service.sessionAffinity != 'Auto' || \
         (has(self.protocol) && self.protocol != 'Auto')"
    )
    .message("service.sessionAffinity: Auto follows from what the server answers, and with verify: Off nobody asks it; choose ClientIP or None, say which protocol it speaks, or leave verify out")
    .field_path(".service.sessionAffinity")
)]
#[x_kube(
    validation = Rule::new("!has(self.endpoint) || !has(self.transport) || self.transport != 'Stdio'")
        .message("endpoint: an image with transport Stdio is served at /mcp and /sse of port 8080; leave endpoint out")
        .field_path(".endpoint"),
    validation = Rule::new("has(self.image) || (!has(self.endpoint) && (!has(self.transport) || self.transport != 'Stdio'))")
        .message("image: endpoint and transport: Stdio are for an image that is not a build of this project's server; name that image"),
    validation = Rule::new(
        "(!has(self.command) && !has(self.args)) || has(self.endpoint) || (has(self.transport) && self.transport == 'Stdio')"
    )
    .message("command: command and args are for images that are not builds of this project's server; say what such a one is by endpoint: {} or transport: Stdio"),
    validation = Rule::new("!has(self.transport) || self.transport != 'Stdio' || (has(self.command) && self.command.size() > 0)")
        .message("command: transport Stdio needs the program to run and its arguments; the operator cannot read what the image would run by itself"),
    validation = Rule::new("!has(self.jobSearch) || (!has(self.endpoint) && (!has(self.transport) || self.transport != 'Stdio'))")
        .message("jobSearch: only this project's server searches jobs; leave it out for another image")
        .field_path(".jobSearch"),
    validation = Rule::new(
        "!has(self.endpoint) || (!has(self.logLevel) && !has(self.cors) && !has(self.monitoring) && !has(self.auth) && \
         !has(self.limits) && !has(self.telemetry))"
    )
        .message("endpoint: auth, limits, telemetry, logLevel, cors and monitoring are what this project's server understands; give another image its own settings by args, env or podTemplate"),
    validation = Rule::new("!has(self.endpoint) || !has(self.service) || !has(self.service.hostnames)")
        .message("service.hostnames: another image is not told by which names it is called; give it its own setting by args or env"),
    validation = Rule::new("!has(self.endpoint) || !has(self.sessions) || !has(self.sessions.drainIdleSeconds)")
        .message("sessions.drainIdleSeconds: another image does not know it; drainSeconds sets how long it may take to stop"),
    validation = Rule::new(
        "!has(self.sessions) || !has(self.sessions.rotateKeyEvery) || \
         (!has(self.endpoint) && (!has(self.transport) || self.transport != 'Stdio'))"
    )
    .message("sessions.rotateKeyEvery: only this project's server seals sessions with a key; leave it out for another image"),
    validation = Rule::new(
        "!has(self.transport) || self.transport != 'Stdio' || ((!has(self.limits) || (!has(self.limits.sessions) && \
         !has(self.limits.tools))) && (!has(self.telemetry) || !has(self.telemetry.auditLog)))"
    )
    .message("transport: limits.sessions, limits.tools and telemetry.auditLog are what this project's server understands, and its bridge does not; leave them out with Stdio"),
    validation = Rule::new("!has(self.endpoint) || !has(self.networkPolicy) || !has(self.networkPolicy.metricsFrom)")
        .message("networkPolicy.metricsFrom: another image has no admin port; let clients in by from"),
    validation = Rule::new(
        "!has(self.endpoint) || !has(self.ingress) || self.ingress.path == '/' || self.endpoint.path == self.ingress.path || \
         self.endpoint.path.startsWith(self.ingress.path + '/')"
    )
    .message("ingress.path: another image sees the path as the client wrote it; endpoint.path must be below ingress.path"),
    validation = Rule::new(
        "!has(self.endpoint) || !has(self.httpRoute) || self.httpRoute.path == '/' || self.endpoint.path == self.httpRoute.path || \
         self.endpoint.path.startsWith(self.httpRoute.path + '/')"
    )
    .message("httpRoute.path: another image sees the path as the client wrote it; endpoint.path must be below httpRoute.path"),
    validation = Rule::new("!has(self.endpoint) || !has(self.endpoint.ssePath) || !has(self.protocol) || self.protocol != 'Stateless'")
        .message("endpoint.ssePath: the HTTP+SSE transport begins with initialize, which a server with protocol Stateless does not know; leave one of them out"),
    validation = Rule::new(
        "!has(self.auth) || !has(self.env) || self.env.all(e, !(e.name in ['AUTH', 'AUTH_TOKENS_FILE', \
         'OIDC_AUDIENCE', 'OIDC_ISSUER', 'OIDC_JWKS_URL', 'OIDC_PRINCIPAL_CLAIM', 'OIDC_SCOPES', 'PUBLIC_URL']))"
    )
    .message("env: auth sets AUTH, AUTH_TOKENS_FILE, OIDC_... and PUBLIC_URL; use the field or these variables, not both")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.limits) || !has(self.env) || self.env.all(e, !(e.name in ['LIMITS_URL', 'MAX_CONNECTIONS', \
         'MAX_SESSIONS', 'RATE_LIMIT', 'TOOL_LIMITS', 'TRUSTED_PROXIES']))"
    )
    .message("env: limits sets LIMITS_URL, MAX_CONNECTIONS, MAX_SESSIONS, RATE_LIMIT, TOOL_LIMITS and TRUSTED_PROXIES; use the field or these variables, not both")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.telemetry) || !has(self.env) || self.env.all(e, !(e.name in ['ADMIN_TOKEN_FILE', 'AUDIT_LOG', \
         'LOG_FORMAT', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_TRACES_SAMPLER', \
         'OTEL_TRACES_SAMPLER_ARG']))"
    )
    .message("env: telemetry sets ADMIN_TOKEN_FILE, AUDIT_LOG, LOG_FORMAT, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG; use the field or these variables, not both")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.jobSearch) || !has(self.env) || self.env.all(e, \
         !(has(self.jobSearch.providers) && e.name == 'JOB_PROVIDERS') && \
         !(has(self.jobSearch.greenhouse) && e.name == 'GREENHOUSE_BOARDS') && \
         !(has(self.jobSearch.cache) && e.name in ['JOB_CACHE_SECONDS', 'JOB_CACHE_MB']) && \
         !(has(self.jobSearch.savedJobs) && e.name == 'SAVED_JOBS') && \
         !(has(self.jobSearch.rapidApi) && has(self.jobSearch.rapidApi.budget) && e.name == 'JSEARCH_BUDGET'))"
    )
    .message("env: jobSearch sets JOB_PROVIDERS by providers, GREENHOUSE_BOARDS by greenhouse, JOB_CACHE_SECONDS and JOB_CACHE_MB by cache, SAVED_JOBS by savedJobs, JSEARCH_BUDGET by rapidApi.budget; use the field or the variable, not both")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.cors) || !has(self.cors.allowedOrigins) || !has(self.env) || self.env.all(e, e.name != 'ALLOWED_ORIGINS')"
    )
    .message("env: cors.allowedOrigins sets ALLOWED_ORIGINS; use the field or the variable, not both")
    .field_path(".env"),
    validation = Rule::new(
        "!has(self.volumeMounts) || !has(self.jobSearch) || self.volumeMounts.all(m, \
         !(has(self.jobSearch.catalogue) && m.mountPath == '/data/catalogue') && \
         !(has(self.jobSearch.savedJobs) && m.mountPath == '/data/saved'))"
    )
    .message("volumeMounts: jobSearch.catalogue mounts /data/catalogue, and jobSearch.savedJobs /data/saved; use one of them")
    .field_path(".volumeMounts")
)]
pub struct McpServerSpec {
    /// The class of operators that looks after this server: those that run with `--class` and the same name. Unset:
    /// those without a class. A server may move from one to another, as in an upgrade; its pods do not notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub operator_class: Option<String>,

    /// Image of the server, as `[registry/]name[:tag][@sha256:digest]`. Default: the operator's
    /// `--server-image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$')").message("image: write it as [registry/]name[:tag][@sha256:digest], for example ghcr.io/acme/iam-mcp-server:1.2.0"))]
    pub image: Option<String>,

    /// How the program in the image takes messages. Default: `Http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,

    /// Where an image that is not a build of this project's server serves MCP. Unset: the image is such a build, or
    /// `transport` is `Stdio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Box<EndpointSpec>>,

    /// Which eras of MCP the server speaks: how the operator asks it, and what `service.sessionAffinity: Auto` comes
    /// to. Default: `Auto`, the operator finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,

    /// What another image runs, in place of its entrypoint; with `transport: Stdio` the program that speaks MCP on
    /// stdin and stdout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 4096)))]
    pub command: Vec<String>,

    /// Arguments of another image's program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 32768)))]
    pub args: Vec<String>,

    /// When the kubelet pulls the image. Default: `Always` for the tag `latest` or none,
    /// `IfNotPresent` else, as Kubernetes does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Number of pods. When set it belongs to the operator and drift is repaired. When unset, or
    /// while any HorizontalPodAutoscaler targets the Deployment, the operator never writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// Where `search_jobs` finds its postings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_search: Option<JobSearchSpec>,

    /// How much the server logs. Default: `INFO`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,

    /// Cross-origin requests of browsers. Unset: the server sends no CORS headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsSpec>,

    /// Whose requests the server answers. Unset: everybody's who reaches the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Box<AuthSpec>>,

    /// How much each client may do, and how much a pod holds open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<LimitsSpec>>,

    /// What operators see of the server besides its metrics: its log, traces, a line for each tool call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Box<TelemetrySpec>>,

    /// More environment variables for the server's container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::bound_env)]
    pub env: Vec<EnvVar>,

    /// Environment variables from ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<EnvFromSource>,

    /// CPU and memory of the server's container. Default: requests of 100m CPU and 64Mi memory, a
    /// limit of 256Mi memory. A CPU request is set in any case: an HPA on CPU needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// The Service in front of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,

    /// An Ingress for clients outside the cluster. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,

    /// An HTTPRoute for clients that come through a Gateway. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRouteSpec>,

    /// A HorizontalPodAutoscaler that owns the number of pods. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingSpec>,

    /// How many pods may be evicted at a time. Unset: one, where there can be several pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<DisruptionSpec>,

    /// A NetworkPolicy that denies what it does not name. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,

    /// How Prometheus finds the metrics of the pods. Unset: it is not told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,

    /// What becomes of open sessions when a pod has to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsSpec>,

    // What is large and rare is boxed: the operator keeps every resource in memory.
    /// Labels of the nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,

    /// Which nodes and which other pods the pods want to be near to, or far from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Box<Affinity>>,

    /// How the pods spread. Default: over nodes, as evenly as possible and never a reason not to run; `[]`: no rule. A
    /// constraint without `labelSelector` is about this server's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::bound_spread)]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// Priority class of the pods. Default: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// Secrets with the credentials of the images' registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name)]
    pub image_pull_secrets: Vec<PullSecret>,

    /// ServiceAccount of the pods, which must exist. Default: the operator makes one without rights, of the server's
    /// name. No token of either is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub service_account_name: Option<String>,

    /// Labels of the pods, beside the operator's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::bound_labels)]
    #[x_kube(validation = Rule::new("self.all(k, !(k in ['app', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/name', 'app.kubernetes.io/part-of', 'pod-template-hash']) && !k.startsWith('iam-mcp.dev/'))").message("podLabels: app, app.kubernetes.io/{name,instance,managed-by,part-of}, pod-template-hash and iam-mcp.dev/... are set by the operator and by Kubernetes; selectors depend on them"))]
    pub pod_labels: BTreeMap<String, String>,

    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !(k in ['controller.kubernetes.io/pod-deletion-cost', 'kubectl.kubernetes.io/restartedAt']) && !k.startsWith('iam-mcp.dev/'))").message("podAnnotations: controller.kubernetes.io/pod-deletion-cost, kubectl.kubernetes.io/restartedAt and iam-mcp.dev/... are set by the operator and by kubectl"))]
    pub pod_annotations: BTreeMap<String, String>,

    /// Volumes more, for `volumeMounts` and for containers in `podTemplate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::bound_volumes)]
    #[x_kube(validation = Rule::new("self.all(v, !(v.name in ['data', 'keys', 'rapidapi']) && !v.name.startsWith('iam-mcp-'))").message("volumes: data, keys, rapidapi and names that start with iam-mcp- are the operator's; choose another name"))]
    pub volumes: Vec<ExtraVolume>,

    /// Where `volumes` are mounted in the server's container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::bound_mounts)]
    #[x_kube(validation = Rule::new(r"self.all(m, m.mountPath.matches('^(/[^/:]+)+$') && !m.mountPath.matches('/[.][.]?(/|$)'))").message("volumeMounts: mountPath is absolute, without ':', '.', '..' or a '/' at its end, for example /etc/jobs"), validation = Rule::new(r"self.all(m, !m.mountPath.matches('^(/data|(/var)?/run/iam-mcp(/.*)?)$'))").message("volumeMounts: /data and /var/run/iam-mcp are the operator's; mount below /data, or elsewhere"))]
    pub volume_mounts: Vec<VolumeMount>,

    /// A strategic merge patch over the pod template, for what has no field: sidecars, init containers, a runtime class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Box<PodTemplatePatch>>,

    /// How new pods take over from old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Box<RolloutSpec>>,

    /// How patient the probes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Box<ProbesSpec>>,

    /// While true the operator changes nothing of what it made: drift stays, and changes of this resource wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// How it is made sure that the server speaks MCP. Default: `Probe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ImagePullPolicy {
    /// At every start of a pod.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// How much the server logs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may need attention.
    Warn,
    /// And what happens: the default.
    #[default]
    Info,
    /// And why.
    Debug,
    /// Everything.
    Trace,
}

/// Cross-origin requests of browsers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.origins) || has(self.allowedOrigins)")
        .message("cors: give origins, allowedOrigins, or both")
)]
pub struct CorsSpec {
    /// Origins that may call the server and read its answers: `*`, or `scheme://host[:port]` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 255)))]
    #[x_kube(validation = Rule::new(r"self.all(o, o == '*' || o.matches('^https?://[^/ ]+$'))").message("cors.origins: each is '*' or scheme://host[:port] without a path, for example https://app.example.com"))]
    pub origins: Vec<String>,

    /// Origins whose requests are answered at all, `*` or `scheme://host[:port]` each; from others they are refused with
    /// 403. Default: localhost, the server's own names, and `origins`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 255)))]
    #[x_kube(validation = Rule::new(r"self.all(o, o == '*' || o.matches('^https?://[^/ ,]+$'))").message("cors.allowedOrigins: each is '*' or scheme://host[:port] without a path, for example https://app.example.com"))]
    pub allowed_origins: Vec<String>,
}
