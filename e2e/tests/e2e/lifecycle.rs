//! The operator comes and goes; servers run on, and go when they are deleted.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    helm, kubectl,
    mcp::McpClient,
    poll::{SOON, eventually, when},
    port_forward::PortForward,
    sandbox::Sandbox,
};
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::{PODS, operator_alone, pods, ready};

/// A sentence of the definition, and one that an older chart could have had.
const NOW: &str = "Number of pods.";
const ONCE: &str = "How many pods there are.";

async fn definition() -> String {
    kubectl::run(&["get", "crd", helm::DEFINITION, "--output=json"]).await
}

#[tokio::test]
async fn uninstalling_leaves_servers_and_definition_and_installing_adopts_them() {
    let _operator = operator_alone().await;
    let sandbox = Sandbox::namespace_only("uninstall", &[]).await;
    for (name, spec) in [
        ("one", json!({"replicas": 1})),
        ("two", json!({"autoscaling": {"minReplicas": 1}, "ingress": {}})),
    ] {
        sandbox.submit(name, spec).await;
    }
    for name in ["one", "two"] {
        ready(&sandbox, name).await;
    }
    let running = (pods(&sandbox, "one").await, pods(&sandbox, "two").await);
    let children = (sandbox.versions("one").await, sandbox.versions("two").await);
    let forward = PortForward::open(sandbox.namespace(), "service/one", 80).await;
    let client = McpClient::new(&forward.url);

    helm::assert_nothing_forbidden().await;
    helm::uninstall().await;
    assert!(definition().await.contains(NOW));
    assert_eq!(
        sandbox
            .api::<McpServer>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    assert_eq!(
        (pods(&sandbox, "one").await, pods(&sandbox, "two").await),
        running,
        "the same pods"
    );
    let found = client.search("engineer").await.unwrap();
    assert_ne!(found["isError"], true, "it answers as before: {found}");

    helm::install(helm::CHART).await;
    eventually(PODS, "the new operator to have looked at both", || async {
        let metrics = helm::metrics().await;
        let passes = metrics.sum("mcp_operator_reconciliations_total", &["outcome=\"ok\""]);
        when(
            passes >= 2 && metrics.sum("mcp_operator_reconciles_in_flight", &[]) == 0,
            passes,
        )
    })
    .await;
    assert_eq!(
        (sandbox.versions("one").await, sandbox.versions("two").await),
        children,
        "children were written"
    );
    assert_eq!(
        (pods(&sandbox, "one").await, pods(&sandbox, "two").await),
        running,
        "the same pods"
    );
    helm::assert_nothing_forbidden().await;

    sandbox
        .kubectl(&["delete", "mcps", "--all", "--timeout=60s"])
        .await;
    eventually(PODS, "every child and pod to be gone", || async {
        let children = [sandbox.children("one").await, sandbox.children("two").await];
        let kinds: Vec<_> = children
            .into_iter()
            .flat_map(std::collections::BTreeMap::into_keys)
            .collect();
        let pods = pods(&sandbox, "one").await.len() + pods(&sandbox, "two").await.len();
        when(kinds.is_empty() && pods == 0, (kinds, pods))
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_brings_the_definition_up_to_date() {
    let _operator = operator_alone().await;
    let sandbox = Sandbox::namespace_only("upgrade", &[]).await;
    sandbox.submit("jobs", json!({"replicas": 0})).await;
    let old = std::env::temp_dir().join(format!("iam-mcp-e2e-chart-{}", std::process::id()));
    helm::copy_chart(&old, NOW, ONCE);
    helm::install(old.to_str().unwrap()).await;
    std::fs::remove_dir_all(&old).unwrap();
    assert!(definition().await.contains(ONCE));
    helm::install(helm::CHART).await;
    let upgraded = definition().await;
    assert!(upgraded.contains(NOW) && !upgraded.contains(ONCE));
    sandbox
        .api::<McpServer>()
        .get("jobs")
        .await
        .expect("the server is there");
    sandbox
        .api::<McpServer>()
        .delete("jobs", &DeleteParams::default())
        .await
        .unwrap();
    eventually(SOON, "it to go", || async {
        when(sandbox.children("jobs").await.is_empty(), "children")
    })
    .await;
    helm::assert_nothing_forbidden().await;
}
