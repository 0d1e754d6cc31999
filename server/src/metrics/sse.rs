//! Measurements of the older transport: its sessions, and the messages that replicas pass on.

use std::time::Instant;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Labels;

/// Sessions, streams, and messages that were passed on. Clones share them.
#[derive(Debug, Clone)]
pub struct SseMetrics {
    /// SSE sessions opened.
    pub opened: Counter,
    /// SSE sessions ended, by `cause`.
    pub ended: Family<Labels, Counter>,
    /// SSE messages for a session that is not here, by `cause`.
    pub refused: Family<Labels, Counter>,
    /// SSE streams open now.
    pub streams: Gauge,
    /// Calls in flight in SSE sessions.
    pub calls: Gauge,
    /// SSE sessions that clients went on with over a new stream.
    pub resumed: Counter,
    /// 1 while the server drains.
    pub draining: Gauge,
    /// Messages passed on to other replicas, by `outcome`.
    pub forwarded: Family<Labels, Counter>,
    /// Seconds until another replica had taken or refused a message.
    pub forward_duration: Histogram,
    /// Connections on the port for replicas of somebody who is none, by `cause`.
    pub strangers: Family<Labels, Counter>,
}

impl Default for SseMetrics {
    fn default() -> Self {
        Self {
            opened: Counter::default(),
            ended: Family::default(),
            refused: Family::default(),
            streams: Gauge::default(),
            calls: Gauge::default(),
            resumed: Counter::default(),
            draining: Gauge::default(),
            forwarded: Family::default(),
            // A message to the next machine and back, to the longest that one is held.
            forward_duration: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.3, 1.0, 3.0]),
            strangers: Family::default(),
        }
    }
}

impl SseMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("sse_sessions_opened", "SSE sessions opened", self.opened.clone());
        registry.register("sse_sessions_ended", "SSE sessions ended", self.ended.clone());
        registry.register(
            "sse_messages_without_session",
            "SSE messages for a session that is not here",
            self.refused.clone(),
        );
        registry.register("sse_streams_open", "SSE streams open now", self.streams.clone());
        registry.register("sse_calls", "Calls in flight in SSE sessions", self.calls.clone());
        registry.register(
            "sse_sessions_resumed",
            "SSE sessions that clients went on with over a new stream",
            self.resumed.clone(),
        );
        registry.register(
            "draining",
            "Whether the server was told to stop and still serves open streams",
            self.draining.clone(),
        );
        registry.register(
            "forwarded_calls",
            "Messages passed on to the replica that has their session",
            self.forwarded.clone(),
        );
        registry.register_with_unit(
            "forward_duration",
            "Time until another replica had taken or refused a message",
            Unit::Seconds,
            self.forward_duration.clone(),
        );
        registry.register(
            "peer_strangers",
            "Connections on the port for replicas of somebody who is none",
            self.strangers.clone(),
        );
    }

    /// Starts timing a message on its way to another replica.
    #[must_use]
    pub fn forward(&self) -> Forwarding {
        Forwarding {
            duration: self.forward_duration.clone(),
            forwarded: self.forwarded.clone(),
            start: Instant::now(),
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
    duration: Histogram,
    forwarded: Family<Labels, Counter>,
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
        self.duration.observe(self.start.elapsed().as_secs_f64());
        self.forwarded.get_or_create(&vec![("outcome", outcome)]).inc();
    }
}
