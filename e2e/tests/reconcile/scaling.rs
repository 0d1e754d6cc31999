//! What the HPA and the PodDisruptionBudget of a server say, and that they are written once.

use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, policy::v1::PodDisruptionBudget,
};
use serde_json::{Value, json};

async fn hpa(sandbox: &Sandbox) -> Value {
    let hpa = sandbox.api::<HorizontalPodAutoscaler>().get(NAME).await.unwrap();
    serde_json::to_value(hpa.spec).unwrap()
}

fn metric(resource: &str, percent: i32) -> Value {
    json!({
        "type": "ContainerResource",
        "containerResource": {
            "container": NAME, "name": resource,
            "target": {"type": "Utilization", "averageUtilization": percent},
        },
    })
}

#[tokio::test]
async fn the_server_container_alone_is_measured_and_pods_go_after_five_calm_minutes() {
    let sandbox = Sandbox::new("scaling").await;
    sandbox.serve(NAME, json!({"autoscaling": {}})).await;
    let spec = hpa(&sandbox).await;
    assert_eq!(spec["metrics"], json!([metric("cpu", 70)]));
    assert_eq!(spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 300);
    let deployment = sandbox.api::<Deployment>().get(NAME).await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].name, NAME, "the HPA names this container");
}

#[tokio::test]
async fn memory_and_behavior_are_written_once() {
    let mut sandbox = Sandbox::new("scaling").await;
    let spec = json!({
        "resources": {"requests": {"cpu": "50m"}},
        "autoscaling": {
            "memoryUtilization": 80,
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 30, "selectPolicy": "Min",
                            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60},
                                         {"type": "Pods", "value": 2, "periodSeconds": 60}]},
                "scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]},
            },
        },
    });
    sandbox.serve(NAME, spec).await;
    let spec = hpa(&sandbox).await;
    assert_eq!(spec["metrics"], json!([metric("cpu", 70), metric("memory", 80)]));
    let behavior = &spec["behavior"];
    assert_eq!(behavior["scaleUp"]["selectPolicy"], "Min");
    assert_eq!(behavior["scaleUp"]["policies"].as_array().unwrap().len(), 2);
    assert_eq!(behavior["scaleDown"]["stabilizationWindowSeconds"], 300);
    assert_eq!(
        behavior["scaleDown"]["policies"],
        json!([{"type": "Pods", "value": 1, "periodSeconds": 120}])
    );
    let deployment = sandbox.api::<Deployment>().get(NAME).await.unwrap();
    let container = deployment
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .containers
        .remove(0);
    assert!(
        container
            .resources
            .unwrap()
            .requests
            .unwrap()
            .contains_key("memory"),
        "an HPA on memory needs a memory request"
    );
    nothing_more_is_written(&mut sandbox).await;

    sandbox
        .change(
            NAME,
            json!({"autoscaling": {"memoryUtilization": null, "behavior": null}}),
        )
        .await;
    sandbox
        .child::<HorizontalPodAutoscaler>(NAME, "CPU alone", |hpa| {
            hpa.spec.as_ref().unwrap().metrics.as_ref().unwrap().len() == 1
        })
        .await;
    sandbox.settle(NAME).await;
    let spec = hpa(&sandbox).await;
    assert_eq!(spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 300);
    assert_ne!(spec["behavior"]["scaleUp"]["selectPolicy"], "Min", "{spec}");
    nothing_more_is_written(&mut sandbox).await;
}

/// Neither by more passes nor by another operator.
pub(crate) async fn nothing_more_is_written(sandbox: &mut Sandbox) {
    sandbox.settle(NAME).await;
    let before = (sandbox.versions(NAME).await, sandbox.operator().writes().await);
    sandbox.passes(NAME, 2).await;
    assert_eq!(
        sandbox.operator().writes().await,
        before.1,
        "writes of later passes: {:?}",
        sandbox.operator().metrics().await.of("mcp_operator_api_writes")
    );
    let before = sandbox.versions(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    let metrics = sandbox.operator().metrics().await;
    assert_eq!(
        metrics.sum("mcp_operator_api_writes_total", &[]),
        0,
        "writes of a new operator: {:?}",
        metrics.of("mcp_operator_api_writes")
    );
    assert_eq!(sandbox.versions(NAME).await, before);
}

async fn most_unavailable(sandbox: &Sandbox, want: Value) {
    sandbox
        .child::<PodDisruptionBudget>(NAME, &format!("a budget of {want}"), |pdb| {
            serde_json::to_value(&pdb.spec).unwrap()["maxUnavailable"] == want
        })
        .await;
}

async fn no_budget(sandbox: &Sandbox) {
    eventually(SOON, "no budget", || async {
        let found = sandbox.api::<PodDisruptionBudget>().get_opt(NAME).await.unwrap();
        when(found.is_none(), found)
    })
    .await;
}

#[tokio::test]
async fn the_budget_is_as_asked_for_and_none_for_one_pod() {
    let mut sandbox = Sandbox::new("scaling").await;
    sandbox.serve(NAME, json!({"replicas": 4})).await;
    most_unavailable(&sandbox, json!(1)).await;
    sandbox
        .change(NAME, json!({"disruption": {"maxUnavailable": "25%"}}))
        .await;
    most_unavailable(&sandbox, json!("25%")).await;
    nothing_more_is_written(&mut sandbox).await;
    sandbox
        .change(NAME, json!({"disruption": {"maxUnavailable": 3}}))
        .await;
    most_unavailable(&sandbox, json!(3)).await;

    sandbox.change(NAME, json!({"replicas": 1})).await;
    no_budget(&sandbox).await;
    sandbox.change(NAME, json!({"replicas": 2})).await;
    most_unavailable(&sandbox, json!(3)).await;
    sandbox
        .change(
            NAME,
            json!({"disruption": {"enabled": false, "maxUnavailable": null}}),
        )
        .await;
    no_budget(&sandbox).await;
    sandbox.change(NAME, json!({"disruption": null})).await;
    most_unavailable(&sandbox, json!(1)).await;
}
