//! The raw resource becomes a [`ValidatedServer`]; builders never look at the raw one again.
//!
//! Most rules are in the CRD, so that the API server refuses a bad resource at once. They stand here
//! again because `render` has no API server, and because a definition can be older than its objects.

mod access;
mod exposure;
mod image;
mod jobs;
mod network;

use std::collections::{BTreeMap, BTreeSet};

use iam_mcp_crds::{
    AuthSpec, AutoscalingSpec, DisruptionSpec, HttpRouteSpec, ImagePullPolicy, IngressSpec, JobProvider,
    LimitsSpec, LogLevel, McpServer, McpServerSpec, MonitoringSpec, NetworkPolicySpec, Protocol,
    SecretKeyRef, ServiceSpec, SessionAffinity, SessionsSpec, TelemetrySpec, Verify, spec::RESERVED_ENV,
};
use k8s_openapi::{
    api::core::v1::{EnvFromSource, EnvVar, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::ResourceExt as _;

use super::quantity::{canonical, is_quantity};

mod pod_template;
mod pods;

pub use image::{HttpImage, Program, StdioImage, has_keys};
pub use jobs::Jobs;
pub use pods::{Claims, Pods, Strategy, claims_named};

/// Longest name: with the longest suffix of a child it still fits a label value (63).
const NAME_MAX: usize = 52;

/// CPU request when the resource gives none: an HPA on CPU needs one.
const DEFAULT_CPU_REQUEST: &str = "100m";
/// Memory request when the resource gives no resources at all.
const DEFAULT_MEMORY_REQUEST: &str = "64Mi";
/// Memory limit when the resource gives no resources at all.
const DEFAULT_MEMORY_LIMIT: &str = "256Mi";

/// What the operator's flags decide for servers that leave it open.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Image of servers whose resource names none.
    pub server_image: String,
    /// Namespace of the operator, from which it has to reach the pods.
    pub operator_namespace: String,
}

/// Who decides on the number of pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replicas {
    /// The resource: the number is applied and drift repaired.
    Ours(i32),
    /// Somebody else, an HPA or a person with `kubectl scale`: never written.
    Theirs,
}

/// A server that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedServer {
    /// Name of the resource and of its children.
    pub name: String,
    /// Namespace of all of them.
    pub namespace: String,
    /// Image of the container.
    pub image: String,
    /// What the image is, and how it is run.
    pub program: Program,
    /// Which eras of MCP it speaks.
    pub protocol: Protocol,
    /// When the image is pulled; `None` leaves it to Kubernetes.
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Who decides on the number of pods.
    pub replicas: Replicas,
    /// Where jobs come from.
    pub provider: JobProvider,
    /// Host of JSearch, if not the default.
    pub rapid_api_host: Option<String>,
    /// Secret with the RapidAPI key.
    pub rapid_api_key: Option<SecretKeyRef>,
    /// How much the server logs.
    pub log_level: LogLevel,
    /// Origins for CORS; empty: no CORS.
    pub cors_origins: Vec<String>,
    /// More environment.
    pub env: Vec<EnvVar>,
    /// Environment from ConfigMaps and Secrets.
    pub env_from: Vec<EnvFromSource>,
    /// Resources of the container, with a CPU request.
    pub resources: ResourceRequirements,
    /// The Service.
    pub service: ServiceSpec,
    /// The Ingress, if wanted.
    pub ingress: Option<IngressSpec>,
    /// The HPA, if wanted.
    pub autoscaling: Option<AutoscalingSpec>,
    /// The HTTPRoute, if wanted.
    pub http_route: Option<HttpRouteSpec>,
    /// Whether there is a PodDisruptionBudget where there can be several pods, and what it allows.
    pub disruption: DisruptionSpec,
    /// The NetworkPolicy, if wanted.
    pub network_policy: Option<NetworkPolicySpec>,
    /// Namespace of the operator, which a NetworkPolicy lets in.
    pub operator_namespace: String,
    /// How Prometheus finds the metrics, if it should.
    pub monitoring: Option<MonitoringSpec>,
    /// Whether the cluster has PodMonitors. Not part of the resource: `validate` says yes, the operator what it sees.
    pub pod_monitors_served: bool,
    /// What becomes of open sessions when a pod has to go.
    pub sessions: SessionsSpec,
    /// What the pods are like.
    pub pods: Pods,
    /// How it is made sure that the server speaks MCP.
    pub verify: Verify,
    /// Whose requests are answered; `None`: everybody's.
    pub auth: Option<AuthSpec>,
    /// How much each client may do.
    pub limits: LimitsSpec,
    /// Log, traces, audit.
    pub telemetry: TelemetrySpec,
    /// Origins that are answered at all; empty: as the server has it.
    pub allowed_origins: Vec<String>,
    /// Sources of postings, and what is kept of them.
    pub jobs: Jobs,
    /// Digest of the Secrets and ConfigMaps that are the pods' environment. Not part of the resource: `validate` knows
    /// none, the operator what it reads.
    pub references: Option<String>,
}

