//! One operator for several namespaces.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    operator::Operator,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

#[tokio::test]
async fn the_list_of_one_namespace_does_not_hide_the_servers_of_another() {
    let sandboxes = [
        Sandbox::without_operator("first").await,
        Sandbox::without_operator("second").await,
        Sandbox::without_operator("third").await,
    ];
    let names: Vec<_> = sandboxes.iter().map(Sandbox::namespace).collect();
    let operator = Operator::start(&names.join(",")).await;
    for sandbox in &sandboxes {
        sandbox.submit(NAME, json!({"replicas": 0})).await;
        sandbox
            .condition(NAME, ConditionType::Progressing, false, Reason::RolloutComplete)
            .await;
    }
    operator.stop().await;
    // Now nothing is written that would bring a server back to mind.
    let operator = Operator::start(&names.join(",")).await;
    eventually(SOON, "each server to be looked at", || async {
        let passes = operator.passes().await;
        when(passes >= 3, passes)
    })
    .await;
    for sandbox in &sandboxes {
        sandbox
            .patch::<Deployment>(NAME, "a-person", json!({"spec": {"replicas": 3}}))
            .await;
        sandbox
            .child::<Deployment>(NAME, "its replicas put back", |deployment| {
                deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
            })
            .await;
    }
}
