//! Traps about the API: what cannot be said, and what does nothing.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::drift::image;

/// Seen in others: there is none.
#[tokio::test]
async fn no_scale_subresource() {
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

/// Seen in others: `kubectl get -o wide` tells nothing more.
#[tokio::test]
async fn no_wide_columns() {
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

/// Seen in others: a pattern for images that refuses digests.
#[tokio::test]
async fn an_image_by_digest() {
    let sandbox = Sandbox::new("digest").await;
    let digest = "ab".repeat(32);
    for wanted in [
        format!("ghcr.io/acme/jobs@sha256:{digest}"),
        format!("registry.example.com:5000/jobs:1.2@sha256:{digest}"),
    ] {
        let spec = json!({"image": &wanted});
        if sandbox.api::<McpServer>().get_opt(NAME).await.unwrap().is_none() {
            sandbox.serve(NAME, spec).await;
        } else {
            sandbox.change(NAME, spec).await;
        }
        sandbox
            .child::<Deployment>(NAME, "the image by digest", |d| image(d) == wanted)
            .await;
    }
}
