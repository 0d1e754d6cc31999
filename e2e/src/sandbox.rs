//! One test's place: a namespace, and an operator that watches it alone.

mod wait;

use std::collections::BTreeMap;

use iam_mcp_crds::McpServer;
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{children, cluster, cluster::TestNamespace, kubectl, operator::Operator, servers::server};

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

    /// Starts the operator with more arguments.
    pub async fn start_operator_with(&mut self, more: &[&str]) {
        self.operator = Some(Operator::start_with(&self.namespace.name, more).await);
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
}