impl ValidatedServer {
    /// Whether there can be more than one pod. Where somebody else decides, there can.
    #[must_use]
    pub fn may_have_several_pods(&self) -> bool {
        match (&self.autoscaling, self.replicas) {
            (Some(hpa), _) => hpa.max_replicas > 1,
            (None, Replicas::Ours(n)) => n > 1,
            (None, Replicas::Theirs) => true,
        }
    }
}

/// Why a resource cannot be built: one sentence a problem, each naming its field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Invalid(pub Vec<String>);

/// Parses `server`. `foreign_hpa` says whether somebody else's HPA targets its Deployment.
///
/// # Errors
/// [`Invalid`] with every problem found, not just the first.
pub fn validate(
    server: &McpServer,
    defaults: &Defaults,
    foreign_hpa: bool,
) -> Result<ValidatedServer, Invalid> {
    let spec = &server.spec;
    let name = server.name_any();
    let mut problems = Vec::new();

    if !is_dns_label(&name) || name.len() > NAME_MAX {
        problems.push(format!(
            "metadata.name: {name:?} must be at most {NAME_MAX} lower-case letters, digits and '-', starting with a letter"
        ));
    }
    let mut seen = BTreeSet::new();
    for var in &spec.env {
        // Another image that serves HTTP gets none of them.
        if spec.endpoint.is_none() && RESERVED_ENV.contains(&var.name.as_str()) {
            problems.push(format!(
                "env: {} is set by the operator itself; use the field for it",
                var.name
            ));
        }
        if !seen.insert(var.name.as_str()) {
            problems.push(format!("env: {} stands there twice", var.name));
        }
    }
    let sessions = image::sessions(spec);
    if let Some(idle) = sessions.drain_idle_seconds
        && idle > sessions.drain_seconds
    {
        problems.push(format!(
            "sessions: drainIdleSeconds {idle} is greater than drainSeconds {}, after which every session ends in any case",
            sessions.drain_seconds
        ));
    }
    problems.extend(exposure::problems(spec));
    problems.extend(network::problems(spec));
    problems.extend(image::problems(spec));
    problems.extend(affinity_problem(spec));
    check_quantities(spec, &mut problems);
    let search = spec.job_search.clone().unwrap_or_default();
    let jobs = Jobs::of(&search);
    let rapid_api = search.rapid_api.unwrap_or_default();
    problems.extend(jobs::problems(spec));
    problems.extend(access::problems(spec));
    let pods = pods::validate(&name, spec, &mut problems);
    if !problems.is_empty() {
        return Err(Invalid(problems));
    }

    let replicas = match spec.replicas {
        Some(n) if spec.autoscaling.is_none() && !foreign_hpa => Replicas::Ours(n),
        _ => Replicas::Theirs,
    };
    let mut validated = ValidatedServer {
        namespace: server.namespace().unwrap_or_default(),
        name,
        image: spec
            .image
            .clone()
            .unwrap_or_else(|| defaults.server_image.clone()),
        program: image::program(spec, defaults),
        protocol: spec.protocol.unwrap_or_default(),
        image_pull_policy: spec.image_pull_policy,
        replicas,
        provider: search.provider,
        rapid_api_host: rapid_api.host,
        rapid_api_key: rapid_api.key_secret_ref,
        log_level: spec.log_level.unwrap_or_default(),
        cors_origins: spec.cors.clone().map(|c| c.origins).unwrap_or_default(),
        env: spec.env.clone(),
        env_from: spec.env_from.clone(),
        resources: resources(
            spec.resources.clone(),
            spec.autoscaling
                .as_ref()
                .is_some_and(|a| a.memory_utilization.is_some()),
        ),
        service: spec.service.clone().unwrap_or_default(),
        ingress: spec.ingress.clone(),
        autoscaling: spec.autoscaling.clone(),
        http_route: spec.http_route.clone(),
        disruption: spec.disruption.clone().unwrap_or_default(),
        network_policy: spec.network_policy.clone(),
        operator_namespace: defaults.operator_namespace.clone(),
        monitoring: spec.monitoring.clone(),
        pod_monitors_served: true,
        sessions,
        verify: spec.verify.unwrap_or_default(),
        auth: spec.auth.as_deref().cloned(),
        limits: spec.limits.as_deref().cloned().unwrap_or_default(),
        telemetry: spec.telemetry.as_deref().cloned().unwrap_or_default(),
        allowed_origins: spec.cors.clone().map(|c| c.allowed_origins).unwrap_or_default(),
        jobs,
        references: None,
        pods,
    };
    // Last, since it looks at what is built of all the others.
    pods::patch_template(&mut validated, spec)?;
    Ok(validated)
}

