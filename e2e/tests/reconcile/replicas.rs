//! Who owns the number of pods: the resource when it sets it, else whoever scales.

use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

pub(crate) fn count(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(-1)
}

#[tokio::test]
async fn a_number_in_the_spec_is_kept() {
    let sandbox = Sandbox::new("replicas").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=5"])
        .await;
    sandbox
        .event(NAME, "DriftRepaired", &["spec.replicas was 5", "put back to 2"])
        .await;
    sandbox
        .child::<Deployment>(NAME, "2 pods again", |d| count(d) == 2)
        .await;
    sandbox.change(NAME, json!({"replicas": 0})).await;
    sandbox
        .child::<Deployment>(NAME, "no pods", |d| count(d) == 0)
        .await;
    eventually(SOON, "the status to say so", || async {
        let pods = sandbox.settle(NAME).await.status.and_then(|s| s.ready_pods);
        when(pods.as_deref() == Some("0/0"), pods)
    })
    .await;
}

#[tokio::test]
async fn a_number_taken_out_of_the_spec_stays_live() {
    let sandbox = Sandbox::new("replicas").await;
    sandbox.serve(NAME, json!({"replicas": 4})).await;
    let lowest = crate::lowest::Lowest::watch(&sandbox, NAME).await;
    sandbox.change(NAME, json!({"replicas": null})).await;
    sandbox.settle(NAME).await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=6"])
        .await;
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!(
        count(&sandbox.api().get(NAME).await.unwrap()),
        6,
        "it is a person's now"
    );
    assert_eq!(lowest.until_now(), 4, "it never fell");
    sandbox.change(NAME, json!({"replicas": 3})).await;
    sandbox
        .child::<Deployment>(NAME, "3 pods", |d| count(d) == 3)
        .await;
}
