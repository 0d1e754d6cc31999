//! Traps about the fields of others: they are overwritten, or fought over.

use std::time::{Duration, Instant};

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service,
    networking::v1::Ingress,
};
use kube::api::DeleteParams;
use serde_json::json;

use crate::{autoscaler, autoscaler::foreign_autoscaler, full, lowest::Lowest, replicas::count};

/// How long an injector and the operator are watched.
const FIGHT: Duration = Duration::from_secs(10);

/// A spec that the API server writes in other words: quantities, defaults, empty values.
fn unusual() -> serde_json::Value {
    json!({
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}},
        "env": [{"name": "EMPTY", "value": ""}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"configMapRef": {"name": "settings", "optional": true}}],
        "jobSearch": {"rapidApi": {"keySecretRef": {"name": "absent", "key": "key"}}},
        "service": {"sessionAffinity": "None"},
        "cors": {"origins": ["*"]},
    })
}

/// Seen in others: a full-object update, or a comparison with what the API server has not filled in yet, writes for ever.
#[tokio::test]
async fn comparing_with_undefaulted_desired_state() {
    let mut sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, unusual()).await;
    let before = (sandbox.versions(NAME).await, sandbox.operator().writes().await);
    sandbox.passes(NAME, 1).await;
    let touched = sandbox.versions(NAME).await;
    sandbox.passes(NAME, 2).await;
    assert_eq!(
        sandbox.operator().writes().await,
        before.1,
        "writes after the first pass"
    );
    assert_eq!(touched.len(), before.0.len());

    let before = sandbox.versions(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    assert_eq!(
        sandbox.versions(NAME).await,
        before,
        "a new operator changes nothing"
    );
}

/// Seen in others: the number of pods goes back within milliseconds, or at the next change.
#[tokio::test]
async fn reverting_kubectl_scale() {
    let mut sandbox = Sandbox::new("replicas").await;
    sandbox.serve(NAME, json!({})).await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=5"])
        .await;
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 2).await;
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    assert_eq!(count(&sandbox.api().get(NAME).await.unwrap()), 5);
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

/// Seen in others: a forced apply, or an update of the whole object, takes `restartedAt` and injected labels away.
#[tokio::test]
async fn reverting_rollout_restart_and_foreign_keys() {
    let mut sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    sandbox.kubectl(&["rollout", "restart", "deployment/jobs"]).await;
    let foreign = || json!({"labels": {"injected": "yes"}, "annotations": {"example.com/injected": "yes"}});
    let patch = json!({"metadata": foreign(), "spec": {"template": {"metadata": foreign()}}});
    sandbox.patch::<Deployment>(NAME, "an-injector", patch).await;
    sandbox
        .patch::<Service>(NAME, "an-injector", json!({"metadata": foreign()}))
        .await;
    sandbox.settle(NAME).await;
    let before = sandbox.versions(NAME).await;

    sandbox.passes(NAME, 3).await;
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;

    let after = sandbox.versions(NAME).await;
    assert_eq!(after["Service"], before["Service"], "the Service was written");
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let template = deployment.spec.unwrap().template.metadata.unwrap();
    for metadata in [
        deployment.metadata,
        template.clone(),
        sandbox.api::<Service>().get(NAME).await.unwrap().metadata,
    ] {
        assert_eq!(metadata.labels.unwrap()["injected"], "yes");
        assert_eq!(metadata.annotations.unwrap()["example.com/injected"], "yes");
    }
    assert!(
        template
            .annotations
            .unwrap()
            .contains_key("kubectl.kubernetes.io/restartedAt")
    );
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

/// Seen in others: a foreign key is taken for a difference, and each pass writes.
#[tokio::test]
async fn comparing_whole_label_and_annotation_maps() {
    let sandbox = Sandbox::new("noop").await;
    sandbox.serve(NAME, full()).await;
    let writes = sandbox.operator().writes().await;
    let touch = || json!({"metadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "b"}}});
    sandbox.patch::<McpServer>(NAME, "a-person", touch()).await;
    sandbox.patch::<Service>(NAME, "a-person", touch()).await;
    sandbox.patch::<Ingress>(NAME, "a-person", touch()).await;
    sandbox.passes(NAME, 3).await;
    let metrics = sandbox.operator().metrics().await;
    let now = metrics.sum("mcp_operator_api_writes_total", &[]);
    assert_eq!(now, writes, "{:?}", metrics.of("mcp_operator_api_writes"));
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

/// Seen in others: its number is fought, or it is deleted.
#[tokio::test]
async fn a_users_autoscaler() {
    let sandbox = Sandbox::new("autoscaler").await;
    sandbox.serve(NAME, json!({"replicas": 5})).await;
    let lowest = Lowest::watch(&sandbox, NAME).await;
    sandbox
        .create::<HorizontalPodAutoscaler>(foreign_autoscaler(3))
        .await;
    sandbox.quiet().await;
    sandbox
        .kubectl(&["scale", "deployment/jobs", "--replicas=7"])
        .await;
    sandbox.settle(NAME).await;
    let writes = sandbox.operator().writes().await;
    sandbox.passes(NAME, 2).await;
    assert_eq!(autoscaler::count(&sandbox).await, 7, "the HPA's side may scale");
    assert_eq!(
        sandbox.operator().writes().await,
        writes,
        "and the operator does not write"
    );
    assert!(lowest.until_now() >= 5, "fell to {}", lowest.until_now());
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());

    sandbox
        .api::<HorizontalPodAutoscaler>()
        .delete("by-hand", &DeleteParams::default())
        .await
        .unwrap();
    sandbox
        .child::<Deployment>(NAME, "the number of the spec again", |d| {
            d.spec.as_ref().unwrap().replicas == Some(5)
        })
        .await;
    assert!(lowest.until_now() >= 5, "fell to {}", lowest.until_now());
}

/// Seen in others: the annotation is taken away as often as the injector puts it there; in 30 seconds the generation climbed
/// by 150 and more.
#[tokio::test]
async fn an_injector_that_puts_its_annotation_back() {
    let sandbox = Sandbox::new("injector").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let api = sandbox.api::<Deployment>();
    let before: Deployment = api.get(NAME).await.unwrap();
    let writes = sandbox.operator().writes().await;
    let injected = json!({"metadata": {"annotations": {"example.com/injected": "yes"}}});
    let (start, mut puts, mut passes) = (Instant::now(), 0, 0);
    while start.elapsed() < FIGHT {
        let live: Deployment = api.get(NAME).await.unwrap();
        let template = live.spec.unwrap().template.metadata.unwrap();
        let there = template
            .annotations
            .is_some_and(|a| a.contains_key("example.com/injected"));
        if !there {
            puts += 1;
            sandbox
                .patch::<Deployment>(NAME, "an-injector", json!({"spec": {"template": &injected}}))
                .await;
        }
        passes += 1;
        sandbox.passes(NAME, 1).await;
    }
    let after: Deployment = api.get(NAME).await.unwrap();
    // Each pass is brought about by an annotation of the Deployment, which counts there.
    let climbed = after.metadata.generation.unwrap() - before.metadata.generation.unwrap();
    assert_eq!(
        (puts, climbed),
        (1, 1 + passes),
        "put once, and left alone in {passes} passes"
    );
    assert_eq!(sandbox.operator().writes().await, writes);
}
