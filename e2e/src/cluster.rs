//! The cluster, and namespaces that go with the test that made them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::{
    kubectl,
    poll::{SOON, eventually},
    setting,
};
use iam_mcp_crds::McpServer;

/// A client of the cluster under test.
pub async fn client() -> Client {
    let file = Kubeconfig::read_from(setting("E2E_KUBECONFIG")).expect("E2E_KUBECONFIG is a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .expect("a usable kubeconfig");
    Client::try_from(config).expect("a usable kubeconfig")
}

/// Applies the `McpServer` definition and waits until the API server serves it.
pub async fn install_definition(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = McpServer::crd_name();
    let params = PatchParams::apply("iam-mcp-e2e").force();
    api.patch(name, &params, &Patch::Apply(McpServer::crd()))
        .await
        .expect("the API server takes the definition");
    eventually(SOON, "the definition to be established", || async {
        let crd = api.get(name).await.map_err(|e| e.to_string())?;
        let conditions = crd.status.and_then(|s| s.conditions).unwrap_or_default();
        let established = conditions
            .iter()
            .any(|c| c.type_ == "Established" && c.status == "True");
        crate::poll::when(established, &conditions)
    })
    .await;
    // Established comes a moment before the path answers.
    let servers: Api<McpServer> = Api::namespaced(client.clone(), "default");
    eventually(SOON, "McpServers to be served", || async {
        servers
            .list(&kube::api::ListParams::default().limit(1))
            .await
            .map_err(|e| e.to_string())
    })
    .await;
}

/// Waits for the ServiceAccount `default` of a namespace, without which no pod can be made there.
pub async fn default_account(client: &Client, namespace: &str) {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    eventually(SOON, "the service account of the namespace", || async {
        let found = api.get_opt("default").await.map_err(|e| e.to_string())?;
        crate::poll::when(found.is_some(), found)
    })
    .await;
}

/// A namespace of one test, deleted when dropped, on failure too.
pub struct TestNamespace {
    /// Its name.
    pub name: String,
}

impl TestNamespace {
    /// Makes a namespace whose name starts with `prefix`.
    pub async fn create(client: &Client, prefix: &str, labels: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(
            "{prefix}-{:x}-{count}",
            jiff::Timestamp::now().as_millisecond() & 0xff_ffff_ffff
        );
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.collect::<BTreeMap<_, _>>()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &namespace)
            .await
            .expect("a new namespace");
        Self { name }
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("E2E_KEEP").is_some() {
            eprintln!("E2E_KEEP: namespace {} stays", self.name);
            return;
        }
        kubectl::delete_quietly(&["namespace", &self.name]);
    }
}
