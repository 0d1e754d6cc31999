//! Opens the gate of a pod after it has spoken MCP with that very pod, and shuts it when its container is another.

use std::{sync::Arc, time::Duration};

use iam_mcp_crds::Reason;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint, Failure, ask, credential,
    gate::{CONDITION, Gate, OPEN_FOR, Todo},
};
use crate::{
    OPERATOR,
    controller::{
        context::Context, error::Error, index::Name, pods::cache::Target, servers::Guarded, watch::chain,
    },
};

/// Pods that are looked at at once.
const CONCURRENCY: usize = 32;
/// Longest call of the API server.
const API_LIMIT: Duration = Duration::from_secs(10);

/// Looks after the gates of all pods.
pub struct Gatekeeper {
    context: Arc<Context>,
    servers: Store<Guarded>,
}

impl Gatekeeper {
    /// For the pods of the servers in `servers`.
    #[must_use]
    pub const fn new(context: Arc<Context>, servers: Store<Guarded>) -> Self {
        Self { context, servers }
    }

    /// Opens and shuts until `stop`. Dropped, it stops at once.
    pub async fn run(self, stop: &CancellationToken) {
        let keeper = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONCURRENCY));
        let mut visits = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, keeper.context.gates.next_due().await))
            };
            let (place, (pod, todo)) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(next) = next => next,
            };
            while visits.try_join_next().is_some() {}
            let keeper = Arc::clone(&keeper);
            visits.spawn(async move {
                keeper.visit(&pod, todo).await;
                drop(place);
            });
        }
    }

    async fn visit(&self, pod: &Name, todo: Todo) {
        let Context {
            pods, gates, metrics, ..
        } = self.context.as_ref();
        let Some((target, gate)) = pods.gate(pod).filter(|(_, gate)| gate.todo() == Some(todo)) else {
            gates.done(pod, todo);
            return;
        };
        let (outcome, reason) = match todo {
            Todo::Shut => ("shut", None),
            Todo::Ask => match self.ask(&target).await {
                Ok(reason) => ("opened", Some(reason)),
                Err(Some(failure)) => {
                    metrics.gate(failure.category());
                    tracing::debug!(pod = pod.1, namespace = pod.0, %failure, "a pod does not speak MCP, and its gate stays shut");
                    if gates.failed(pod, todo) == 2 {
                        self.context.health.hurry(&target.server);
                    }
                    return;
                }
                // Its server is not known yet, or is gone.
                Err(None) => {
                    gates.failed(pod, todo);
                    return;
                }
            },
        };
        match self.write(&target, &gate, reason).await {
            Ok(()) => {
                metrics.gate(outcome);
                gates.done(pod, todo);
            }
            Err(error) if matches!(error.category(), "api_not_found" | "api_conflict" | "api_invalid") => {
                // It is gone, or another.
                gates.done(pod, todo);
            }
            Err(error) => {
                metrics.gate(error.category());
                gates.failed(pod, todo);
                tracing::warn!(pod = pod.1, namespace = pod.0, category = error.category(), error = %chain(&error), "writing a pod's gate failed and is tried again");
            }
        }
    }

    /// Why the gate may open.
    async fn ask(&self, target: &Target) -> Result<Reason, Option<Failure>> {
        let (namespace, name) = &target.server;
        let found = self
            .servers
            .get(&ObjectRef::<Guarded>::new(name).within(namespace))
            .ok_or(None)?;
        let server = &found.read().map_err(|_| None)?;
        let credential = credential::of(server, &self.context.client).await;
        match ask::ask(&Endpoint::of(server, target.ip, credential), false).await {
            Ok(_) => Ok(Reason::ProtocolAnswered),
            // It checks credentials, and the operator has none that is good: it is at work.
            Err(Failure::NotAuthorized(_)) => Ok(Reason::NotAuthorized),
            Err(failure) => Err(Some(failure)),
        }
    }

    /// Opens the gate for a reason, or shuts it.
    async fn write(&self, target: &Target, gate: &Gate, open: Option<Reason>) -> Result<(), Error> {
        let container = gate.container.as_deref().unwrap_or_default();
        let (status, reason, message) = match open {
            Some(reason) => ("True", reason.as_str(), format!("{OPEN_FOR}{container}")),
            None => (
                "False",
                "Restarted",
                format!("container {container} was not asked yet"),
            ),
        };
        let patch = json!({
            // With the uid: what has the name now may be another pod.
            "metadata": {"uid": target.uid},
            "status": {"conditions": [{
                "type": CONDITION, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": Time(jiff::Timestamp::now()),
            }]},
        });
        let params = PatchParams {
            field_manager: Some(OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        self.context.metrics.write("Pod", "patch_status");
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &target.pod.0);
        let name = &target.pod.1;
        // A strategic merge: the conditions of others stay.
        let patch = Patch::Strategic(patch);
        let call = api.patch_status(name, &params, &patch);
        match timeout(API_LIMIT, call).await {
            Ok(answer) => answer
                .map(drop)
                .map_err(Error::api(format!("write the gate of Pod/{name}"))),
            Err(_) => Err(Error::Timeout(API_LIMIT)),
        }
    }
}
