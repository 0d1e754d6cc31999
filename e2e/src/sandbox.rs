//! One test's place: a namespace, and an operator that watches it alone.

use std::{collections::BTreeMap, time::Duration};

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, events::v1::Event},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    children, cluster,
    cluster::TestNamespace,
    conditions, kubectl,
    operator::Operator,
    poll::{SOON, eventually, steady, when},
    servers::server,
};

/// How long nothing must happen to say that a pass is over.
const STILL: Duration = Duration::from_millis(700);

/// A namespace, and an operator that watches it alone.
pub struct Sandbox {
    // Ends before the namespace is deleted.
    operator: Option<Operator>,
    /// A client of the cluster.
    pub client: Client,
    namespace: TestNamespace,
}

impl Sandbox {
    /// A namespace named after `subject`, and an operator for it.
    pub async fn new(subject: &str) -> Self {
        let mut sandbox = Self::without_operator(subject).await;
        sandbox.start_operator().await;
        sandbox
    }

    /// A namespace whose operator is not started yet.
    pub async fn without_operator(subject: &str) -> Self {
        let client = cluster::client().await;
        cluster::install_definition(&client).await;
        Self::namespace_only(subject, &[]).await
    }

    /// A namespace with labels, for an operator that is in the cluster already.
    pub async fn namespace_only(subject: &str, labels: &[(&str, &str)]) -> Self {
        let client = cluster::client().await;
        let namespace = TestNamespace::create(&client, subject, labels).await;
        Self {
            operator: None,
            client,
            namespace,
        }
    }

    /// Starts the operator.
    pub async fn start_operator(&mut self) {
        self.operator = Some(Operator::start(&self.namespace.name).await);
    }

    /// The operator, out of the sandbox.
    pub fn take_operator(&mut self) -> Operator {
        self.operator.take().expect("a running operator")
    }

    /// Stops the operator, which must end cleanly.
    pub async fn stop_operator(&mut self) {
        let (_, status) = self.take_operator().stop().await;
        assert!(status.success(), "the operator ended with {status}");
    }

    /// The operator.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("a running operator")
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace.name
    }

    /// The API of `K` in the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace())
    }

    /// Creates an object as it is.
    pub async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let object: K = serde_json::from_value(object).expect("an object of that kind");
        let params = PostParams {
            field_manager: Some("a-person".to_owned()),
            ..PostParams::default()
        };
        self.api::<K>()
            .create(&params, &object)
            .await
            .expect("the API server takes the object")
    }

    /// Makes a server and waits until all is done that can be done without nodes.
    pub async fn serve(&self, name: &str, spec: Value) -> McpServer {
        self.submit(name, spec).await;
        self.settle(name).await
    }

    /// Makes a server.
    pub async fn submit(&self, name: &str, spec: Value) -> McpServer {
        let created = self
            .api()
            .create(&PostParams::default(), &server(name, spec))
            .await;
        created.expect("the API server takes the McpServer")
    }

    /// Changes the spec of a server by a merge patch.
    pub async fn change(&self, name: &str, spec: Value) -> McpServer {
        self.patch::<McpServer>(name, "a-person", json!({"spec": spec}))
            .await
    }

    /// Changes any object by a merge patch, as `manager`.
    pub async fn patch<K>(&self, name: &str, manager: &str, patch: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.api::<K>()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .expect("the API server takes the patch")
    }

    /// `kubectl` in the namespace, which must succeed.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        kubectl::run(&[&["--namespace", self.namespace()], args].concat()).await
    }

    /// The children that exist.
    pub async fn children(&self, name: &str) -> BTreeMap<&'static str, DynamicObject> {
        children::all(&self.client, self.namespace(), name).await
    }

    /// What changes with any write to a child.
    pub async fn versions(&self, name: &str) -> BTreeMap<&'static str, String> {
        children::versions(&self.children(name).await)
    }

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
            "the Deployment controller to have seen the Deployment",
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
                let seen = live.status.and_then(|s| s.observed_generation);
                when(
                    seen == live.metadata.generation && count >= least,
                    (seen, count, least),
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