fn check_quantities(spec: &McpServerSpec, problems: &mut Vec<String>) {
    let given = spec
        .resources
        .iter()
        .flat_map(|r| [("requests", &r.requests), ("limits", &r.limits)]);
    for (list, quantities) in given {
        for (resource, quantity) in quantities.iter().flatten() {
            if !is_quantity(&quantity.0) {
                problems.push(format!(
                    "resources.{list}.{resource}: {:?} is not a quantity, such as 500m or 256Mi",
                    quantity.0
                ));
            }
        }
    }
}

/// `Auto` follows from answers.
fn affinity_problem(spec: &McpServerSpec) -> Option<String> {
    let automatic = |service: &ServiceSpec| service.session_affinity == SessionAffinity::Auto;
    let found_out = spec.protocol.unwrap_or_default() == Protocol::Auto;
    (spec.verify == Some(Verify::Off) && found_out && spec.service.as_ref().is_some_and(automatic)).then(|| {
        "service.sessionAffinity: Auto follows from what the server answers, and with verify: Off nobody asks it"
            .to_owned()
    })
}

/// A DNS-1035 label: what a Service's name must be on every supported Kubernetes.
fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|b| *b != b'-')
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// `by_memory` says whether an HPA goes by memory too, and so needs a memory request.
fn resources(given: Option<ResourceRequirements>, by_memory: bool) -> ResourceRequirements {
    let quantity = |q: &str| Quantity(q.to_owned());
    let Some(mut given) = given.map(canonical_resources) else {
        return ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), quantity(DEFAULT_CPU_REQUEST)),
                ("memory".to_owned(), quantity(DEFAULT_MEMORY_REQUEST)),
            ])),
            limits: Some(BTreeMap::from([(
                "memory".to_owned(),
                quantity(DEFAULT_MEMORY_LIMIT),
            )])),
            claims: None,
        };
    };
    // A limit alone makes Kubernetes default the request to it; only where there is neither do we.
    let needed = [
        ("cpu", DEFAULT_CPU_REQUEST, true),
        ("memory", DEFAULT_MEMORY_REQUEST, by_memory),
    ];
    for (resource, request, _) in needed.into_iter().filter(|(_, _, needed)| *needed) {
        let has =
            |m: &Option<BTreeMap<String, Quantity>>| m.as_ref().is_some_and(|m| m.contains_key(resource));
        if !has(&given.requests) && !has(&given.limits) {
            given
                .requests
                .get_or_insert_default()
                .insert(resource.to_owned(), quantity(request));
        }
    }
    given
}

fn canonical_resources(given: ResourceRequirements) -> ResourceRequirements {
    let each = |map: BTreeMap<String, Quantity>| {
        map.into_iter()
            .map(|(k, q)| (k, Quantity(canonical(&q.0))))
            .collect()
    };
    ResourceRequirements {
        requests: given.requests.map(each),
        limits: given.limits.map(each),
        ..given
    }
}
