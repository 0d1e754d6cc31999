//! What `/metrics` shows. Every label has few values, whatever clients send.

mod access;
mod sse;

use std::{sync::Arc, time::Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use self::access::AccessMetrics;
pub use self::sse::{Forward, Forwarding, SseMetrics};

/// One or two labels, by name.
pub type Labels = Vec<(&'static str, &'static str)>;

type Durations = Family<Labels, Histogram, fn() -> Histogram>;

/// The server's measurements. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

/// The measurements themselves.
#[derive(Debug)]
pub struct Inner {
    /// Requests answered.
    pub http_requests: Family<RequestLabels, Counter>,
    /// Seconds to an answer's head, by `route`.
    pub http_duration: Durations,
    /// Tool calls, by `tool` and `outcome`: ok, `tool_error`, `protocol_error`, cancelled.
    pub tool_calls: Family<Labels, Counter>,
    /// Seconds a call took, by `tool`.
    pub tool_duration: Durations,
    /// Sessions of the older transport, and replicas.
    pub sse: SseMetrics,
    /// Requests to job providers, by `provider` and `outcome`.
    pub provider_calls: Family<Labels, Counter>,
    /// Tokens and limits.
    pub access: AccessMetrics,
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
    /// The status code.
    pub status: u16,
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
            tool_calls: Family::default(),
            tool_duration: Family::new_with_constructor(durations),
            sse: SseMetrics::default(),
            provider_calls: Family::default(),
            access: AccessMetrics::default(),
        };
        let mut registry = Registry::with_prefix("iam_mcp");
        let r = &mut registry;
        r.register(
            "build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
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
        r.register("tool_calls", "Tool calls", metrics.tool_calls.clone());
        r.register_with_unit(
            "tool_call_duration",
            "Time a tool call took",
            Unit::Seconds,
            metrics.tool_duration.clone(),
        );
        metrics.sse.register(r);
        r.register(
            "provider_calls",
            "Requests to job providers",
            metrics.provider_calls.clone(),
        );
        metrics.access.register(r);
        (Self(Arc::new(metrics)), registry)
    }

    /// Starts timing a call of `tool`, which must be one of the server's own names.
    #[must_use]
    pub fn tool_call(&self, tool: &'static str) -> ToolCall {
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
        let seconds = self.start.elapsed().as_secs_f64();
        self.metrics
            .tool_duration
            .get_or_create(&vec![("tool", self.tool)])
            .observe(seconds);
        self.metrics
            .tool_calls
            .get_or_create(&vec![("tool", self.tool), ("outcome", self.outcome)])
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
