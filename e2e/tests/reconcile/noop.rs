//! Nothing is written when nothing changed.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use serde_json::json;

use crate::full;

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
