//! Protocol health: does each server speak MCP?
//!
//! A readiness probe says that a process lives; this says that clients are served. Each server is asked once in an
//! interval, through one ready pod: the pods' addresses are known from their watch, work where names do not, and say
//! who it was that failed. While a pod fails it stays the one that is asked, else the next one is, so that one broken pod
//! among many is found, and the verdict does not go to and fro. `Host` is the Service's name, which servers check.

pub mod affinity;
pub mod answer;
pub mod ask;
pub mod candidates;
pub mod gate;
pub mod gatekeeper;
pub mod ledger;
pub mod line;
pub mod said;
pub mod schedule;
pub mod tools;
pub mod verdict;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::StatusCode;
use iam_mcp_crds::{ConditionType, McpServer, McpServerStatus, Protocol, Transport};
use kube::{
    Resource as _, ResourceExt as _,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    build,
    cache::Workload,
    context::{Context, full_name},
    events::Happened,
    servers::Guarded,
};
use ledger::{Facts, Visit};
use verdict::About;

/// Servers that are asked at once. Those that hang hold a place for [`LIMIT`]: 64 let some 3,800 hang in five minutes
/// before others wait.
const CONCURRENCY: usize = 64;
/// Longest wait for a connection: pods are near.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Longest conversation.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Where MCP is spoken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// The name in `Host`: one that the server takes for its own.
    pub host: String,
    /// The path.
    pub path: String,
    /// The path of a stream of the older HTTP+SSE transport, if there should be one.
    pub sse_path: Option<String>,
    /// Which eras it is asked in.
    pub protocol: Protocol,
}

impl Endpoint {
    /// Of one pod of a server.
    #[must_use]
    pub fn of(server: &McpServer, pod: IpAddr) -> Self {
        let namespace = server.namespace().unwrap_or_default();
        let other = server.spec.endpoint.as_deref();
        // Ports are from 1 to 65535, as the definition has it.
        let port = other.and_then(|other| u16::try_from(other.port).ok());
        Self {
            address: SocketAddr::new(pod, port.unwrap_or(build::MCP_PORT)),
            host: format!("{}.{namespace}.svc", server.name_any()),
            path: other.map_or_else(|| "/mcp".to_owned(), |other| other.path.clone()),
            sse_path: other.and_then(|other| other.sse_path.clone()),
            protocol: match server.spec.transport {
                // The bridge speaks 2026-07-28 for any program, and a question in it takes no session of the few there are.
                Some(Transport::Stdio) => Protocol::Auto,
                Some(Transport::Http) | None => server.spec.protocol.unwrap_or_default(),
            },
        }
    }
}

/// Why a server did not answer over MCP as it should.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Nobody takes connections there.
    #[error("nobody takes connections at its MCP port")]
    Unreachable,
    /// It took too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Timeout,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke off")]
    Broken,
    /// The answer is too long.
    #[error("an answer has more than {} KiB", line::ANSWER_MAX / 1024)]
    TooLong,
    /// It asks for a credential.
    #[error("it asks for a credential")]
    NotAuthorized,
    /// Another status than 200, without a message of MCP.
    #[error("{method} was answered with status {status}")]
    Status {
        /// What was asked.
        method: &'static str,
        /// The status.
        status: StatusCode,
    },
    /// The stream of the older HTTP+SSE transport does not open.
    #[error("GET {path} does not open a stream that begins with the event endpoint")]
    NoStream {
        /// Its path.
        path: String,
    },
    /// Something that is no answer.
    #[error("the answer to {method} is not what MCP says")]
    NotMcp {
        /// What was asked.
        method: &'static str,
    },
    /// An error of JSON-RPC.
    #[error("{method} was answered with the error {code}: {message}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The error's code.
        code: i64,
        /// The error's text, cut.
        message: String,
    },
}

impl Failure {
    /// A bounded name for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::TooLong => "too_long",
            Self::NotAuthorized => "not_authorized",
            Self::Status { .. } => "status",
            Self::NotMcp { .. } => "not_mcp",
            Self::NoStream { .. } => "no_stream",
            Self::Refused { .. } => "refused",
        }
    }

    /// What makes two failures the same: all but what the server writes, which may differ each time.
    #[must_use]
    pub fn kind(&self) -> (&'static str, &'static str, i64) {
        match self {
            Self::Status { method, status } => (self.category(), method, i64::from(status.as_u16())),
            Self::NotMcp { method } => (self.category(), method, 0),
            Self::Refused { method, code, .. } => (self.category(), method, *code),
            _ => (self.category(), "", 0),
        }
    }

    /// Whether the server answered at all, and not that it wants a credential.
    #[must_use]
    pub const fn is_an_answer(&self) -> bool {
        matches!(
            self,
            Self::Status { .. } | Self::NotMcp { .. } | Self::Refused { .. }
        )
    }
}

