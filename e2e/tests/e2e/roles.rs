//! The chart's roles allow everything that the operator does, which here is all of it.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    helm, kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Secret, Service},
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::{PODS, operator};

#[tokio::test]
async fn every_verb_that_is_used_is_allowed() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("roles", &[]).await;
    let reference = json!({"rapidApi": {"keySecretRef": {"name": "absent", "key": "token"}}});
    let claim = json!([{"name": "jobs", "persistentVolumeClaim": {"claimName": "absent"}}]);
    // ConfigMaps are read for what is environment, and a second Secret made.
    let settings = json!([{"configMapRef": {"name": "settings", "optional": true}}]);
    let spec = json!({
        "replicas": 0, "ingress": {}, "autoscaling": {}, "networkPolicy": {}, "jobSearch": reference, "volumes": claim,
        "envFrom": settings, "auth": {"bearer": {"generated": {}}},
    });
    sandbox.submit(NAME, spec).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    eventually(SOON, "all children", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.len() == 8, kinds)
    })
    .await;
    // An update, a prune of each kind that can go, and the hand-over of the number of pods.
    sandbox
        .change(
            NAME,
            json!({"ingress": null, "autoscaling": null, "networkPolicy": null, "jobSearch": null, "logLevel": "DEBUG", "serviceAccountName": "default"}),
        )
        .await;
    sandbox
        .event(
            NAME,
            "Pruned",
            &[
                "ServiceAccount/jobs",
                "Ingress/jobs",
                "HorizontalPodAutoscaler/jobs",
            ],
        )
        .await;
    sandbox.event(NAME, "Pruned", &["NetworkPolicy/jobs"]).await;
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
async fn the_verbs_for_pods_are_allowed() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("roles", &[]).await;
    sandbox.submit(NAME, json!({"replicas": 2})).await;
    sandbox
        .condition_within(PODS, NAME, ConditionType::Ready, true, Reason::PodsReady)
        .await;
    // A cost that no session is behind is taken back.
    let pods = sandbox.api::<Pod>();
    let list = pods
        .list(&ListParams::default().labels("app=jobs"))
        .await
        .unwrap();
    let name = list.items[0].name_any();
    let wrong = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "5"}}});
    sandbox.patch::<Pod>(&name, "a-person", wrong).await;
    eventually(PODS, "the cost to be put right", || async {
        let pod = pods.get(&name).await.map_err(|e| e.to_string())?;
        let cost = pod
            .annotations()
            .get("controller.kubernetes.io/pod-deletion-cost")
            .cloned();
        when(cost.as_deref() == Some("0"), cost)
    })
    .await;
    // A pod whose server goes while it has a long grace.
    pods.delete(&name, &DeleteParams::default().grace_period(300))
        .await
        .unwrap();
    sandbox
        .api::<McpServer>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    eventually(PODS, "the pods to be gone or to have a short grace", || async {
        let list = pods.list(&ListParams::default().labels("app=jobs")).await;
        let pods = list.map_err(|e| e.to_string())?.items;
        let graces: Vec<_> = pods
            .iter()
            .map(|pod| pod.metadata.deletion_grace_period_seconds)
            .collect();
        when(
            graces.iter().all(|grace| grace.is_some_and(|grace| grace <= 30)),
            graces,
        )
    })
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
        ("delete", "services"),
        ("create", "configmaps"),
        ("patch", "configmaps"),
        ("list", "persistentvolumeclaims"),
        ("get", "pods"),
        ("create", "pods"),
        ("update", "pods"),
        ("create", "pods/exec"),
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
