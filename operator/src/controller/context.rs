//! What every reconcile has at hand.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use iam_mcp_crds::McpServer;
use kube::{
    Api, Client,
    api::{DynamicObject, ObjectMeta},
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    apis::Apis,
    cache::{ChildCache, ChildRef, Workload},
    events::Events,
    health::{gate::Gates, ledger::Ledger},
    index::{Name, PointerIndex},
    key_kinds::TOKEN,
    key_secrets::KeySecrets,
    kinds::ChildKind,
    live::LiveChild,
    memory::Memory,
    pods::cache::Directory,
    roll::Roll,
    statuses::Statuses,
    validate::Defaults,
};
use crate::metrics::Metrics;

/// Shared by all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the flags decide for servers that leave it open.
    pub defaults: Defaults,
    /// The class of servers that this operator looks after; `None`: those without one.
    pub class: Option<String>,
    /// Which servers get a new template without a change of their spec.
    pub roll: Roll,
    /// Live children.
    pub children: ChildCache,
    /// Secrets with the keys of servers.
    pub key_secrets: KeySecrets,
    /// Secrets with the tokens that were made for servers.
    pub token_secrets: KeySecrets,
    /// Which kinds that a cluster may lack are there.
    pub apis: Apis,
    /// HPA → Deployment.
    pub hpas: PointerIndex,
    /// Server → Secrets that it names, or has as environment.
    pub secrets: PointerIndex,
    /// Server → ConfigMaps that it has as environment.
    pub config_maps: PointerIndex,
    /// Live pods.
    pub pods: Directory,
    /// What servers said over MCP, and when they are asked again. Nobody is, until this is set.
    pub health: Ledger,
    /// Pods whose readiness gate waits for something.
    pub gates: Gates,
    /// What was last applied.
    pub memory: Memory,
    /// Servers to look at because others are done.
    wake: mpsc::UnboundedSender<Name>,
    wake_ups: Mutex<Option<mpsc::UnboundedReceiver<Name>>>,
    /// Event writer.
    pub events: Events,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Status last written, while the cached resource lags behind.
    pub statuses: Statuses,
    /// Failures in a row, by uid, for the back-off.
    pub failures: Mutex<HashMap<String, u32>>,
    /// Since when an old session key could be removed, by uid.
    pub unneeded_keys: Mutex<HashMap<String, Instant>>,
}

impl Context {
    /// A context for one run of the controller.
    #[must_use]
    pub fn new(
        client: Client,
        defaults: Defaults,
        class: Option<String>,
        roll: Roll,
        events: Events,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (wake, wake_ups) = mpsc::unbounded_channel();
        Self {
            wake,
            wake_ups: Mutex::new(Some(wake_ups)),
            client,
            defaults,
            class,
            roll,
            children: ChildCache::default(),
            key_secrets: KeySecrets::default(),
            token_secrets: KeySecrets::new(&TOKEN),
            apis: Apis::default(),
            hpas: PointerIndex::default(),
            secrets: PointerIndex::default(),
            config_maps: PointerIndex::default(),
            pods: Directory::default(),
            health: Ledger::default(),
            gates: Gates::default(),
            memory: Memory::default(),
            events,
            metrics,
            statuses: Statuses::default(),
            failures: Mutex::default(),
            unneeded_keys: Mutex::default(),
        }
    }

    /// The API of one kind of children in `namespace`.
    #[must_use]
    pub fn child_api(&self, kind: ChildKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource())
    }

    /// The same, for who wants no more of them than what is remembered.
    #[must_use]
    pub fn live_api(&self, kind: ChildKind, namespace: &str) -> Api<LiveChild> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource())
    }

    /// Has `servers` looked at.
    pub fn wake(&self, servers: Vec<Name>) {
        for server in servers {
            // Closed only when the controller has ended.
            let _ = self.wake.send(server);
        }
    }

    /// What [`Context::wake`] names, for the first who asks.
    pub fn take_wake_ups(&self) -> Option<mpsc::UnboundedReceiver<Name>> {
        self.wake_ups.lock().take()
    }

    /// State of a server's pods, as far as known.
    #[must_use]
    pub fn workload(&self, server: &McpServer) -> Option<Workload> {
        let (namespace, name) = full_name(&server.metadata);
        let kind = ChildKind::Deployment;
        let known = self.children.get(&ChildRef {
            kind,
            namespace,
            name,
        });
        known?.workload.map(|workload| *workload)
    }

    /// Forgets a server that is gone.
    pub fn forget(&self, metadata: &ObjectMeta) {
        self.let_go(metadata);
        // Its pods need not drain for as long as they may.
        self.pods.hurry(&full_name(metadata));
    }

    /// Forgets a server that is another operator's now; nothing of it is touched.
    pub fn let_go(&self, metadata: &ObjectMeta) {
        let uid = metadata.uid.clone().unwrap_or_default();
        self.statuses.forget(&uid);
        self.failures.lock().remove(&uid);
        self.unneeded_keys.lock().remove(&uid);
        self.memory.forget(&uid);
        let name = full_name(metadata);
        self.secrets.remove(&name);
        self.config_maps.remove(&name);
        self.apis.forget(&name);
        self.health.forget(&name);
        self.pods.set_rotating(&name, false);
        self.wake(self.roll.forget(&name));
    }

    /// Seconds until the next try after a failure: doubled each time from 1 s to 5 min, with full
    /// jitter so that servers that failed together do not come back together.
    #[must_use]
    pub fn backoff(&self, uid: &str) -> Duration {
        const LONGEST_MS: u64 = 300_000;
        let mut failures = self.failures.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        let ceiling = (1_000_u64 << (*count).min(9)).min(LONGEST_MS);
        *count += 1;
        Duration::from_millis(ceiling / 2 + jitter(ceiling / 2))
    }
}

/// Namespace and name of an object.
#[must_use]
pub fn full_name(metadata: &ObjectMeta) -> (String, String) {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// A number below `below`, at random enough to spread load; 0 when the system gives no randomness.
#[must_use]
pub fn jitter(below: u64) -> u64 {
    let mut bytes = [0; 8];
    let random = ring::rand::SystemRandom::new();
    match ring::rand::SecureRandom::fill(&random, &mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % below.max(1),
        Err(_) => 0,
    }
}
