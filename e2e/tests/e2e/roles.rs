//! The chart's roles allow everything that the operator does, which here is all of it.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    helm, kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Secret, Service},
};
use kube::api::DeleteParams;
use serde_json::json;

use crate::operator;

#[tokio::test]
async fn every_verb_that_is_used_is_allowed() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("roles", &[]).await;
    let reference = json!({"rapidApi": {"keySecretRef": {"name": "absent", "key": "token"}}});
    let spec = json!({"replicas": 0, "ingress": {}, "autoscaling": {}, "jobSearch": reference});
    sandbox.submit(NAME, spec).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    eventually(SOON, "all children", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.len() == 7, kinds)
    })
    .await;
    // An update, a prune of each kind that can go, and the hand-over of the number of pods.
    sandbox
        .change(
            NAME,
            json!({"ingress": null, "autoscaling": null, "jobSearch": null, "logLevel": "DEBUG"}),
        )
        .await;
    sandbox
        .event(NAME, "Pruned", &["Ingress/jobs", "HorizontalPodAutoscaler/jobs"])
        .await;
    // Of no pods, once the HPA no longer decides.
    sandbox.event(NAME, "Pruned", &["PodDisruptionBudget/jobs"]).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    let hpa = json!({"metadata": {"name": "by-hand"}, "spec": {"maxReplicas": 2, "scaleTargetRef": target}});
    sandbox.create::<HorizontalPodAutoscaler>(hpa).await;
    // Drift of each kind, with an event that becomes a series.
    let patch = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 8081}]).to_string();
    sandbox
        .kubectl(&["patch", "service", NAME, "--type=json", "--patch", &patch])
        .await;
    sandbox
        .child::<Service>(NAME, "the port to be put back", |s| {
            s.spec
                .as_ref()
                .and_then(|s| s.ports.as_ref())
                .is_some_and(|p| p.len() == 1 && p[0].port == 80)
        })
        .await;
    for _ in 0..2 {
        sandbox
            .kubectl(&["set", "image", "deployment/jobs", "jobs=example.com/other:1"])
            .await;
        sandbox
            .child::<Deployment>(NAME, "the image to be put back", |d| {
                !format!("{:?}", d.spec).contains("other:1")
            })
            .await;
    }
    sandbox
        .patch::<Secret>("jobs-keys", "a-person", json!({"data": {"session-key": null}}))
        .await;
    sandbox
        .child::<Secret>("jobs-keys", "the key", |s| {
            s.data.as_ref().is_some_and(|d| d.contains_key("session-key"))
        })
        .await;
    sandbox
        .api::<Secret>()
        .delete("jobs-keys", &DeleteParams::default())
        .await
        .unwrap();
    sandbox.child::<Secret>("jobs-keys", "the Secret", |_| true).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    helm::assert_nothing_forbidden().await;
}

#[tokio::test]
async fn it_may_not_do_what_it_does_not_need() {
    let _operator = operator().await;
    let user = format!("--as=system:serviceaccount:{}:{}", helm::NAMESPACE, helm::RELEASE);
    for (verb, resource) in [
        ("delete", "deployments.apps"),
        ("delete", "secrets"),
        ("create", "pods"),
        ("update", "mcpservers.iam-mcp.dev"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("list", "nodes"),
    ] {
        let answer = kubectl::output(
            &["auth", "can-i", verb, resource, "--namespace=default", &user],
            "",
        )
        .await;
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout).trim(),
            "no",
            "{verb} {resource}"
        );
    }
}
