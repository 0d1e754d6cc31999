//! Waiting for what the operator does in a sandbox.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, events::v1::Event},
};
use kube::{Resource, ResourceExt as _, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::Sandbox;
use crate::{
    conditions,
    poll::{SOON, eventually, steady, when},
};

/// How long nothing must happen to say that a pass is over.
const STILL: Duration = Duration::from_millis(700);

impl Sandbox {
    /// Waits for a condition of a server, and gives its message.
    pub async fn condition(&self, name: &str, type_: ConditionType, status: bool, reason: Reason) -> String {
        self.condition_within(SOON, name, type_, status, reason).await
    }

    /// As [`Sandbox::condition`], for what takes longer.
    pub async fn condition_within(
        &self,
        within: Duration,
        name: &str,
        type_: ConditionType,
        status: bool,
        reason: Reason,
    ) -> String {
        let what = format!("{}={status} {} of {name}", type_.as_str(), reason.as_str());
        eventually(within, &what, || async {
            let server = self
                .api::<McpServer>()
                .get(name)
                .await
                .map_err(|e| e.to_string())?;
            conditions::condition(&server, type_, status, reason)
        })
        .await
    }

    /// Waits until the operator has seen the current spec and neither it nor the control plane does
    /// anything more.
    pub async fn settle(&self, name: &str) -> McpServer {
        let api = self.api::<McpServer>();
        eventually(SOON, "a status of the current spec", || async {
            let server = api.get(name).await.map_err(|e| e.to_string())?;
            let observed = server.status.as_ref().and_then(|s| s.observed_generation);
            when(observed == server.metadata.generation, conditions::tell(&server))
        })
        .await;
        eventually(
            SOON,
            "the Deployment controller to have seen the Deployment and to have made its pods",
            || async {
                // A server whose Deployment cannot be made has none to wait for.
                let Some(live) = self
                    .api::<Deployment>()
                    .get_opt(name)
                    .await
                    .map_err(|e| e.to_string())?
                else {
                    return Ok(());
                };
                // An HPA brings the number up to its least after some seconds.
                let hpa = self
                    .api::<HorizontalPodAutoscaler>()
                    .get_opt(name)
                    .await
                    .map_err(|e| e.to_string())?;
                let least = hpa.and_then(|h| h.spec?.min_replicas).unwrap_or_default();
                let count = live.spec.and_then(|s| s.replicas).unwrap_or_default();
                let status = live.status.unwrap_or_default();
                // Pods are made one after the other, and each changes the status. Without nodes a rollout stops between
                // its old pods and its new ones, of which there are enough together.
                let made = status.replicas.unwrap_or_default();
                let refused = status
                    .conditions
                    .iter()
                    .flatten()
                    .any(|c| c.type_ == "ReplicaFailure");
                let seen = status.observed_generation;
                when(
                    seen == live.metadata.generation && count >= least && (made >= count || refused),
                    (seen, count, least, made),
                )
            },
        )
        .await;
        let look = || async {
            let live = self
                .api::<Deployment>()
                .get_opt(name)
                .await
                .expect("a readable Deployment");
            (self.work().await, live.and_then(|d| d.metadata.resource_version))
        };
        steady(
            SOON,
            STILL,
            "work (writes, passes, in flight; resourceVersion of the Deployment)",
            look,
        )
        .await;
        api.get(name).await.expect("the server")
    }

    /// What the operator has done, and is doing: writes, passes, passes in flight.
    async fn work(&self) -> [u64; 3] {
        let metrics = self.operator().metrics().await;
        [
            "mcp_operator_api_writes_total",
            "mcp_operator_reconciliations_total",
            "mcp_operator_reconciles_in_flight",
        ]
        .map(|name| metrics.sum(name, &[]))
    }

    /// Waits until the operator does nothing more.
    pub async fn quiet(&self) {
        steady(
            SOON,
            STILL,
            "work of the operator (writes, passes, in flight)",
            || self.work(),
        )
        .await;
    }

    /// Waits until an operator that was just started has made `passes`, and does nothing more. On a busy machine it
    /// is quiet for a while before it begins.
    pub async fn looked_at(&self, passes: u64) {
        eventually(SOON, &format!("{passes} passes after the start"), || async {
            let made = self.operator().passes().await;
            when(made >= passes, made)
        })
        .await;
        self.quiet().await;
    }

    /// Makes the operator look at a server `times` times, by an annotation on its Deployment.
    pub async fn passes(&self, name: &str, times: u32) {
        for _ in 0..times {
            let before = self.operator().passes().await;
            let now = jiff::Timestamp::now().to_string();
            self.patch::<Deployment>(
                name,
                "a-bystander",
                json!({"metadata": {"annotations": {"example.com/touched": now}}}),
            )
            .await;
            eventually(SOON, "another pass", || async {
                let now = self.operator().passes().await;
                when(now > before, now)
            })
            .await;
        }
        self.quiet().await;
    }

    /// Notes of the events with `reason` on a server, oldest first.
    pub async fn events(&self, name: &str, reason: &str) -> Vec<String> {
        let fields = format!("regarding.name={name},reason={reason}");
        let params = ListParams::default().fields(&fields);
        let mut events = self.api::<Event>().list(&params).await.expect("events").items;
        events.sort_by_key(|event| event.event_time.clone().map(|t| t.0));
        events
            .into_iter()
            .map(|event| event.note.unwrap_or_default())
            .collect()
    }

    /// Waits for an event whose note has all of `parts`, and gives the note.
    pub async fn event(&self, name: &str, reason: &str, parts: &[&str]) -> String {
        eventually(
            SOON,
            &format!("an event {reason} on {name} that has all of {parts:?}"),
            || async {
                let notes = self.events(name, reason).await;
                let found = notes
                    .iter()
                    .find(|note| parts.iter().all(|part| note.contains(part)));
                found.cloned().ok_or_else(|| format!("{notes:#?}"))
            },
        )
        .await
    }

    /// Waits until a child of type `K` satisfies `holds`, and gives it.
    pub async fn child<K>(&self, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        eventually(SOON, what, || async {
            let found = self.api::<K>().get_opt(name).await.map_err(|e| e.to_string())?;
            let found = found.ok_or_else(|| format!("no {} {name}", K::kind(&())))?;
            if holds(&found) {
                return Ok(found);
            }
            let mut seen = serde_json::to_value(&found).map_err(|e| e.to_string())?;
            seen["metadata"]["managedFields"] = Value::Null;
            Err(format!("{} {}", found.name_any(), seen["spec"]))
        })
        .await
    }
}