/// Takes in what a reconcile knows of a server, and puts what is known of its health into `status`.
pub fn look(
    server: &McpServer,
    workload: Option<&Workload>,
    status: &mut McpServerStatus,
    previous: &McpServerStatus,
    context: &Context,
) {
    let name = full_name(&server.metadata);
    let verify = server.spec.verify.unwrap_or_default();
    let generation = server.metadata.generation;
    let facts = Facts {
        verify,
        generation,
        complete: workload.is_some_and(Workload::is_complete),
        wanted: workload.is_none_or(|pods| pods.wanted > 0),
    };
    context.health.note(&name, facts, previous);
    context.metrics.set_verified(context.health.counts());
    let about = About {
        verify,
        wanted: workload.map(|pods| pods.wanted),
        generation,
    };
    let verdict = context.health.verdict(&name);
    verdict::show(status, about, verdict.as_ref(), previous);
    status.session_affinity = affinity::is_automatic(server).then(|| {
        let sessions = status.server.as_ref().and_then(|server| server.session_ids);
        affinity::shown(affinity::Declared::of(server), sessions)
    });
}

/// Whether `status` says that the server does not speak MCP.
#[must_use]
pub fn is_broken(status: &McpServerStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|condition| condition.type_ == ConditionType::Verified.as_str() && condition.status == "False")
}

/// Asks all servers, for ever.
pub struct Rounds {
    context: Arc<Context>,
    servers: Store<Guarded>,
    wake: mpsc::Sender<ObjectRef<McpServer>>,
}

impl Rounds {
    /// For the servers in `servers`.
    #[must_use]
    pub const fn new(
        context: Arc<Context>,
        servers: Store<Guarded>,
        wake: mpsc::Sender<ObjectRef<McpServer>>,
    ) -> Self {
        Self {
            context,
            servers,
            wake,
        }
    }

    /// Asks until `stop`. Dropped, it stops at once.
    pub async fn run(self, stop: &CancellationToken) {
        let rounds = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONCURRENCY));
        let mut visits = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, rounds.context.health.next_due().await))
            };
            let (place, visit) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(next) = next => next,
            };
            while visits.try_join_next().is_some() {}
            let rounds = Arc::clone(&rounds);
            visits.spawn(async move {
                rounds.visit(visit).await;
                drop(place);
            });
        }
    }

    async fn visit(&self, visit: Visit) {
        let Context {
            pods,
            health,
            metrics,
            events,
            statuses,
            ..
        } = self.context.as_ref();
        let (namespace, name) = visit.server.as_ref();
        let reference = ObjectRef::<Guarded>::new(name).within(namespace);
        let found = self.servers.get(&reference);
        let Some(server) = &found.and_then(|found| found.read().ok()) else {
            health.forget(&visit.server);
            return;
        };
        if server.meta().deletion_timestamp.is_some() {
            health.forget(&visit.server);
            return;
        }
        let pod = candidates::choose(
            pods.candidates(&visit.server),
            visit.last.as_deref(),
            visit.failed,
        );
        let started = Instant::now();
        let answer = match &pod {
            Some(pod) => ask::ask(&Endpoint::of(server, pod.ip), affinity::is_found_out(server))
                .await
                .map_err(Some),
            None => Err(None),
        };
        if pod.is_some() {
            let failure = answer.as_ref().err().and_then(Option::as_ref);
            metrics.protocol_probed(failure.map(Failure::category), started.elapsed());
            if let Some(failure) = failure {
                tracing::debug!(server = name, namespace, pod = pod.as_ref().map(|pod| pod.name.as_str()), %failure, "a server does not answer over MCP");
            }
        }
        let uid = server.uid().unwrap_or_default();
        let written = statuses.get(&uid);
        let shown = written.as_ref().or(server.status.as_ref());
        let pod = pod.as_ref().map(|pod| pod.name.as_str());
        let news = health.record(&visit.server, pod, answer, shown);
        metrics.set_verified(health.counts());
        if let Some(change) = news.tools {
            metrics.tool_list_changed(change.kind);
            let happened = Happened::ToolsChanged {
                lost: change.kind == "lost",
            };
            events.publish(server, happened, change.note).await;
        }
        if news.status {
            // Closed only when the controller has ended.
            let _ = self.wake.send(ObjectRef::new(name).within(namespace)).await;
        }
    }
}
