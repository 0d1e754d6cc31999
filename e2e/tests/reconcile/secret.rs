//! The Secret with the RapidAPI key: what is wrong is in the status, and over within seconds.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::api::DeleteParams;
use serde_json::{Value, json};

fn spec(provider: &str) -> Value {
    json!({"jobSearch": {"provider": provider, "rapidApi": {"keySecretRef": {"name": "rapidapi", "key": "token"}}}})
}

fn secret(key: &str, value: &str) -> Value {
    json!({"metadata": {"name": "rapidapi"}, "stringData": {key: value}})
}

#[tokio::test]
async fn a_missing_secret_is_told_and_everything_else_made() {
    let sandbox = Sandbox::new("secret").await;
    sandbox.submit(NAME, spec("Auto")).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    let namespace = sandbox.namespace();
    let command = format!("kubectl create secret generic rapidapi -n {namespace} --from-literal=token=");
    assert!(message.contains(&command), "{message}");
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::SecretNotFound)
        .await;
    sandbox.event(NAME, "SecretNotFound", &[&command]).await;
    sandbox.settle(NAME).await;
    let before = sandbox.versions(NAME).await;
    assert_eq!(before.len(), 5, "the other children exist: {before:?}");

    // The command of the message, as a person would paste it.
    let rest = message
        .split("kubectl ")
        .nth(1)
        .unwrap()
        .replace("YOUR_KEY", "abc");
    let words: Vec<&str> = rest.split_whitespace().collect();
    iam_mcp_e2e::kubectl::run(&words).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::PodsNotReady)
        .await;
    sandbox.event(NAME, "Recovered", &["rapidapi"]).await;
    sandbox.quiet().await;
    assert_eq!(
        sandbox.versions(NAME).await,
        before,
        "no pod is replaced for a key"
    );

    sandbox
        .api::<Secret>()
        .delete("rapidapi", &DeleteParams::default())
        .await
        .unwrap();
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    let operator = sandbox.operator().metrics().await;
    assert_eq!(operator.sum("mcp_operator_drift_repaired_total", &[]), 0);
}

#[tokio::test]
async fn a_wrong_key_is_told_and_gets_better() {
    let sandbox = Sandbox::new("secret").await;
    sandbox.create::<Secret>(secret("tokn", "abc")).await;
    sandbox.submit(NAME, spec("Auto")).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretKeyNotFound)
        .await;
    assert!(
        message.contains("rapidapi") && message.contains("\"token\""),
        "{message}"
    );
    sandbox
        .patch::<Secret>("rapidapi", "a-person", json!({"stringData": {"token": "abc"}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn an_empty_key_is_an_error_for_jsearch_only() {
    let sandbox = Sandbox::new("secret").await;
    sandbox.create::<Secret>(secret("token", "")).await;
    sandbox.submit(NAME, spec("JSearch")).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretKeyNotFound)
        .await;
    assert!(message.contains("empty"), "{message}");
    sandbox.change(NAME, spec("Auto")).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn a_spec_that_names_another_secret_stops_waiting_for_the_first() {
    let sandbox = Sandbox::new("secret").await;
    sandbox.create::<Secret>(secret("token", "abc")).await;
    sandbox
        .submit(
            NAME,
            json!({"jobSearch": {"rapidApi": {"keySecretRef": {"name": "absent", "key": "token"}}}}),
        )
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    sandbox.change(NAME, spec("Auto")).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let volumes = deployment.spec.unwrap().template.spec.unwrap().volumes.unwrap();
    let names: Vec<_> = volumes
        .iter()
        .filter_map(|v| v.secret.as_ref()?.secret_name.as_deref())
        .collect();
    assert_eq!(names, ["jobs-keys", "rapidapi"]);
    let server: McpServer = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(
        server.status.unwrap().observed_generation,
        server.metadata.generation
    );
}
