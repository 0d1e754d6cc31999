//! Metrics of the operator: bounded labels only, never an object's name.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::{
    api_requests::ApiRequests,
    controller::{health::ledger::Counts, roll::Progress},
};

/// Upper bounds in seconds: a pass with nothing to do takes about a millisecond, one that writes all
/// children some tens, one that meets a slow API server seconds.
const SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WriteLabels {
    kind: &'static str,
    verb: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct VerifiedLabels {
    verified: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ChangeLabels {
    change: &'static str,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    reconciles: Family<OutcomeLabels, Counter>,
    seconds: Histogram,
    in_flight: Gauge,
    writes: Family<WriteLabels, Counter>,
    drift: Family<KindLabels, Counter>,
    watch_errors: Family<KindLabels, Counter>,
    pod_polls: Family<OutcomeLabels, Counter>,
    probes: Family<OutcomeLabels, Counter>,
    probe_seconds: Histogram,
    verified: Family<VerifiedLabels, Gauge>,
    tool_lists: Family<ChangeLabels, Counter>,
    gates: Family<OutcomeLabels, Counter>,
    draining_pods: Gauge,
    drains_cut: Counter,
    fleet: Family<StateLabels, Gauge>,
    leader: Gauge,
    /// Requests to the API server.
    pub api_requests: ApiRequests,
}

impl Metrics {
    /// Metrics, registered in `registry`.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            reconciles: Family::default(),
            seconds: Histogram::new(SECONDS),
            in_flight: Gauge::default(),
            writes: Family::default(),
            drift: Family::default(),
            watch_errors: Family::default(),
            pod_polls: Family::default(),
            probes: Family::default(),
            probe_seconds: Histogram::new(SECONDS),
            verified: Family::default(),
            tool_lists: Family::default(),
            gates: Family::default(),
            draining_pods: Gauge::default(),
            drains_cut: Counter::default(),
            fleet: Family::default(),
            leader: Gauge::default(),
            api_requests: ApiRequests::default(),
        };
        let registry = registry.sub_registry_with_prefix("mcp_operator");
        registry.register(
            "reconciliations",
            "Reconciles by outcome: ok, the category of the failure, or abandoned",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Duration of a reconcile",
            metrics.seconds.clone(),
        );
        registry.register(
            "reconciles_in_flight",
            "Reconciles under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "api_writes",
            "Writes sent to the API server by kind and verb; flat while nothing changes",
            metrics.writes.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server by verb, resource and code of the answer; 0: none came",
            metrics.api_requests.family(),
        );
        registry.register(
            "drift_repaired",
            "Children that somebody had changed or deleted and that were put back; alert when it keeps rising",
            metrics.drift.clone(),
        );
        registry.register(
            "outdated_servers",
            "Servers whose pods an earlier operator made: waiting, rolling to what this one renders, or failing to, which \
             holds up the others",
            metrics.fleet.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that failed and were started again",
            metrics.watch_errors.clone(),
        );
        registry.register(
            "pod_polls",
            "Pods asked for their sessions by outcome: ok, or the category of the failure",
            metrics.pod_polls.clone(),
        );
        metrics.register_protocol(registry);
        registry.register(
            "draining_pods",
            "Pods that were asked to stop and still serve open sessions",
            metrics.draining_pods.clone(),
        );
        registry.register(
            "drains_cut",
            "Drains that were ended early because more pods drained than maxDrainingPods allows",
            metrics.drains_cut.clone(),
        );
        registry.register(
            "leader",
            "1 while this operator acts, 0 while it stands by",
            metrics.leader.clone(),
        );
        registry.register(
            "build",
            "Version of the operator",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Arc::new(metrics)
    }

    /// Counts one write.
    pub fn write(&self, kind: &'static str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind, verb }).inc();
    }

    /// Counts one repaired child.
    pub fn drift_repaired(&self, kind: &'static str) {
        self.drift.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts one failed watch.
    pub fn watch_error(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts one question to a pod: `None` is an answer, else the category of the failure.
    pub fn pod_polled(&self, failure: Option<&'static str>) {
        let outcome = failure.unwrap_or("ok");
        self.pod_polls.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Registers what is said of asking servers over MCP.
    fn register_protocol(&self, registry: &mut Registry) {
        registry.register(
            "protocol_probes",
            "Servers asked over MCP by outcome: ok, not_authorized, or the category of the failure",
            self.probes.clone(),
        );
        registry.register(
            "protocol_probe_duration_seconds",
            "Duration of asking a server over MCP",
            self.probe_seconds.clone(),
        );
        registry.register(
            "servers_verified",
            "Servers by their condition Verified; alert on False",
            self.verified.clone(),
        );
        registry.register(
            "tool_list_changes",
            "Lists of tools that were another than before: lost, changed or added",
            self.tool_lists.clone(),
        );
        registry.register(
            "gates",
            "Readiness gates of pods by outcome: opened, shut, or the category of the failure",
            self.gates.clone(),
        );
    }

    /// How far the fleet is on its way to the templates of this operator.
    pub fn fleet(&self, progress: Progress) {
        let Progress {
            waiting,
            rolling,
            failing,
        } = progress;
        for (state, servers) in [("waiting", waiting), ("rolling", rolling), ("failing", failing)] {
            let gauge = self.fleet.get_or_create(&StateLabels { state });
            gauge.set(i64::try_from(servers).unwrap_or(i64::MAX));
        }
    }

    /// Counts one question over MCP: `None` is an answer, else the category of the failure.
    pub fn protocol_probed(&self, failure: Option<&'static str>, took: Duration) {
        let outcome = failure.unwrap_or("ok");
        self.probes.get_or_create(&OutcomeLabels { outcome }).inc();
        self.probe_seconds.observe(took.as_secs_f64());
    }

    /// Counts one readiness gate that was looked at.
    pub fn gate(&self, outcome: &'static str) {
        self.gates.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Says how many servers are known to speak MCP.
    pub fn set_verified(&self, counts: Counts) {
        let Counts { good, bad, unknown } = counts;
        for (verified, count) in [("True", good), ("False", bad), ("Unknown", unknown)] {
            let gauge = self.verified.get_or_create(&VerifiedLabels { verified });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts one list of tools that is another than before.
    pub fn tool_list_changed(&self, change: &'static str) {
        self.tool_lists.get_or_create(&ChangeLabels { change }).inc();
    }

    /// Says how many pods drain.
    pub fn set_draining_pods(&self, pods: usize) {
        self.draining_pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// Counts one drain that was ended early.
    pub fn drain_cut(&self) {
        self.drains_cut.inc();
    }

    /// Says whether this operator acts.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Starts the clock of one reconcile.
    pub fn reconcile_started(&self) -> Timer<'_> {
        self.in_flight.inc();
        Timer {
            metrics: self,
            started: Instant::now(),
            outcome: "abandoned",
        }
    }
}

/// The clock of one reconcile. Dropped without an outcome it counts as abandoned.
#[must_use]
pub struct Timer<'a> {
    metrics: &'a Metrics,
    started: Instant,
    outcome: &'static str,
}

impl Timer<'_> {
    /// Notes the outcome: `None` is success, else the category of the failure.
    pub fn finished(mut self, failure: Option<&'static str>) {
        self.outcome = failure.unwrap_or("ok");
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.seconds.observe(self.started.elapsed().as_secs_f64());
        self.metrics
            .reconciles
            .get_or_create(&OutcomeLabels {
                outcome: self.outcome,
            })
            .inc();
    }
}
