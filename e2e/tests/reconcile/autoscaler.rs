//! An HPA, ours or somebody's, owns the number of pods, and the way there and back makes no dip.

use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use serde_json::{Value, json};

use crate::lowest::Lowest;

pub(crate) fn foreign_autoscaler(min: i32) -> Value {
    json!({
        "metadata": {"name": "by-hand"},
        "spec": {
            "minReplicas": min, "maxReplicas": 10,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        },
    })
}

pub(crate) async fn count(sandbox: &Sandbox) -> i32 {
    sandbox
        .api::<Deployment>()
        .get(NAME)
        .await
        .unwrap()
        .spec
        .unwrap()
        .replicas
        .unwrap()
}

#[tokio::test]
async fn an_autoscaler_made_while_no_operator_ran_takes_over_too() {
    let mut sandbox = Sandbox::new("autoscaler").await;
    sandbox.serve(NAME, json!({"replicas": 5})).await;
    sandbox.stop_operator().await;
    sandbox
        .create::<HorizontalPodAutoscaler>(foreign_autoscaler(6))
        .await;
    sandbox
        .child::<Deployment>(NAME, "the HPA to act", |d| {
            d.spec.as_ref().unwrap().replicas == Some(6)
        })
        .await;
    let lowest = Lowest::watch(&sandbox, NAME).await;
    sandbox.start_operator().await;
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!((count(&sandbox).await, lowest.until_now()), (6, 6));
}

#[tokio::test]
async fn ours_switched_on_and_off_never_resets_the_number() {
    let sandbox = Sandbox::new("autoscaler").await;
    sandbox.serve(NAME, json!({"replicas": 5})).await;
    let lowest = Lowest::watch(&sandbox, NAME).await;
    sandbox
        .change(NAME, json!({"autoscaling": {"minReplicas": 3}}))
        .await;
    sandbox
        .child::<HorizontalPodAutoscaler>(NAME, "our HPA", |_| true)
        .await;
    sandbox.settle(NAME).await;
    assert_eq!(count(&sandbox).await, 5, "the live number stays");
    sandbox.change(NAME, json!({"replicas": null})).await;
    sandbox.settle(NAME).await;
    sandbox.change(NAME, json!({"autoscaling": null})).await;
    eventually(SOON, "our HPA to go", || async {
        let found = sandbox
            .api::<HorizontalPodAutoscaler>()
            .get_opt(NAME)
            .await
            .map_err(|e| e.to_string())?;
        when(found.is_none(), "it is there")
    })
    .await;
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!((count(&sandbox).await, lowest.until_now()), (5, 5));
}
