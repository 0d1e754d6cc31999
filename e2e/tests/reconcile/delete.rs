//! Deleting a server takes every child along, and none is made again.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::DeleteParams};
use serde_json::json;

use crate::full;

async fn takes_all_along(params: DeleteParams) {
    let sandbox = Sandbox::new("delete").await;
    sandbox.serve(NAME, full()).await;
    sandbox.serve("stays", json!({})).await;
    let writes = sandbox.operator().writes().await;
    sandbox.api::<McpServer>().delete(NAME, &params).await.unwrap();
    eventually(SOON, "the server and its children to be gone", || async {
        let server = sandbox
            .api::<McpServer>()
            .get_opt(NAME)
            .await
            .map_err(|e| e.to_string())?;
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(server.is_none() && kinds.is_empty(), kinds)
    })
    .await;
    sandbox.quiet().await;
    assert!(
        sandbox.children(NAME).await.is_empty(),
        "something was made again"
    );
    assert_eq!(sandbox.children("stays").await.len(), 5, "the other server stays");
    let metrics = sandbox.operator().metrics().await;
    let now = metrics.sum("mcp_operator_api_writes_total", &[]);
    assert_eq!(
        now,
        writes,
        "writes while it goes: {:?}",
        metrics.of("mcp_operator_api_writes")
    );
}

#[tokio::test]
async fn in_the_background() {
    takes_all_along(DeleteParams::background()).await;
}

#[tokio::test]
async fn in_the_foreground() {
    takes_all_along(DeleteParams::foreground()).await;
}

#[tokio::test]
async fn a_server_made_anew_at_once_gets_children_of_its_own() {
    let sandbox = Sandbox::new("delete").await;
    sandbox.serve(NAME, full()).await;
    sandbox
        .api::<McpServer>()
        .delete(NAME, &DeleteParams::background())
        .await
        .unwrap();
    eventually(SOON, "the server to be gone", || async {
        let server = sandbox
            .api::<McpServer>()
            .get_opt(NAME)
            .await
            .map_err(|e| e.to_string())?;
        when(server.is_none(), "it is there")
    })
    .await;
    let server = sandbox.submit(NAME, full()).await;
    eventually(SOON, "children of the new server", || async {
        let children = sandbox.children(NAME).await;
        let owners: Vec<_> = children
            .values()
            .map(|c| c.owner_references()[0].uid.clone())
            .collect();
        when(
            owners.len() == 7 && owners.iter().all(|uid| Some(uid) == server.uid().as_ref()),
            owners,
        )
    })
    .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn a_namespace_that_goes_is_no_failure() {
    let sandbox = Sandbox::new("delete").await;
    for name in ["one", "two", "three"] {
        sandbox.serve(name, full()).await;
    }
    let namespaces: Api<Namespace> = Api::all(sandbox.client.clone());
    namespaces
        .delete(sandbox.namespace(), &DeleteParams::default())
        .await
        .unwrap();
    eventually(Duration::from_mins(1), "the namespace to go", || async {
        let found = namespaces
            .get_opt(sandbox.namespace())
            .await
            .map_err(|e| e.to_string())?;
        when(found.is_none(), found.map(|n| n.status))
    })
    .await;
    sandbox.quiet().await;
    let metrics = sandbox.operator().metrics().await;
    let outcomes = metrics.of("mcp_operator_reconciliations_total");
    assert!(
        outcomes.iter().all(|(outcome, _)| outcome.contains("\"ok\"")),
        "{outcomes:?}"
    );
}
