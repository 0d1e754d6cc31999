//! What runs in the server's container: a build of this project's server, or somebody else's program.

use iam_mcp_crds::{EndpointSpec, McpServerSpec, Protocol, SessionsSpec, Transport};

use super::Defaults;

/// What runs in the server's container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// A build of this project's server.
    Ours,
    /// Another image, which serves HTTP by itself.
    Http(HttpImage),
    /// Another image, whose program speaks on stdin and stdout, behind this project's bridge.
    Stdio(StdioImage),
}

/// Another image that serves HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpImage {
    /// Where it serves.
    pub endpoint: EndpointSpec,
    /// What it runs; empty: its entrypoint.
    pub command: Vec<String>,
    /// With which arguments; empty: its own, unless there is a command.
    pub args: Vec<String>,
}

/// Another image whose program speaks on stdin and stdout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StdioImage {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where the bridge comes from.
    pub bridge: String,
}

impl Program {
    /// Whether it answers probes, metrics and the operator on an admin port.
    #[must_use]
    pub const fn has_admin_port(&self) -> bool {
        !matches!(self, Self::Http(_))
    }

    /// Whether its replicas pass messages to each other.
    #[must_use]
    pub const fn has_peer_port(&self) -> bool {
        matches!(self, Self::Ours)
    }

    /// Whether the operator tells it its settings by variables, which then are not to be set by others.
    #[must_use]
    pub const fn has_our_variables(&self) -> bool {
        !matches!(self, Self::Http(_))
    }
}

/// Whether a server has keys that its replicas share.
#[must_use]
pub fn has_keys(spec: &McpServerSpec) -> bool {
    spec.endpoint.is_none() && !is_stdio(spec)
}

fn is_stdio(spec: &McpServerSpec) -> bool {
    spec.transport == Some(Transport::Stdio)
}

/// What `spec`, which has no [`problems`], runs.
pub(super) fn program(spec: &McpServerSpec, defaults: &Defaults) -> Program {
    if is_stdio(spec) {
        return Program::Stdio(StdioImage {
            command: spec.command.iter().chain(&spec.args).cloned().collect(),
            bridge: defaults.server_image.clone(),
        });
    }
    match &spec.endpoint {
        None => Program::Ours,
        Some(endpoint) => Program::Http(HttpImage {
            endpoint: endpoint.as_ref().clone(),
            command: spec.command.clone(),
            args: spec.args.clone(),
        }),
    }
}

/// What becomes of open sessions. Another image is not known to drain, and one that ignores the signal to stop would hold up
/// every rollout: unless somebody says how long it may take, it has the margin alone, which is what Kubernetes gives.
pub(super) fn sessions(spec: &McpServerSpec) -> SessionsSpec {
    spec.sessions.clone().unwrap_or_else(|| SessionsSpec {
        drain_seconds: if spec.endpoint.is_some() {
            0
        } else {
            SessionsSpec::default().drain_seconds
        },
        ..SessionsSpec::default()
    })
}

