//! Traps about drift: what people change or delete is not put back, and what is theirs is taken.

use std::time::{Duration, Instant};

use iam_mcp_crds::{ConditionType, Reason};
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

use crate::{
    conflict::is_left_alone,
    drift::image,
    drift_service::{edit, repaired},
};

/// Generous: the machine may be busy. What it takes is printed.
const REPAIR: Duration = Duration::from_secs(10);

/// Seen in others: an edited Deployment is never looked at again.
#[tokio::test]
async fn a_tampered_deployment() {
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

/// Seen in others: it never comes back.
#[tokio::test]
async fn a_deleted_service_or_deployment() {
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

/// Seen in others: it stays.
#[tokio::test]
async fn an_edited_service_target_port() {
    let sandbox = Sandbox::new("service").await;
    sandbox.serve(NAME, json!({})).await;
    edit(
        &sandbox,
        json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]),
    )
    .await;
    repaired(&sandbox).await;
    sandbox
        .event(NAME, "DriftRepaired", &["targetPort was 9999", "by kubectl-edit"])
        .await;
}

/// Seen in others: it stays, or stands beside the right one.
#[tokio::test]
async fn an_edited_service_port() {
    let sandbox = Sandbox::new("service").await;
    sandbox.serve(NAME, json!({})).await;
    // Ports are a list keyed by number: an apply alone would put a second port beside this one.
    edit(
        &sandbox,
        json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 8081}]),
    )
    .await;
    repaired(&sandbox).await;
    sandbox
        .event(NAME, "DriftRepaired", &["Service/jobs", "by kubectl-edit"])
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
}

/// Seen in others: all traffic is cut, and a comparison of subsets does not see it.
#[tokio::test]
async fn a_foreign_key_in_the_services_selector() {
    let sandbox = Sandbox::new("service").await;
    sandbox.serve(NAME, json!({})).await;
    edit(
        &sandbox,
        json!([{"op": "add", "path": "/spec/selector/tier", "value": "front"}]),
    )
    .await;
    sandbox
        .child::<Service>(NAME, "the foreign key to go", |service| {
            service
                .spec
                .as_ref()
                .and_then(|s| s.selector.as_ref())
                .is_some_and(|s| !s.contains_key("tier"))
        })
        .await;
    sandbox
        .event(NAME, "DriftRepaired", &["spec.selector", "tier"])
        .await;
}

/// Seen in others: left alone by luck, for its selector cannot be changed.
#[tokio::test]
async fn a_foreign_deployment_of_that_name() {
    let template = json!({
        "metadata": {"labels": {"app": "other"}},
        "spec": {"containers": [{"name": "other", "image": "example.com/other:1"}]},
    });
    let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "other"}}, "template": template});
    is_left_alone::<Deployment>(
        NAME,
        "Deployment/jobs",
        json!({"metadata": {"name": NAME}, "spec": spec}),
    )
    .await;
}

/// Seen in others: overwritten, taken over, and deleted along with the server.
#[tokio::test]
async fn a_foreign_service_of_that_name() {
    let spec = json!({"selector": {"app": "other"}, "ports": [{"port": 1234}]});
    is_left_alone::<Service>(
        NAME,
        "Service/jobs",
        json!({"metadata": {"name": NAME}, "spec": spec}),
    )
    .await;
}
