//! `iam-mcp-operator render`: the children without a cluster, in a form that the API server takes.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use iam_mcp_e2e::{
    kubectl, operator,
    sandbox::Sandbox,
    servers::{NAME, server},
};
use serde_json::json;

fn render(args: &[&str], stdin: &str) -> Output {
    let mut command = operator::command();
    // Without a cluster, to be sure.
    command
        .env_remove("KUBECONFIG")
        .args(["render", "-f", "-"])
        .args(args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn the_api_server_takes_what_is_rendered() {
    let sandbox = Sandbox::without_operator("render").await;
    let spec = json!({"ingress": {"host": "jobs.example.com"}, "autoscaling": {}, "replicas": 2});
    let document = serde_json::to_string(&server(NAME, spec)).unwrap();
    let output = render(&["-n", sandbox.namespace()], &document);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rendered = String::from_utf8(output.stdout).unwrap();
    assert!(!rendered.contains("kind: Secret"), "{rendered}");
    let applied = kubectl::run_with(
        &["apply", "--dry-run=server", "--validate=strict", "-f", "-"],
        &rendered,
    )
    .await;
    for kind in [
        "serviceaccount",
        "deployment",
        "service",
        "poddisruptionbudget",
        "ingress",
        "horizontalpodautoscaler",
    ] {
        assert!(applied.contains(kind), "{kind} is not in:\n{applied}");
    }
}

#[tokio::test]
async fn what_cannot_be_rendered_is_told() {
    let output = render(&[], "kind: ConfigMap\n");
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no McpServer in -"), "{error}");

    let reserved =
        serde_json::to_string(&server(NAME, json!({"env": [{"name": "PORT", "value": "1"}]}))).unwrap();
    let output = render(&[], &reserved);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("PORT"), "{error}");
}
