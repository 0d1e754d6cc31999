//! Children that are no longer wanted go, and only those.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    OPERATOR,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, networking::v1::Ingress};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::full;

fn foreign_ingress(name: &str) -> Value {
    // The operator's own label does not make it the operator's.
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": OPERATOR}},
        "spec": {"defaultBackend": {"service": {"name": "other", "port": {"number": 80}}}},
    })
}

fn foreign_autoscaler(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": OPERATOR}},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}},
    })
}

#[tokio::test]
async fn what_is_taken_out_of_the_spec_is_deleted() {
    let sandbox = Sandbox::new("prune").await;
    sandbox.serve(NAME, full()).await;
    sandbox.serve("neighbour", full()).await;
    let neighbour = sandbox.versions("neighbour").await;
    let before = sandbox.versions(NAME).await;
    sandbox
        .change(NAME, json!({"ingress": null, "autoscaling": null}))
        .await;
    eventually(SOON, "Ingress and HPA to be deleted", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(
            kinds
                == [
                    "Deployment",
                    "PodDisruptionBudget",
                    "Secret",
                    "Service",
                    "ServiceAccount",
                ],
            kinds,
        )
    })
    .await;
    sandbox
        .event(NAME, "Pruned", &["Ingress/jobs", "HorizontalPodAutoscaler/jobs"])
        .await;
    sandbox.settle(NAME).await;
    let after = sandbox.versions(NAME).await;
    for kind in ["PodDisruptionBudget", "Secret", "Service", "ServiceAccount"] {
        assert_eq!(after[kind], before[kind], "{kind} stays as it was");
    }
    assert_eq!(
        sandbox.versions("neighbour").await,
        neighbour,
        "another server's children stay"
    );
}

#[tokio::test]
async fn it_is_deleted_too_when_no_operator_ran_meanwhile() {
    let mut sandbox = Sandbox::new("prune").await;
    sandbox.serve(NAME, full()).await;
    sandbox.stop_operator().await;
    sandbox
        .change(NAME, json!({"ingress": null, "autoscaling": null}))
        .await;
    sandbox.start_operator().await;
    eventually(SOON, "Ingress and HPA to be deleted", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.len() == 5, kinds)
    })
    .await;
}

#[tokio::test]
async fn a_foreign_object_of_the_same_name_stays() {
    let sandbox = Sandbox::new("prune").await;
    let ingress = sandbox.create::<Ingress>(foreign_ingress(NAME)).await;
    let hpa = sandbox
        .create::<HorizontalPodAutoscaler>(foreign_autoscaler(NAME))
        .await;
    sandbox.serve(NAME, json!({})).await;
    sandbox.passes(NAME, 2).await;
    let same = sandbox.api::<Ingress>().get(NAME).await.unwrap();
    assert_eq!(same.resource_version(), ingress.resource_version());
    assert_eq!(
        sandbox
            .api::<HorizontalPodAutoscaler>()
            .get(NAME)
            .await
            .unwrap()
            .uid(),
        hpa.uid()
    );

    // Asked for, they are in the way; taken back, they still are not the operator's to delete.
    sandbox.change(NAME, full()).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    sandbox
        .change(NAME, json!({"ingress": null, "autoscaling": null}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    sandbox.passes(NAME, 1).await;
    let same = sandbox.api::<Ingress>().get(NAME).await.unwrap();
    assert_eq!(same.resource_version(), ingress.resource_version());
    assert_eq!(
        sandbox
            .api::<HorizontalPodAutoscaler>()
            .get(NAME)
            .await
            .unwrap()
            .uid(),
        hpa.uid()
    );
    assert!(sandbox.events(NAME, "Pruned").await.is_empty());
}
