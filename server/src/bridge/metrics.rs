//! Measurements of the bridge.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::metrics::Labels;

/// Sessions and processes. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    processes: Gauge,
    started: Counter,
    /// Sessions open now.
    pub(super) sessions: Gauge,
    /// Sessions ended, by `cause`.
    pub(super) sessions_ended: Family<Labels, Counter>,
    /// Sessions refused, by `cause`.
    pub(super) refused: Family<Labels, Counter>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let r = registry;
        r.register(
            "bridge_processes",
            "Processes of the program that run now",
            metrics.processes.clone(),
        );
        r.register(
            "bridge_processes_started",
            "Processes of the program started",
            metrics.started.clone(),
        );
        r.register(
            "bridge_sessions",
            "Sessions open now, each with a process of its own",
            metrics.sessions.clone(),
        );
        r.register(
            "bridge_sessions_ended",
            "Sessions ended, by cause",
            metrics.sessions_ended.clone(),
        );
        r.register(
            "bridge_sessions_refused",
            "Sessions refused, by cause",
            metrics.refused.clone(),
        );
        metrics
    }

    pub(super) fn started(&self) {
        self.started.inc();
        self.processes.inc();
    }

    pub(super) fn ended(&self) {
        self.processes.dec();
    }
}
