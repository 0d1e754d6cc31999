//! A server that runs a release which the operator does not support goes on, and says so.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    conditions, operator::Operator, poll::SOON, poll::eventually, sandbox::Sandbox, servers::NAME,
};
use serde_json::json;

/// A release of the server of this operator's, moved by so many majors and minors.
fn release(majors: u64, minors: u64) -> String {
    let mut own = env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|number| number.parse::<u64>().unwrap());
    let (major, minor) = (own.next().unwrap() + majors, own.next().unwrap() + minors);
    format!("registry.example.com/iam-mcp-server:{major}.{minor}.0")
}

async fn operator(sandbox: &Sandbox, image: &str) -> Operator {
    Operator::start_with(sandbox.namespace(), &["--server-image", image]).await
}

#[tokio::test]
async fn an_unsupported_release_runs_on_and_is_told() {
    let (far, own) = (release(9, 0), release(0, 0));
    let sandbox = Sandbox::without_operator("skew").await;
    let before = operator(&sandbox, &far).await;
    sandbox.submit(NAME, json!({"replicas": 0})).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::ReleaseUnsupported)
        .await;
    // The Deployment's own status is written until then.
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::RolloutComplete)
        .await;
    before.stop().await;
    let versions = sandbox.versions(NAME).await;

    // An upgrade of the operator is still no reason to touch it.
    let _after = operator(&sandbox, &own).await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::UpdateHeldBack)
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::ReleaseUnsupported)
        .await;
    let (_, tag) = far.rsplit_once(':').unwrap();
    assert!(message.contains(tag), "{message}");
    assert_eq!(sandbox.versions(NAME).await, versions, "no child is written");
    sandbox.event(NAME, "ReleaseUnsupported", &[tag]).await;

    // The way out that the message names.
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    let server = sandbox.api::<McpServer>().get(NAME).await.unwrap();
    let image = server.status.as_ref().and_then(|status| status.image.clone());
    assert_eq!(image.as_deref(), Some(&*own), "{}", conditions::tell(&server));
}

#[tokio::test]
async fn a_supported_release_is_held_back_without_a_word() {
    let sandbox = Sandbox::without_operator("skew").await;
    let before = operator(&sandbox, &release(0, 1)).await;
    sandbox.submit(NAME, json!({"replicas": 0})).await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::RolloutComplete)
        .await;
    before.stop().await;
    let _after = operator(&sandbox, &release(0, 0)).await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::UpdateHeldBack)
        .await;
    eventually(SOON, "nothing to need a person", || async {
        let server = sandbox
            .api::<McpServer>()
            .get(NAME)
            .await
            .map_err(|e| e.to_string())?;
        conditions::condition(&server, ConditionType::Degraded, false, Reason::AsExpected)
    })
    .await;
}
