//! What `/metrics` shows. Every label has few values, whatever clients send.

mod access;
mod jobs;
mod sse;

use std::{sync::Arc, time::Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use self::{
    access::AccessMetrics,
    jobs::JobMetrics,
    sse::{Forward, Forwarding, SseMetrics},
};

/// One or two labels, by name. What is counted with every call has a type of its own, which takes no allocation.
pub type Labels = Vec<(&'static str, &'static str)>;

/// Which commit was built, where the build says so.
const REVISION: &str = match option_env!("IAM_MCP_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The server's measurements. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

/// The measurements themselves.
#[derive(Debug)]
pub struct Inner {
    /// Requests answered.
    pub http_requests: Family<RequestLabels, Counter>,
    /// Seconds to an answer's head, by `route`.
    pub http_duration: Durations<RouteLabels>,
    /// Requests that have no answer yet.
    pub http_in_flight: Gauge,
    /// Requests refused or failed, by `route` and `cause`.
    pub http_errors: Family<ErrorLabels, Counter>,
    /// Tool calls, by `tool` and `outcome`: ok, `tool_error`, `protocol_error`, cancelled.
    pub tool_calls: Family<CallLabels, Counter>,
    /// Seconds a call took, by `tool`.
    pub tool_duration: Durations<ToolLabels>,
    /// Tool calls that have no answer yet.
    pub tools_in_flight: Gauge,
    /// Sessions of the older transport, and replicas.
    pub sse: SseMetrics,
    /// The job search.
    pub jobs: JobMetrics,
    /// Tokens and limits.
    pub access: AccessMetrics,
    /// Lines of the audit log that could not be written.
    pub audit_lost: Counter,
}

impl std::ops::Deref for Metrics {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern.
    pub route: &'static str,
    /// The method, or `other`.
    pub method: &'static str,
    /// The status code; 499 where the client left before there was one.
    pub status: u16,
}

/// What a request's time is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's pattern.
    pub route: &'static str,
}

/// What a refused or failed request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    /// The route's pattern.
    pub route: &'static str,
    /// Why, in a word.
    pub cause: &'static str,
}

/// What a tool call is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The tool, or `other`.
    pub tool: &'static str,
    /// How the call ended.
    pub outcome: &'static str,
}

/// What a tool call's time is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ToolLabels {
    /// The tool, or `other`.
    pub tool: &'static str,
}

impl Metrics {
    /// The measurements, all at zero, and the registry that shows them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        // From half a millisecond, for a search in memory, to the longest a provider may take.
        let durations: fn() -> Histogram = || {
            Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0,
            ])
        };
        let metrics = Inner {
            http_requests: Family::default(),
            http_duration: Family::new_with_constructor(durations),
            http_in_flight: Gauge::default(),
            http_errors: Family::default(),
            tool_calls: Family::default(),
            tool_duration: Family::new_with_constructor(durations),
            tools_in_flight: Gauge::default(),
            sse: SseMetrics::default(),
            jobs: JobMetrics::default(),
            access: AccessMetrics::default(),
            audit_lost: Counter::default(),
        };
        let mut registry = Registry::with_prefix("iam_mcp");
        let r = &mut registry;
        r.register(
            "build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)]),
        );
        r.register(
            "http_requests",
            "HTTP requests answered",
            metrics.http_requests.clone(),
        );
        r.register_with_unit(
            "http_request_duration",
            "Time to an answer's head",
            Unit::Seconds,
            metrics.http_duration.clone(),
        );
        r.register(
            "http_requests_in_flight",
            "HTTP requests that have no answer yet",
            metrics.http_in_flight.clone(),
        );
        r.register(
            "http_errors",
            "HTTP requests refused or failed",
            metrics.http_errors.clone(),
        );
        r.register("tool_calls", "Tool calls", metrics.tool_calls.clone());
        r.register(
            "tool_calls_in_flight",
            "Tool calls that have no answer yet",
            metrics.tools_in_flight.clone(),
        );
        r.register_with_unit(
            "tool_call_duration",
            "Time a tool call took",
            Unit::Seconds,
            metrics.tool_duration.clone(),
        );
        metrics.sse.register(r);
        metrics.jobs.register(r);
        metrics.access.register(r);
        r.register(
            "audit_lines_lost",
            "Lines of the audit log that could not be written",
            metrics.audit_lost.clone(),
        );
        (Self(Arc::new(metrics)), registry)
    }

    /// Starts timing a call of `tool`, which must be one of the server's own names.
    #[must_use]
    pub fn tool_call(&self, tool: &'static str) -> ToolCall {
        self.tools_in_flight.inc();
        ToolCall {
            metrics: self.clone(),
            tool,
            start: Instant::now(),
            outcome: "cancelled",
        }
    }
}

/// A tool call being timed; counted when dropped, so that one that is dropped half-way is not lost.
#[derive(Debug)]
pub struct ToolCall {
    metrics: Metrics,
    tool: &'static str,
    start: Instant,
    outcome: &'static str,
}

impl ToolCall {
    /// Says how it ended; cancelled, if nobody does.
    pub fn ended(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for ToolCall {
    fn drop(&mut self) {
        let (tool, outcome) = (self.tool, self.outcome);
        let seconds = self.start.elapsed().as_secs_f64();
        self.metrics.tools_in_flight.dec();
        self.metrics
            .tool_duration
            .get_or_create(&ToolLabels { tool })
            .observe(seconds);
        self.metrics
            .tool_calls
            .get_or_create(&CallLabels { tool, outcome })
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn shown(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).expect("encodes");
        text
    }

    #[test]
    fn a_dropped_call_counts_as_cancelled() {
        let (metrics, registry) = Metrics::new();
        drop(metrics.tool_call("search_jobs"));
        metrics.tool_call("search_jobs").ended("ok");
        let text = shown(&registry);
        for outcome in ["cancelled", "ok"] {
            let line = format!("iam_mcp_tool_calls_total{{tool=\"search_jobs\",outcome=\"{outcome}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn the_build_is_shown() {
        assert!(shown(&Metrics::new().1).contains("iam_mcp_build_info{version=\""));
    }
}
