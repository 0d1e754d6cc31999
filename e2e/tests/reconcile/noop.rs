//! Nothing is written when nothing changed.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service, networking::v1::Ingress};
use kube::api::ListParams;
use serde_json::json;

use crate::full;

/// A spec that the API server writes in other words: quantities, defaults, empty values.
fn unusual() -> serde_json::Value {
    json!({
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}},
        "env": [{"name": "EMPTY", "value": ""}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"configMapRef": {"name": "settings", "optional": true}}],
        "jobSearch": {"rapidApi": {"keySecretRef": {"name": "absent", "key": "key"}}},
        "service": {"sessionAffinity": "None"},
        "cors": {"origins": ["*"]},
    })
}

#[tokio::test]
async fn a_restart_writes_nothing() {
    let mut sandbox = Sandbox::new("noop").await;
    sandbox.serve("plain", json!({})).await;
    sandbox.serve("full", full()).await;
    sandbox.serve("counted", json!({"replicas": 3})).await;
    let names = ["plain", "full", "counted"];
    let mut before = Vec::new();
    for name in names {
        before.push((
            sandbox.versions(name).await,
            sandbox.events(name, "Updated").await,
            sandbox.settle(name).await,
        ));
    }
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.looked_at(names.len() as u64).await;
    let metrics = sandbox.operator().metrics().await;
    assert_eq!(
        metrics.sum("mcp_operator_api_writes_total", &[]),
        0,
        "{:?}",
        metrics.of("mcp_operator_api_writes")
    );
    for (name, (versions, updates, server)) in names.into_iter().zip(before) {
        assert_eq!(sandbox.versions(name).await, versions, "children of {name}");
        assert_eq!(sandbox.events(name, "Updated").await, updates, "events on {name}");
        let now: McpServer = sandbox.api().get(name).await.unwrap();
        assert_eq!(
            now.metadata.resource_version, server.metadata.resource_version,
            "{name} itself"
        );
    }
}

#[tokio::test]
async fn values_that_the_api_server_rewrites_are_not_written_again() {
    let mut sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, unusual()).await;
    let before = (sandbox.versions(NAME).await, sandbox.operator().writes().await);
    sandbox.passes(NAME, 1).await;
    let touched = sandbox.versions(NAME).await;
    sandbox.passes(NAME, 2).await;
    assert_eq!(
        sandbox.operator().writes().await,
        before.1,
        "writes after the first pass"
    );
    assert_eq!(touched.len(), before.0.len());

    let before = sandbox.versions(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    assert_eq!(
        sandbox.versions(NAME).await,
        before,
        "a new operator changes nothing"
    );
}

#[tokio::test]
async fn touches_cause_no_write() {
    let sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, full()).await;
    let writes = sandbox.operator().writes().await;
    let touch = || json!({"metadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "b"}}});
    sandbox.patch::<McpServer>(NAME, "a-person", touch()).await;
    sandbox.patch::<Service>(NAME, "a-person", touch()).await;
    sandbox.patch::<Ingress>(NAME, "a-person", touch()).await;
    sandbox.passes(NAME, 3).await;
    let metrics = sandbox.operator().metrics().await;
    let now = metrics.sum("mcp_operator_api_writes_total", &[]);
    assert_eq!(now, writes, "{:?}", metrics.of("mcp_operator_api_writes"));
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

#[tokio::test]
async fn what_others_add_survives() {
    let mut sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    sandbox.kubectl(&["rollout", "restart", "deployment/jobs"]).await;
    let foreign = || json!({"labels": {"injected": "yes"}, "annotations": {"example.com/injected": "yes"}});
    let patch = json!({"metadata": foreign(), "spec": {"template": {"metadata": foreign()}}});
    sandbox.patch::<Deployment>(NAME, "an-injector", patch).await;
    sandbox
        .patch::<Service>(NAME, "an-injector", json!({"metadata": foreign()}))
        .await;
    sandbox.settle(NAME).await;
    let before = sandbox.versions(NAME).await;

    sandbox.passes(NAME, 3).await;
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;

    let after = sandbox.versions(NAME).await;
    assert_eq!(after["Service"], before["Service"], "the Service was written");
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let template = deployment.spec.unwrap().template.metadata.unwrap();
    for metadata in [
        deployment.metadata,
        template.clone(),
        sandbox.api::<Service>().get(NAME).await.unwrap().metadata,
    ] {
        assert_eq!(metadata.labels.unwrap()["injected"], "yes");
        assert_eq!(metadata.annotations.unwrap()["example.com/injected"], "yes");
    }
    assert!(
        template
            .annotations
            .unwrap()
            .contains_key("kubectl.kubernetes.io/restartedAt")
    );
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

/// More children than the queue of wake-ups has places: filling the caches must not wait for a reader that
/// starts when they are full.
#[tokio::test]
async fn a_restart_with_many_servers_looks_at_each() {
    const SERVERS: usize = 30;
    let mut sandbox = Sandbox::new("many").await;
    for number in 0..SERVERS {
        sandbox
            .submit(&format!("s{number}"), json!({"replicas": 0}))
            .await;
    }
    eventually(SOON, "the children of all servers", || async {
        let services = sandbox
            .api::<Service>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let made = services.items.len();
        when(made == SERVERS, made)
    })
    .await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    eventually(SOON, "each server to be looked at", || async {
        let passes = sandbox.operator().passes().await;
        when(passes >= SERVERS as u64, passes)
    })
    .await;
}
