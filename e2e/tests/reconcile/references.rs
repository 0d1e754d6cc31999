//! What pods have as environment from Secrets and ConfigMaps: other content makes other pods, and nothing else does.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

fn spec() -> Value {
    json!({
        "replicas": 0, "envFrom": [{"configMapRef": {"name": "settings", "optional": true}}],
        "limits": {"urlSecretRef": {"name": "valkey", "key": "url"}},
    })
}

async fn make(sandbox: &Sandbox) {
    let secret = json!({"metadata": {"name": "valkey"}, "stringData": {"url": "redis://a", "other": "1"}});
    sandbox.create::<Secret>(secret).await;
    let settings = json!({"metadata": {"name": "settings"}, "data": {"LOG_TARGETS": "1"}});
    sandbox.create::<ConfigMap>(settings).await;
}

async fn digest(sandbox: &Sandbox) -> Option<String> {
    let deployment: Deployment = sandbox.api().get(NAME).await.expect("the Deployment");
    let metadata = deployment.spec?.template.metadata?;
    metadata.annotations?.get("iam-mcp.dev/references").cloned()
}

/// Waits for another digest than `before`, and gives it.
async fn other(sandbox: &Sandbox, before: Option<&str>) -> String {
    eventually(SOON, &format!("another digest than {before:?}"), || async {
        let digest = digest(sandbox).await;
        when(digest.as_deref() != before, &digest)?;
        digest.ok_or_else(|| "none".to_owned())
    })
    .await
}

#[tokio::test]
async fn other_content_makes_other_pods() {
    let mut sandbox = Sandbox::new("references").await;
    make(&sandbox).await;
    sandbox.serve(NAME, spec()).await;
    let first = digest(&sandbox).await.expect("a digest");
    assert!(!first.contains("redis"));

    // What pods do not read, and what is said about an object, is no reason.
    let beside = json!({"metadata": {"labels": {"a": "b"}}, "stringData": {"other": "2"}});
    sandbox.patch::<Secret>("valkey", "a-person", beside).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!(digest(&sandbox).await.as_deref(), Some(first.as_str()));

    let url = json!({"stringData": {"url": "redis://b"}});
    sandbox.patch::<Secret>("valkey", "a-person", url).await;
    let second = other(&sandbox, Some(&first)).await;
    sandbox.event(NAME, "Updated", &["Deployment"]).await;
    let settings = json!({"data": {"MORE": "1"}});
    sandbox.patch::<ConfigMap>("settings", "a-person", settings).await;
    let third = other(&sandbox, Some(&second)).await;

    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.looked_at(1).await;
    assert_eq!(
        sandbox.operator().writes().await,
        0,
        "the same content, the same digest"
    );
    assert_eq!(digest(&sandbox).await, Some(third.clone()));

    // While it is gone, new pods have other environment.
    let params = DeleteParams::default();
    sandbox
        .api::<ConfigMap>()
        .delete("settings", &params)
        .await
        .unwrap();
    other(&sandbox, Some(&third)).await;
    let drift = sandbox.operator().metrics().await;
    assert_eq!(drift.sum("mcp_operator_drift_repaired_total", &[]), 0);
}

#[tokio::test]
async fn a_missing_secret_is_told_and_noticed_when_it_comes() {
    let sandbox = Sandbox::new("references").await;
    sandbox.submit(NAME, spec()).await;
    let why = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    assert!(
        why.contains("spec.limits.urlSecretRef") && why.contains("redis://"),
        "{why}"
    );
    let before = eventually(SOON, "a digest", || async {
        digest(&sandbox).await.ok_or_else(|| "none".to_owned())
    })
    .await;
    make(&sandbox).await;
    other(&sandbox, Some(&before)).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn a_change_waits_while_a_server_is_paused() {
    let sandbox = Sandbox::new("references").await;
    make(&sandbox).await;
    sandbox.serve(NAME, spec()).await;
    let before = digest(&sandbox).await.expect("a digest");
    sandbox.change(NAME, json!({"paused": true})).await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::Paused)
        .await;
    let url = json!({"stringData": {"url": "redis://b"}});
    sandbox.patch::<Secret>("valkey", "a-person", url).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!(digest(&sandbox).await.as_deref(), Some(before.as_str()));
    sandbox.change(NAME, json!({"paused": null})).await;
    other(&sandbox, Some(&before)).await;
}

#[tokio::test]
async fn a_server_that_refers_to_nothing_has_no_digest_and_no_second_key() {
    let sandbox = Sandbox::new("references").await;
    let mounted = json!({"auth": {"bearer": {"generated": {}}}, "jobSearch": {"catalogue": {"configMapName": "postings"}}});
    sandbox.serve(NAME, mounted).await;
    assert_eq!(digest(&sandbox).await, None);
    let keys: Secret = sandbox.api().get("jobs-keys").await.unwrap();
    let names: Vec<_> = keys.data.unwrap().into_keys().collect();
    assert_eq!(names, ["session-key"]);
}

#[tokio::test]
async fn pods_of_an_operator_that_did_not_look_stay_until_the_spec_changes() {
    let mut sandbox = Sandbox::new("references").await;
    make(&sandbox).await;
    sandbox.serve(NAME, spec()).await;
    let before = digest(&sandbox).await;
    sandbox.stop_operator().await;
    // As the status is that such an operator left, with pods that it rendered otherwise.
    let server: McpServer = sandbox.api().get(NAME).await.unwrap();
    let mut record = server.status.unwrap().template.unwrap();
    record.references = None;
    record.rendered = "0".repeat(16);
    let mut template = serde_json::to_value(&record).unwrap();
    template["references"] = Value::Null;
    let patch = Patch::Merge(json!({"status": {"template": template}}));
    let api: Api<McpServer> = sandbox.api();
    api.patch_status(NAME, &PatchParams::default(), &patch)
        .await
        .unwrap();
    let url = json!({"stringData": {"url": "redis://b"}});
    sandbox.patch::<Secret>("valkey", "a-person", url).await;

    sandbox.start_operator().await;
    sandbox
        .condition(NAME, ConditionType::Progressing, false, Reason::UpdateHeldBack)
        .await;
    assert_eq!(digest(&sandbox).await, before, "no surprise");
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    other(&sandbox, before.as_deref()).await;
}
