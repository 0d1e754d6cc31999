//! What the operator sets so that open sessions survive the end of their pod: time for it, and a budget
//! of pods that may go at a time.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::PodSpec,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;

fn pod(deployment: &Deployment) -> PodSpec {
    let spec = deployment.spec.as_ref().and_then(|s| s.template.spec.clone());
    spec.unwrap_or_default()
}

/// The grace period, and the settings of the server that belong to it.
pub(crate) fn drain(deployment: &Deployment) -> (Option<i64>, Option<String>, Option<String>) {
    let pod = pod(deployment);
    let env = pod.containers[0].env.clone().unwrap_or_default();
    let value = |name: &str| env.iter().find(|v| v.name == name).and_then(|v| v.value.clone());
    (
        pod.termination_grace_period_seconds,
        value("DRAIN_SECONDS"),
        value("DRAIN_IDLE_SECONDS"),
    )
}

#[tokio::test]
async fn a_pod_knows_itself_and_has_a_door_for_the_others() {
    let sandbox = Sandbox::new("sessions").await;
    sandbox.serve(NAME, json!({})).await;
    let container = pod(&sandbox.api().get(NAME).await.unwrap()).containers.remove(0);
    let ports = container.ports.unwrap_or_default();
    let peer = ports.iter().find(|p| p.name.as_deref() == Some("peer")).unwrap();
    let env = container.env.unwrap_or_default();
    let variable = |name: &str| env.iter().find(|v| v.name == name).unwrap();
    assert_eq!(
        variable("PEER_PORT").value.as_deref(),
        Some(peer.container_port.to_string().as_str())
    );
    for (name, path) in [("POD_IP", "status.podIP"), ("POD_UID", "metadata.uid")] {
        let source = variable(name)
            .value_from
            .as_ref()
            .and_then(|v| v.field_ref.as_ref());
        assert_eq!(source.map(|f| f.field_path.as_str()), Some(path), "{name}");
    }
}

async fn budget(sandbox: &Sandbox) -> PodDisruptionBudget {
    sandbox
        .child::<PodDisruptionBudget>(NAME, "the budget as it should be", |budget| {
            let spec = budget.spec.as_ref();
            spec.is_some_and(|s| s.max_unavailable == Some(IntOrString::Int(1)) && s.min_available.is_none())
        })
        .await
}

async fn no_budget(sandbox: &Sandbox) {
    eventually(SOON, "the budget to be gone", || async {
        let found = sandbox.api::<PodDisruptionBudget>().get_opt(NAME).await;
        when(found.map_err(|e| e.to_string())?.is_none(), "it is there")
    })
    .await;
}

#[tokio::test]
async fn a_budget_comes_with_the_second_pod_and_goes_with_it() {
    let sandbox = Sandbox::new("budget").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    no_budget(&sandbox).await;
    sandbox.change(NAME, json!({"replicas": 2})).await;
    let spec = budget(&sandbox).await.spec.unwrap();
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(
        spec.selector,
        Some(deployment.spec.unwrap().selector),
        "of the Deployment's pods"
    );
    assert_eq!(spec.unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
    sandbox
        .event(NAME, "Created", &["PodDisruptionBudget/jobs"])
        .await;
    sandbox.change(NAME, json!({"replicas": 1})).await;
    no_budget(&sandbox).await;
    sandbox.event(NAME, "Pruned", &["PodDisruptionBudget/jobs"]).await;
}

#[tokio::test]
async fn a_budget_stands_where_somebody_else_decides_on_the_number() {
    let sandbox = Sandbox::new("budget").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    no_budget(&sandbox).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    let hpa = json!({"metadata": {"name": "by-hand"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}});
    sandbox.create::<HorizontalPodAutoscaler>(hpa).await;
    budget(&sandbox).await;
    sandbox
        .api::<HorizontalPodAutoscaler>()
        .delete("by-hand", &DeleteParams::default())
        .await
        .unwrap();
    no_budget(&sandbox).await;

    sandbox.change(NAME, json!({"replicas": null})).await;
    budget(&sandbox).await;
    let one = json!({"minReplicas": 1, "maxReplicas": 1});
    sandbox.change(NAME, json!({"autoscaling": one})).await;
    no_budget(&sandbox).await;
    sandbox
        .change(NAME, json!({"autoscaling": {"maxReplicas": 2}}))
        .await;
    budget(&sandbox).await;
}

#[tokio::test]
async fn an_edited_or_deleted_budget_is_put_back() {
    let sandbox = Sandbox::new("budget").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let first = budget(&sandbox).await;
    let patch = json!({"spec": {"maxUnavailable": "100%"}});
    sandbox
        .patch::<PodDisruptionBudget>(NAME, "a-person", patch)
        .await;
    budget(&sandbox).await;
    let parts = [
        "PodDisruptionBudget/jobs",
        "spec.maxUnavailable was \"100%\"",
        "put back to 1",
        "by a-person",
    ];
    sandbox.event(NAME, "DriftRepaired", &parts).await;
    sandbox
        .api::<PodDisruptionBudget>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    assert_ne!(budget(&sandbox).await.uid(), first.uid());
    sandbox
        .event(
            NAME,
            "DriftRepaired",
            &["PodDisruptionBudget/jobs had been deleted"],
        )
        .await;
}

/// The API server refuses a budget that has a least and a most, so an apply beside the edit cannot succeed.
#[tokio::test]
async fn a_budget_turned_into_a_least_is_put_back() {
    let mut sandbox = Sandbox::new("budget").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    budget(&sandbox).await;
    let least = || json!({"spec": {"maxUnavailable": null, "minAvailable": 2}});
    sandbox
        .patch::<PodDisruptionBudget>(NAME, "a-person", least())
        .await;
    budget(&sandbox).await;
    sandbox
        .event(NAME, "DriftRepaired", &["PodDisruptionBudget/jobs"])
        .await;

    sandbox.stop_operator().await;
    sandbox
        .patch::<PodDisruptionBudget>(NAME, "a-person", least())
        .await;
    sandbox.start_operator().await;
    budget(&sandbox).await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox.quiet().await;
    let writes = sandbox.operator().writes().await;
    sandbox.passes(NAME, 2).await;
    assert_eq!(
        sandbox.operator().writes().await,
        writes,
        "and then it is left alone"
    );
}
