//! The pods of all servers: what they say of their sessions, and what follows from it.
//!
//! A reconcile looks at one resource when it changed; this looks at pods when their time comes. It wakes the
//! reconcile of a server only when its status would change. Everything follows from what is there now, so
//! an operator that starts anew goes on where the last one stood.

pub mod cache;
pub mod cost;
pub mod drain;
pub mod poll;
pub mod schedule;
pub mod seen;
mod watch;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use iam_mcp_crds::McpServer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    build::{MARGIN, keys_secret_name},
    context::Context,
    error::Error,
    events::Happened,
    index::Name,
    keys::drain_keys,
    servers::{Guarded, Listed, Presence},
    watch::chain,
};
use crate::OPERATOR;
use cache::{Cut, Target};
use poll::{DrainKey, PollError};

/// Pods that are asked at once.
const CONCURRENCY: usize = 32;
/// Pods of one server that are told to end at once.
const CUTS: usize = 8;
/// Longest call of the API server.
const API_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two reads of keys that are not needed yet.
const KEY_PAUSE: Duration = Duration::from_millis(100);
/// Seconds that a pod has left when too many drain.
const CUT_SECONDS: i64 = 5;
/// Seconds that a pod has left when its server is deleted. It ends up to twelve later, within the grace.
const DELETED_SECONDS: i64 = 10;

/// Looks after all pods.
pub struct Fleet {
    context: Arc<Context>,
    servers: Store<Guarded>,
    listed: Arc<Listed>,
    wake: mpsc::Sender<ObjectRef<McpServer>>,
}

