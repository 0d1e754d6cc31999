//! Objects of somebody else that have a child's name are left alone, and the status says so.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Resource, ResourceExt as _, api::DeleteParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// `name` is taken by `object`: it is untouched, named in the status, the others exist, and all is well
/// when it is deleted.
pub(crate) async fn is_left_alone<K>(name: &str, title: &str, object: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let sandbox = Sandbox::new("conflict").await;
    let foreign: K = sandbox.create(object).await;
    sandbox.submit(NAME, json!({})).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    assert!(message.contains(title), "{message:?} names {title}");
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::NameConflict)
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox.event(NAME, "NameConflict", &[title]).await;
    sandbox.quiet().await;
    let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
    assert_eq!(
        kinds,
        [
            "Deployment",
            "PodDisruptionBudget",
            "Secret",
            "Service",
            "ServiceAccount"
        ],
        "the others exist"
    );

    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    let live = sandbox.api::<K>().get(name).await.unwrap();
    assert_eq!(live.uid(), foreign.uid());
    assert_eq!(live.meta().owner_references, None);
    assert_eq!(live.labels(), foreign.labels());
    let ours = live
        .managed_fields()
        .iter()
        .any(|f| f.manager.as_deref() == Some("iam-mcp-operator"));
    assert!(!ours, "the operator wrote to it");

    sandbox
        .api::<K>()
        .delete(name, &DeleteParams::background())
        .await
        .unwrap();
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    let child = sandbox
        .child::<K>(name, "our own", |child| !child.owner_references().is_empty())
        .await;
    assert_ne!(child.uid(), foreign.uid());
}

#[tokio::test]
async fn a_foreign_disruption_budget_is_left_alone() {
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "other"}}});
    is_left_alone::<PodDisruptionBudget>(
        NAME,
        "PodDisruptionBudget/jobs",
        json!({"metadata": {"name": NAME}, "spec": spec}),
    )
    .await;
}

#[tokio::test]
async fn a_foreign_keys_secret_is_left_alone() {
    let secret = json!({"metadata": {"name": "jobs-keys"}, "data": {"session-key": "bWluZQ=="}});
    is_left_alone::<Secret>("jobs-keys", "Secret/jobs-keys", secret).await;
}

#[tokio::test]
async fn a_foreign_object_with_our_label_is_left_alone() {
    let metadata = json!({"name": NAME, "labels": {"app.kubernetes.io/managed-by": "iam-mcp-operator"}});
    let spec = json!({"selector": {"app": "other"}, "ports": [{"port": 1234}]});
    is_left_alone::<Service>(NAME, "Service/jobs", json!({"metadata": metadata, "spec": spec})).await;
}