/// What is wrong with what `spec` says of its image.
pub(super) fn problems(spec: &McpServerSpec) -> Vec<String> {
    let (other, stdio) = (spec.endpoint.as_deref(), is_stdio(spec));
    let is_ours = !stdio && other.is_none();
    let runs_something = !spec.command.is_empty() || !spec.args.is_empty();
    let path_is_off = |path: &str| {
        other.is_some_and(|other| {
            let below = |rest: &str| path == "/" || rest.is_empty() || rest.starts_with('/');
            !other.path.strip_prefix(path).is_some_and(below)
        })
    };
    let rules = [
        (
            stdio && other.is_some(),
            "endpoint: an image with transport Stdio is served at /mcp and /sse of port 8080; leave endpoint out",
        ),
        (
            !is_ours && spec.image.is_none(),
            "image: endpoint and transport: Stdio are for an image that is not a build of this project's server; name that image",
        ),
        (
            runs_something && is_ours,
            "command: command and args are for images that are not builds of this project's server; say what such a one is by endpoint: {} or transport: Stdio",
        ),
        (
            stdio && spec.command.is_empty(),
            "command: transport Stdio needs the program to run and its arguments; the operator cannot read what the image would run by itself",
        ),
        (
            spec.ingress
                .as_ref()
                .is_some_and(|ingress| path_is_off(&ingress.path)),
            "ingress.path: another image sees the path as the client wrote it; endpoint.path must be below ingress.path",
        ),
        (
            spec.http_route
                .as_ref()
                .is_some_and(|route| path_is_off(&route.path)),
            "httpRoute.path: another image sees the path as the client wrote it; endpoint.path must be below httpRoute.path",
        ),
        (
            other.is_some_and(|other| other.sse_path.is_some()) && spec.protocol == Some(Protocol::Stateless),
            "endpoint.ssePath: the HTTP+SSE transport begins with initialize, which a server with protocol Stateless does not know; leave one of them out",
        ),
        (
            other.is_some_and(|other| other.sse_path.as_ref() == Some(&other.path)),
            "endpoint: ssePath is the stream of the older HTTP+SSE transport; path is that of Streamable HTTP, and another one",
        ),
    ];
    let mut problems: Vec<String> = rules
        .into_iter()
        .chain(settings_of_ours(spec))
        .filter(|(wrong, _)| *wrong)
        .map(|(_, problem)| problem.to_owned())
        .collect();
    let paths = other.into_iter().flat_map(|other| {
        [
            ("path", Some(&other.path)),
            ("ssePath", other.sse_path.as_ref()),
            ("healthPath", other.health_path.as_ref()),
        ]
    });
    for (field, path) in paths.filter_map(|(field, path)| Some((field, path?))) {
        let plain = |sign: char| sign.is_ascii_alphanumeric() || "-._~/%".contains(sign);
        if !path.starts_with('/') || !path.chars().all(plain) {
            problems.push(format!(
                "endpoint.{field}: {path:?} must start with '/' and have no query"
            ));
        }
    }
    problems
}

/// What only this project's server understands, and whether `spec` says it of another image.
fn settings_of_ours(spec: &McpServerSpec) -> impl Iterator<Item = (bool, &'static str)> {
    let (other, stdio) = (spec.endpoint.is_some(), is_stdio(spec));
    let service = spec.service.as_ref();
    [
        (
            (stdio || other) && spec.job_search.is_some(),
            "jobSearch: only this project's server searches jobs; leave it out for another image",
        ),
        (
            other
                && (spec.log_level.is_some()
                    || spec.cors.is_some()
                    || spec.monitoring.is_some()
                    || spec.auth.is_some()
                    || spec.limits.is_some()
                    || spec.telemetry.is_some()),
            "endpoint: auth, limits, telemetry, logLevel, cors and monitoring are what this project's server understands; give another image its own settings by args, env or podTemplate",
        ),
        (
            other && service.is_some_and(|service| !service.hostnames.is_empty()),
            "service.hostnames: another image is not told by which names it is called; give it its own setting by args or env",
        ),
        (
            other
                && spec
                    .sessions
                    .as_ref()
                    .is_some_and(|s| s.drain_idle_seconds.is_some()),
            "sessions.drainIdleSeconds: another image does not know it; drainSeconds sets how long it may take to stop",
        ),
        (
            (stdio || other)
                && spec
                    .sessions
                    .as_ref()
                    .is_some_and(|s| s.rotate_key_every.is_some()),
            "sessions.rotateKeyEvery: only this project's server seals sessions with a key; leave it out for another image",
        ),
        (
            stdio
                && (spec
                    .limits
                    .as_ref()
                    .is_some_and(|limits| limits.sessions.is_some() || !limits.tools.is_empty())
                    || spec
                        .telemetry
                        .as_ref()
                        .is_some_and(|telemetry| telemetry.audit_log.is_some())),
            "transport: limits.sessions, limits.tools and telemetry.auditLog are what this project's server understands, and its bridge does not; leave them out with Stdio",
        ),
        (
            other
                && spec
                    .network_policy
                    .as_ref()
                    .is_some_and(|p| !p.metrics_from.is_empty()),
            "networkPolicy.metricsFrom: another image has no admin port; let clients in by from",
        ),
    ]
    .into_iter()
}
