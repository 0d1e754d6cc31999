//! A server whose children the API server refuses says so, and nobody else suffers.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use serde_json::{Value, json};

/// `spec` is accepted as a resource, but not its Deployment, for a reason that has `words`.
async fn is_told(spec: Value, words: &str) {
    let sandbox = Sandbox::new("bad").await;
    sandbox.submit(NAME, spec).await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::ChildRejected)
        .await;
    assert!(
        message.contains("Deployment/jobs") && message.contains(words),
        "{message:?} has {words:?}"
    );
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::ChildRejected)
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::ChildRejected)
        .await;
    sandbox.event(NAME, "ChildRejected", &[words]).await;
    sandbox
        .child::<Service>(NAME, "the other children", |_| true)
        .await;

    sandbox.serve("good", json!({})).await;
    sandbox
        .condition("good", ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox
        .child::<Deployment>("good", "the neighbour's Deployment", |_| true)
        .await;

    sandbox.quiet().await;
    let writes = sandbox.operator().writes().await;
    sandbox.passes("good", 3).await;
    let more = sandbox.operator().writes().await - writes;
    assert!(
        more < 3,
        "a refused child is not tried at every turn of another server: {more} writes"
    );

    sandbox
        .change(NAME, json!({"resources": null, "env": null}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox
        .child::<Deployment>(NAME, "the Deployment", |_| true)
        .await;
    sandbox.event(NAME, "Recovered", &[words]).await;
}

#[tokio::test]
async fn a_request_above_its_limit() {
    let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    is_told(
        json!({"resources": resources}),
        "must be less than or equal to memory limit",
    )
    .await;
}

#[tokio::test]
async fn an_invalid_quantity() {
    let sandbox = Sandbox::new("bad").await;
    sandbox
        .submit(NAME, json!({"resources": {"requests": {"memory": "lots"}}}))
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
        .await;
    assert!(
        message.contains("resources.requests.memory") && message.contains("\"lots\""),
        "{message}"
    );
    sandbox.event(NAME, "Invalid", &["lots"]).await;
    sandbox.serve("good", json!({})).await;
    sandbox
        .change(NAME, json!({"resources": {"requests": {"memory": "128Mi"}}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox
        .child::<Deployment>(NAME, "the Deployment", |_| true)
        .await;
}

#[tokio::test]
async fn a_variable_with_two_sources() {
    let source = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    is_told(
        json!({"env": [{"name": "A", "value": "x", "valueFrom": source}]}),
        "may not be specified when",
    )
    .await;
}
