//! What somebody changes by hand is put back, and the event says what to change instead.

use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;

pub(crate) fn image(deployment: &Deployment) -> String {
    let pod = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    pod.and_then(|p| p.containers[0].image.clone())
        .unwrap_or_default()
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
