//! Deleting a server takes every child along, and none is made again.

use iam_mcp_crds::McpServer;
use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use kube::{ResourceExt as _, api::DeleteParams};
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
    assert_eq!(sandbox.children("stays").await.len(), 4, "the other server stays");
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
            owners.len() == 6 && owners.iter().all(|uid| Some(uid) == server.uid().as_ref()),
            owners,
        )
    })
    .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}
