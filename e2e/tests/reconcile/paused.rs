//! `paused: true`: nothing is written but the status.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::api::DeleteParams;
use serde_json::json;

#[tokio::test]
async fn nothing_is_written_while_it_is_true() {
    let mut sandbox = Sandbox::new("paused").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    sandbox.change(NAME, json!({"paused": true})).await;
    let why = sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::Paused)
        .await;
    assert!(why.contains("spec.paused is true"), "{why}");
    sandbox.event(NAME, "Paused", &["spec.paused is true"]).await;
    sandbox.quiet().await;

    // A change of the resource, an edit, a deletion.
    sandbox
        .change(NAME, json!({"logLevel": "DEBUG", "replicas": 5, "ingress": {}}))
        .await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=3"])
        .await;
    sandbox
        .api::<Service>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::Paused)
        .await;
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 2).await;
    let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
    assert_eq!(
        kinds,
        ["Deployment", "PodDisruptionBudget", "Secret", "ServiceAccount"]
    );
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let spec = serde_json::to_value(deployment.spec).unwrap();
    assert_eq!(spec["replicas"], 3);
    assert!(!spec.to_string().contains("DEBUG"), "{spec}");
    // Counted from its start, a new operator has written nothing at all.
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.looked_at(1).await;
    assert_eq!(sandbox.operator().writes().await, 0);
    assert_eq!(sandbox.events(NAME, "Paused").await.len(), 1, "told once");

    sandbox.change(NAME, json!({"paused": null})).await;
    sandbox.event(NAME, "Resumed", &[]).await;
    sandbox
        .child::<Deployment>(NAME, "what was asked for meanwhile", |d| {
            let spec = serde_json::to_value(&d.spec).unwrap();
            spec["replicas"] == 5 && spec.to_string().contains("DEBUG")
        })
        .await;
    eventually(SOON, "all children", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.len() == 6, kinds)
    })
    .await;
    sandbox.settle(NAME).await;
    sandbox
        .condition(NAME, ConditionType::Progressing, true, Reason::RolloutInProgress)
        .await;
}

#[tokio::test]
async fn a_server_can_be_made_paused() {
    let sandbox = Sandbox::new("paused").await;
    sandbox
        .submit(NAME, json!({"paused": true, "serviceAccountName": "absent"}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::Paused)
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox.quiet().await;
    assert!(sandbox.children(NAME).await.is_empty());
    // A spec that is wrong is told all the same.
    sandbox
        .change(NAME, json!({"podTemplate": {"spec": {"hostNetwork": true}}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
        .await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::Paused)
        .await;
    assert_eq!(sandbox.events(NAME, "Paused").await.len(), 1);
    assert!(sandbox.events(NAME, "Resumed").await.is_empty());
    let server: McpServer = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(server.status.unwrap().replicas, None);
}
