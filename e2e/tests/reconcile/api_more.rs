//! What the API does besides refusing: defaults, the scale subresource, the columns of `kubectl get`.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    cluster, kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::api::ask;

#[tokio::test]
async fn the_api_server_fills_in_defaults() {
    let client = cluster::client().await;
    cluster::install_definition(&client).await;
    let spec = json!({"service": {}, "autoscaling": {}, "ingress": {}, "sessions": {}, "networkPolicy": {}, "disruption": {}, "monitoring": {}, "httpRoute": {"parentRefs": [{"name": "public"}]}});
    let answer = ask(&client, NAME, &spec).await.unwrap();
    assert_eq!(
        answer["spec"],
        json!({
            "service": {"port": 80, "sessionAffinity": "ClientIP", "sessionAffinityTimeoutSeconds": 3600},
            "autoscaling": {"minReplicas": 2, "maxReplicas": 10, "cpuUtilization": 70},
            "ingress": {"path": "/"},
            "sessions": {"drainSeconds": 300, "maxDrainingPods": 20},
            "networkPolicy": {"publicHttps": true},
            "disruption": {"enabled": true},
            "monitoring": {"mode": "Auto"},
            "httpRoute": {"parentRefs": [{"name": "public"}], "path": "/"},
        })
    );
    let answer = ask(&client, NAME, &json!({})).await.unwrap();
    assert_eq!(answer["spec"], json!({}), "what is not asked for is not there");
}

#[tokio::test]
async fn kubectl_scale_works_when_the_number_is_set() {
    let sandbox = Sandbox::new("api").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    sandbox.kubectl(&["scale", "mcps/jobs", "--replicas=3"]).await;
    sandbox
        .child::<Deployment>(NAME, "3 pods", |d| d.spec.as_ref().unwrap().replicas == Some(3))
        .await;
    let server: McpServer = sandbox.settle(NAME).await;
    assert_eq!(server.spec.replicas, Some(3));
    // The ReplicaSet's controller makes the third pod in its own time.
    let status = eventually(SOON, "the third pod to be counted", || async {
        let server = sandbox.api::<McpServer>().get(NAME).await.unwrap();
        let status = server.status.unwrap();
        when(status.replicas == Some(3), status.replicas).map(|()| status)
    })
    .await;
    let selector = status.selector.unwrap();
    let pods = sandbox
        .kubectl(&["get", "replicasets", "--selector", &selector, "--output=name"])
        .await;
    assert_eq!(
        pods.lines().count(),
        1,
        "the selector of the status finds the pods' owner: {pods:?}"
    );
    assert!(sandbox.events(NAME, "DriftRepaired").await.is_empty());
}

#[tokio::test]
async fn kubectl_get_tells_what_a_person_needs() {
    let sandbox = Sandbox::new("api").await;
    sandbox
        .serve(NAME, json!({"replicas": 2, "image": "example.com/jobs:1"}))
        .await;
    let namespace = sandbox.namespace();
    for what in ["mcps", "mcp", "mcpserver", "mcpservers"] {
        let table = sandbox.kubectl(&["get", what]).await;
        let mut lines = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(
            lines.next().unwrap(),
            ["NAME", "READY", "REASON", "PODS", "URL", "AGE"],
            "{what}"
        );
        let row = lines.next().unwrap();
        let url = format!("http://jobs.{namespace}.svc/mcp");
        assert_eq!(
            row[..5],
            ["jobs", "False", "PodsNotReady", "0/2", url.as_str()],
            "{what}"
        );
    }
    let wide = sandbox.kubectl(&["get", "mcps", "--output=wide"]).await;
    assert!(
        wide.contains("example.com/jobs:1") && wide.contains("kubectl get pods"),
        "{wide}"
    );
    let help = kubectl::run(&["explain", "mcpservers.spec.replicas"]).await;
    assert!(help.contains("Number of pods"), "{help}");
}
