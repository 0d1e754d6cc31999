//! What `/metrics` shows. Every label has few values, whatever clients send.

use std::{sync::Arc, time::Instant};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

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
    /// SSE sessions opened.
    pub sessions_opened: Counter,
    /// SSE sessions ended, by `cause`.
    pub sessions_ended: Family<Labels, Counter>,
    /// SSE messages for a session that is not here, by `cause`.
    pub sessions_refused: Family<Labels, Counter>,
    /// SSE streams open now.
    pub streams_open: Gauge,
    /// Calls in flight in SSE sessions.
    pub sse_calls: Gauge,
    /// SSE sessions that clients went on with over a new stream.
    pub sessions_resumed: Counter,
    /// 1 while the server drains.
    pub draining: Gauge,
    /// Messages passed on to other replicas, by `outcome`.
    pub forwarded: Family<Labels, Counter>,
    /// Seconds until another replica had taken or refused a message.
    pub forward_duration: Histogram,
    /// Connections on the port for replicas of somebody who is none, by `cause`.
    pub strangers: Family<Labels, Counter>,
    /// Requests to job providers, by `provider` and `outcome`.
    pub provider_calls: Family<Labels, Counter>,
    /// Messages refused by the rate limit.
    pub rate_limited: Counter,
    /// Requests refused for want of a token, by `cause`: missing, malformed, unknown.
    pub auth_refused: Family<Labels, Counter>,
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
            sessions_opened: Counter::default(),
            sessions_ended: Family::default(),
            sessions_refused: Family::default(),
            streams_open: Gauge::default(),
            sse_calls: Gauge::default(),
            sessions_resumed: Counter::default(),
            draining: Gauge::default(),
            forwarded: Family::default(),
            // A message to the next machine and back, to the longest that one is held.
            forward_duration: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.3, 1.0, 3.0]),
            strangers: Family::default(),
            provider_calls: Family::default(),
            rate_limited: Counter::default(),
            auth_refused: Family::default(),
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
        r.register(
            "sse_sessions_opened",
            "SSE sessions opened",
            metrics.sessions_opened.clone(),
        );
        r.register(
            "sse_sessions_ended",
            "SSE sessions ended",
            metrics.sessions_ended.clone(),
        );
        r.register(
            "sse_messages_without_session",
            "SSE messages for a session that is not here",
            metrics.sessions_refused.clone(),
        );
        r.register(
            "sse_streams_open",
            "SSE streams open now",
            metrics.streams_open.clone(),
        );
        r.register(
            "sse_calls",
            "Calls in flight in SSE sessions",
            metrics.sse_calls.clone(),
        );
        r.register(
            "sse_sessions_resumed",
            "SSE sessions that clients went on with over a new stream",
            metrics.sessions_resumed.clone(),
        );
        r.register(
            "draining",
            "Whether the server was told to stop and still serves open streams",
            metrics.draining.clone(),
        );
        r.register(
            "forwarded_calls",
            "Messages passed on to the replica that has their session",
            metrics.forwarded.clone(),
        );
        r.register_with_unit(
            "forward_duration",
            "Time until another replica had taken or refused a message",
            Unit::Seconds,
            metrics.forward_duration.clone(),
        );
        r.register(
            "peer_strangers",
            "Connections on the port for replicas of somebody who is none",
            metrics.strangers.clone(),
        );
        r.register(
            "provider_calls",
            "Requests to job providers",
            metrics.provider_calls.clone(),
        );
        r.register(
            "rate_limited",
            "Messages refused by the rate limit",
            metrics.rate_limited.clone(),
        );
        r.register(
            "auth_refused",
            "Requests refused for want of a token",
            metrics.auth_refused.clone(),
        );
        (Self(Arc::new(metrics)), registry)
    }

    /// Starts timing a message on its way to another replica.
    #[must_use]
    pub fn forward(&self) -> Forwarding {
        Forwarding {
            metrics: self.clone(),
            start: Instant::now(),
        }
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

/// How a message that was passed on ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The owner took it.
    Ok,
    /// The owner refused it.
    Refused,
    /// The owner is gone.
    Gone,
    /// The owner was not reached, or the connection broke.
    Unreachable,
    /// Too many were under way.
    Busy,
}

/// A message on its way to another replica.
#[derive(Debug)]
pub struct Forwarding {
    metrics: Metrics,
    start: Instant,
}

impl Forwarding {
    /// Says how it ended.
    pub fn ended(self, outcome: Forward) {
        let outcome = match outcome {
            Forward::Ok => "ok",
            Forward::Refused => "refused",
            Forward::Gone => "gone",
            Forward::Unreachable => "unreachable",
            Forward::Busy => "busy",
        };
        self.metrics
            .forward_duration
            .observe(self.start.elapsed().as_secs_f64());
        self.metrics
            .forwarded
            .get_or_create(&vec![("outcome", outcome)])
            .inc();
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
