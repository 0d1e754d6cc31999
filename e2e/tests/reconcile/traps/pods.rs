//! Traps about pods: they go too early, never, or with the wrong traffic.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    fake_mcp::Speaks,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt as _,
    api::{EvictParams, ListParams},
};
use serde_json::json;

use crate::{
    health::{asking, verified},
    sessions::drain,
};

/// Seen in others: the server is cut while it still drains.
#[tokio::test]
async fn app_grace_above_the_pods_grace() {
    let sandbox = Sandbox::new("sessions").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let before: Deployment = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(drain(&before), (Some(330), Some("300".to_owned()), None));

    let sessions = json!({"drainSeconds": 3600, "drainIdleSeconds": 600});
    sandbox.change(NAME, json!({"sessions": sessions})).await;
    sandbox.settle(NAME).await;
    let after: Deployment = sandbox.api().get(NAME).await.unwrap();
    let longer = (Some(3630), Some("3600".to_owned()), Some("600".to_owned()));
    assert_eq!(drain(&after), longer);
    assert_eq!(
        after.metadata.generation,
        before.metadata.generation.map(|g| g + 1),
        "pods are replaced once"
    );

    sandbox.change(NAME, json!({"sessions": null})).await;
    sandbox
        .child::<Deployment>(NAME, "the defaults again", |d| drain(d) == drain(&before))
        .await;
}

/// Seen in others: in a strict mode, a spec that fails a check takes the running Deployment along.
#[tokio::test]
async fn deleting_a_deployment_because_its_spec_is_refused() {
    let sandbox = Sandbox::new("bad").await;
    sandbox.serve(NAME, json!({"image": "example.com/jobs:1"})).await;
    let before = sandbox.versions(NAME).await;
    let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    sandbox
        .change(
            NAME,
            json!({"image": "example.com/jobs:2", "resources": resources}),
        )
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::ChildRejected)
        .await;
    assert_eq!(sandbox.versions(NAME).await["Deployment"], before["Deployment"]);
    let server: McpServer = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(
        server.status.unwrap().observed_generation,
        server.metadata.generation
    );
}

/// Seen in others: in a strict mode a server that fails a check loses its Deployment, healthy as it is.
#[tokio::test]
async fn deleting_a_healthy_deployment_because_a_check_failed() {
    let sandbox = asking("strict").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.speaks = Speaks::Modern)
        .await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    let before: Deployment = sandbox.api().get(NAME).await.unwrap();
    pods[0].server.say(|says| says.mcp.speaks = Speaks::Broken(500));
    verified(&sandbox, NAME, "False", Reason::ProtocolFailed).await;
    // And however often it fails.
    let asked = pods[0].server.says().mcp.heard.len();
    eventually(SOON, "another question", || async {
        let now = pods[0].server.says().mcp.heard.len();
        when(now > asked, now)
    })
    .await;
    sandbox.quiet().await;
    let after: Deployment = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(
        (after.uid(), after.metadata.generation),
        (before.uid(), before.metadata.generation)
    );
    let pod: Pod = sandbox.api().get(&pods[0].name).await.unwrap();
    assert_eq!(
        (pod.uid().as_deref(), pod.metadata.deletion_timestamp),
        (Some(pods[0].uid.as_str()), None)
    );
}

/// Seen in others: a budget that wants one pod to stay, where there is one, holds up the drain of its node for ever.
#[tokio::test]
async fn min_available_one_with_one_replica() {
    let sandbox = Sandbox::new("lone").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    sandbox.run_pods(NAME, 1, |_, _| {}).await;
    assert!(
        sandbox
            .api::<PodDisruptionBudget>()
            .get_opt(NAME)
            .await
            .unwrap()
            .is_none()
    );
    let params = ListParams::default().labels("app=jobs");
    let pods = sandbox.api::<Pod>().list(&params).await.unwrap();
    for pod in &pods.items {
        // What `kubectl drain` asks for; 429 is what would hold it up.
        let evicted = sandbox
            .api::<Pod>()
            .evict(&pod.name_any(), &EvictParams::default())
            .await;
        evicted.unwrap_or_else(|error| panic!("{} cannot be evicted: {error}", pod.name_any()));
    }
    assert!(!pods.items.is_empty(), "there was a pod to evict");
}

/// Seen in others: behind a proxy all clients have its address, and land on one pod.
#[tokio::test]
async fn client_ip_between_a_proxy_and_its_backend() {
    let sandbox = Sandbox::new("proxy").await;
    sandbox
        .serve(
            NAME,
            json!({"service": {"sessionAffinity": "None"}, "ingress": {"className": "nginx"}}),
        )
        .await;
    let affinity = |service: &Service| service.spec.as_ref().and_then(|s| s.session_affinity.clone());
    let services = sandbox
        .api::<Service>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let told: Vec<_> = services.iter().map(|s| (s.name_any(), affinity(s))).collect();
    // There is no second Service between a proxy of ours and the pods.
    assert_eq!(told, [(NAME.to_owned(), Some("None".to_owned()))]);
    sandbox
        .patch::<Service>(NAME, "a-person", json!({"spec": {"sessionAffinity": "ClientIP"}}))
        .await;
    sandbox
        .child::<Service>(NAME, "no affinity again", |s| {
            affinity(s).as_deref() == Some("None")
        })
        .await;
}