impl Fleet {
    /// For the servers in `servers`, of which those of the scopes in `listed` are complete.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        servers: Store<Guarded>,
        listed: Arc<Listed>,
        wake: mpsc::Sender<ObjectRef<McpServer>>,
    ) -> Self {
        Self {
            context,
            servers,
            listed,
            wake,
        }
    }

    /// Asks pods and acts on their answers until `stop`. Dropped, it stops at once.
    pub async fn run(self, stop: &CancellationToken) {
        let fleet = Arc::new(self);
        tokio::select! {
            () = Self::ask(&fleet, stop) => {}
            () = fleet.learn_keys() => {}
        }
    }

    /// Reads the keys of servers that have pods, a few a second: their Secrets may be gone before their pods are. A start
    /// with thousands of servers need not have them at once.
    async fn learn_keys(&self) {
        let mut pace = tokio::time::interval(KEY_PAUSE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let calm = async {
                pace.tick().await;
            };
            let server = self.context.pods.next_unkeyed(calm).await;
            match self.read_keys(&server).await {
                Ok(Some(keys)) => self.context.pods.set_drain_keys(&server, || keys),
                // It has none, or it is gone: a pod of it can be told nothing.
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(server = server.1, namespace = server.0, error = %chain(&error), "the keys of a server cannot be read");
                }
            }
        }
    }

    async fn ask(fleet: &Arc<Self>, stop: &CancellationToken) {
        let places = Arc::new(Semaphore::new(CONCURRENCY));
        let mut visits = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, fleet.context.pods.next_due().await))
            };
            let (place, target) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(next) = next => next,
            };
            while visits.try_join_next().is_some() {}
            let fleet = Arc::clone(fleet);
            visits.spawn(async move {
                fleet.visit(&target).await;
                drop(place);
            });
        }
    }

    async fn visit(&self, target: &Target) {
        let Context { pods, metrics, .. } = self.context.as_ref();
        if self.listed.is_elsewhere(&target.server) {
            // Asked again all the same: it may come back.
            pods.record(target, None);
            pods.release(target);
            return;
        }
        let report = if target.silent {
            None
        } else {
            let answer = poll::sessions(target.ip).await;
            metrics.pod_polled(answer.as_ref().err().map(PollError::category));
            if let Err(error) = &answer {
                tracing::debug!(pod = target.pod.1, namespace = target.pod.0, error = %chain(error), "a pod does not say how many sessions it has");
            }
            answer.ok()
        };
        let news = pods.record(target, report);
        metrics.set_draining_pods(pods.draining_in_all());
        if let Some((namespace, name)) = news {
            // Closed only when the controller has ended.
            let _ = self.wake.send(ObjectRef::new(&name).within(&namespace)).await;
        }
        let outcome = if target.drains {
            self.see_off(target).await
        } else {
            self.write_cost(target).await
        };
        if let Err(error) = outcome {
            tracing::warn!(pod = target.pod.1, namespace = target.pod.0, category = error.category(), error = %chain(&error), "looking after a pod failed and is tried again");
        }
        pods.release(target);
    }

    async fn write_cost(&self, target: &Target) -> Result<(), Error> {
        let Some(cost) = self.context.pods.cost_to_write(target) else {
            return Ok(());
        };
        let Target { pod, uid, .. } = target;
        // With the uid: what has the name now may be another pod.
        let patch = json!({"metadata": {"uid": uid, "annotations": {cost::ANNOTATION: cost.to_string()}}});
        let params = PatchParams {
            field_manager: Some(OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        self.context.metrics.write("Pod", "patch_cost");
        let patch = Patch::Merge(patch);
        let api = self.pods(target);
        let write = api.patch_metadata(&pod.1, &params, &patch);
        if unless_gone(limited(format!("write the deletion cost of Pod/{}", pod.1), write).await)? {
            self.context.pods.cost_written(target, cost);
        }
        Ok(())
    }

    /// What a draining pod needs besides time.
    async fn see_off(&self, target: &Target) -> Result<(), Error> {
        match self.listed.presence(&self.servers, &target.server) {
            Presence::Unknown | Presence::Elsewhere => Ok(()),
            Presence::Gone => self.shorten(target).await,
            // It can be told nothing, and ends when it will.
            Presence::Here(_) if target.silent => Ok(()),
            Presence::Here(server) => match server.read() {
                Ok(server) => self.cut(&server, &target.server).await,
                // How many may drain cannot be read.
                Err(_) => Ok(()),
            },
        }
    }

    /// Lets the pods that began to drain first end at once, where more drain than may.
    async fn cut(&self, server: &McpServer, name: &Name) -> Result<(), Error> {
        let most = server.spec.sessions.clone().unwrap_or_default().max_draining_pods;
        let cuts = self.context.pods.take_cuts(name, most);
        if cuts.is_empty() {
            return Ok(());
        }
        let keys = self.drain_keys(name).await?;
        let (keys, until) = (keys.as_slice(), Timestamp::now().as_second() + CUT_SECONDS);
        let outcomes = stream::iter(cuts).map(|cut| async move {
            let outcome = end_drain(&cut.target, until, keys).await;
            (cut, outcome)
        });
        let outcomes: Vec<_> = outcomes.buffer_unordered(CUTS).collect().await;
        let mut told = Vec::new();
        for (Cut { target, sessions }, outcome) in outcomes {
            match outcome {
                Ok(()) => {
                    self.context.metrics.drain_cut();
                    self.context.pods.cut(&target);
                    told.push(format!("{} ({sessions} open sessions)", target.pod.1));
                }
                Err(error) => {
                    tracing::warn!(pod = target.pod.1, namespace = target.pod.0, error = %chain(&error), "a pod cannot be told to end its drain");
                }
            }
        }
        if !told.is_empty() {
            told.sort();
            let note = format!(
                "more than the {most} pods of spec.sessions.maxDrainingPods drain; those that began first end within {CUT_SECONDS} s: {}",
                told.join(", ")
            );
            self.context
                .events
                .publish(server, Happened::DrainCut, note)
                .await;
        }
        Ok(())
    }

    /// Shortens the grace of a pod whose server is gone: deleting a server must not take as long as its
    /// sessions might.
    ///
    /// Only of a pod that is being deleted: another would be made anew by its `ReplicaSet`.
    async fn shorten(&self, target: &Target) -> Result<(), Error> {
        if !self.context.pods.take_lingering(target) {
            return Ok(());
        }
        // Told so, it ends its sessions cleanly.
        let keys = self.drain_keys(&target.server).await?;
        if !keys.is_empty() {
            let until = Timestamp::now().as_second() + DELETED_SECONDS;
            if let Err(error) = end_drain(target, until, &keys).await {
                tracing::debug!(pod = target.pod.1, namespace = target.pod.0, error = %chain(&error), "a pod cannot be told that its server is gone");
            }
        }
        let params = DeleteParams {
            grace_period_seconds: u32::try_from(MARGIN).ok(),
            preconditions: Some(Preconditions {
                uid: Some(target.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        self.context.metrics.write("Pod", "delete");
        let api = self.pods(target);
        let name = &target.pod.1;
        let delete = api.delete(name, &params);
        unless_gone(limited(format!("shorten the grace of Pod/{name}"), delete).await)?;
        tracing::info!(
            pod = name,
            namespace = target.pod.0,
            "its server is gone, so its drain ends"
        );
        Ok(())
    }

    /// What the pods of a server are told with to end a drain: from the Secret as it is now, or as it was last seen
    /// if it is gone.
    async fn drain_keys(&self, server: &Name) -> Result<Vec<DrainKey>, Error> {
        Ok(match self.read_keys(server).await? {
            Some(keys) => keys,
            None => self.context.pods.drain_keys(server),
        })
    }

    async fn read_keys(&self, server: &Name) -> Result<Option<Vec<DrainKey>>, Error> {
        let (namespace, name) = server;
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), namespace);
        let secret = keys_secret_name(name);
        let read = limited(format!("read Secret/{secret}"), api.get_opt(&secret)).await?;
        Ok(read.as_ref().map(drain_keys))
    }

    fn pods(&self, target: &Target) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &target.pod.0)
    }
}

/// Tells a pod to end its drain, proved by the first of `keys` that it accepts.
async fn end_drain(target: &Target, until: i64, keys: &[DrainKey]) -> Result<(), PollError> {
    let mut refused = Err(PollError::NoKey);
    for key in keys {
        refused = poll::end_drain(target.ip, &target.uid, until, key).await;
        if !matches!(refused, Err(PollError::Status(status)) if status == hyper::StatusCode::FORBIDDEN) {
            break;
        }
    }
    refused
}

async fn limited<T>(action: String, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(API_LIMIT, call).await {
        Ok(answer) => answer.map_err(Error::api(action)),
        Err(_) => Err(Error::Timeout(API_LIMIT)),
    }
}

/// Whether a write was done; that the pod is gone, or another, is no failure.
fn unless_gone<T>(outcome: Result<T, Error>) -> Result<bool, Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.category(), "api_not_found" | "api_conflict") => Ok(false),
        Err(error) => Err(error),
    }
}
