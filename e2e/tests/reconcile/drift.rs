//! What somebody changes by hand is put back, and the event says what to change instead.

use std::time::{Duration, Instant};

use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Service, ServiceAccount},
};
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;

/// Generous: the machine may be busy. What it takes is printed.
const REPAIR: Duration = Duration::from_secs(10);

fn image(deployment: &Deployment) -> String {
    let pod = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    pod.and_then(|p| p.containers[0].image.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn an_image_set_by_hand_is_put_back_and_the_event_says_what_to_do() {
    let sandbox = Sandbox::new("drift").await;
    sandbox
        .serve(NAME, json!({"image": "example.com/jobs:1.0"}))
        .await;
    sandbox
        .kubectl(&["set", "image", "deployment/jobs", "jobs=example.com/evil:2.0"])
        .await;
    let start = Instant::now();
    sandbox
        .child::<Deployment>(NAME, "the image to be put back", |d| {
            image(d) == "example.com/jobs:1.0"
        })
        .await;
    println!("image put back after {} ms", start.elapsed().as_millis());
    assert!(start.elapsed() < REPAIR);
    let edit = format!(
        "Change the McpServer instead: kubectl edit mcps jobs -n {}",
        sandbox.namespace()
    );
    let parts = [
        "Deployment/jobs",
        "containers[jobs].image",
        "example.com/evil:2.0",
        "by kubectl-set",
        edit.as_str(),
    ];
    sandbox.event(NAME, "DriftRepaired", &parts).await;
    let metrics = sandbox.operator().metrics().await;
    assert!(metrics.sum("mcp_operator_drift_repaired_total", &["kind=\"Deployment\""]) >= 1);
}

#[tokio::test]
async fn each_drift_is_told_in_its_own_words() {
    let sandbox = Sandbox::new("drift").await;
    sandbox
        .serve(NAME, json!({"image": "example.com/jobs:1.0", "replicas": 1}))
        .await;
    sandbox
        .kubectl(&["set", "image", "deployment/jobs", "jobs=example.com/evil:2.0"])
        .await;
    sandbox.event(NAME, "DriftRepaired", &["image"]).await;
    sandbox.settle(NAME).await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=4"])
        .await;
    sandbox
        .event(NAME, "DriftRepaired", &["spec.replicas was 4"])
        .await;
}

#[tokio::test]
async fn deleted_children_come_back() {
    let sandbox = Sandbox::new("drift").await;
    sandbox.serve(NAME, json!({})).await;
    let before = sandbox.versions(NAME).await;
    sandbox
        .api::<Service>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    let start = Instant::now();
    sandbox
        .child::<Service>(NAME, "the Service to come back", |_| true)
        .await;
    println!("Service back after {} ms", start.elapsed().as_millis());
    assert!(start.elapsed() < REPAIR);
    sandbox
        .event(
            NAME,
            "DriftRepaired",
            &["Service/jobs had been deleted", "Change the McpServer instead"],
        )
        .await;

    let old: Deployment = sandbox.api().get(NAME).await.unwrap();
    sandbox
        .api::<Deployment>()
        .delete(NAME, &DeleteParams::background())
        .await
        .unwrap();
    sandbox
        .child::<Deployment>(NAME, "the Deployment to come back", |d| d.uid() != old.uid())
        .await;
    sandbox
        .api::<ServiceAccount>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    eventually(SOON, "all children to be back", || async {
        let now = sandbox.versions(NAME).await;
        when(
            now.len() == before.len() && now["ServiceAccount"] != before["ServiceAccount"],
            now,
        )
    })
    .await;
}

#[tokio::test]
async fn a_removed_label_and_owner_are_put_back() {
    let sandbox = Sandbox::new("drift").await;
    let server = sandbox.serve(NAME, json!({})).await;
    // Without the label the operator's watch loses sight of it.
    let patch = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}});
    sandbox.patch::<Service>(NAME, "a-person", patch).await;
    sandbox
        .child::<Service>(NAME, "the label to be put back", |s| {
            s.labels()["app.kubernetes.io/managed-by"] == "iam-mcp-operator"
        })
        .await;
    let service: Service = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(service.owner_references()[0].uid, server.uid().unwrap());
}

#[tokio::test]
async fn what_changed_while_no_operator_ran_is_put_back() {
    let mut sandbox = Sandbox::new("drift").await;
    sandbox
        .serve(NAME, json!({"image": "example.com/jobs:1.0"}))
        .await;
    sandbox.stop_operator().await;
    sandbox
        .kubectl(&["set", "image", "deployment/jobs", "jobs=example.com/evil:2.0"])
        .await;
    sandbox
        .api::<Service>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    sandbox.start_operator().await;
    sandbox
        .child::<Deployment>(NAME, "the image to be put back", |d| {
            image(d) == "example.com/jobs:1.0"
        })
        .await;
    sandbox
        .child::<Service>(NAME, "the Service to come back", |_| true)
        .await;
}
