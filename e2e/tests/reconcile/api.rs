//! Bad resources are refused by the API server with a message that says what is wrong, and their valid
//! twins taken. Nothing is stored: every request is a dry run.

use iam_mcp_crds::spec::RESERVED_ENV;
use iam_mcp_e2e::{cluster, sandbox::Sandbox};
use kube::Client;
use serde_json::{Value, json};

/// Asks the API server about a resource without storing it; the error is its message.
pub(crate) async fn ask(client: &Client, name: &str, spec: &Value) -> Result<Value, String> {
    let body = json!({
        "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "metadata": {"name": name}, "spec": spec,
    });
    let path = "/apis/iam-mcp.dev/v1alpha1/namespaces/default/mcpservers?dryRun=All&fieldValidation=Strict";
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&body).unwrap()).unwrap();
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(other) => panic!("{other}"),
    }
}

/// Asks about each spec: `Ok` must be taken, `Err(part)` refused in words that have `part`.
pub(crate) async fn check(cases: Vec<(Value, Result<(), &str>)>) {
    let client = cluster::client().await;
    cluster::install_definition(&client).await;
    let mut wrong = Vec::new();
    for (spec, want) in cases {
        let seen = ask(&client, "jobs", &spec).await.map(drop);
        match (&seen, want) {
            (Ok(()), Ok(())) => {}
            (Err(seen), Err(part)) if seen.contains(part) => {}
            _ => wrong.push(format!("{spec}\n  wanted {want:?}\n  seen   {seen:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn images() {
    let digest = "a".repeat(64);
    let help = "image: write it as [registry/]name[:tag][@sha256:digest]";
    let image = |image: String| json!({"image": image});
    let good = [
        "jobs".to_owned(),
        "jobs:1.0".to_owned(),
        format!("jobs@sha256:{digest}"),
        format!("ghcr.io/acme/iam-mcp-server:1.2.0@sha256:{digest}"),
        "localhost:5000/acme/jobs:dev".to_owned(),
        "registry.example.com:443/a/b/c__d".to_owned(),
    ];
    let bad = [
        "jobs:",
        "jobs:1:2",
        "https://ghcr.io/jobs",
        "ghcr.io/Acme/jobs",
        "jobs ",
        "jobs@sha256:abc",
        "-jobs",
        "a//b",
    ];
    let good = good.into_iter().map(|i| (image(i), Ok(())));
    let bad = bad.into_iter().map(|i| (image(i.to_owned()), Err(help)));
    check(good.chain(bad).collect()).await;
    check(vec![(json!({"image": ""}), Err("spec.image"))]).await;
}

#[tokio::test]
async fn environment() {
    let help = "env: the operator sets this variable itself";
    let var = |name: &str| json!({"env": [{"name": "FIRST", "value": "1"}, {"name": name, "value": "2"}]});
    let mut cases: Vec<_> = RESERVED_ENV.iter().map(|name| (var(name), Err(help))).collect();
    cases.extend(
        RESERVED_ENV
            .iter()
            .map(|name| (var(&format!("MY_{name}")), Ok(()))),
    );
    cases.push((var("FIRST"), Err("Duplicate value")));
    cases.push((var(""), Err("spec.env[1].name")));
    check(cases).await;
}

#[tokio::test]
async fn numbers() {
    check(vec![
        (json!({"replicas": 0}), Ok(())),
        (json!({"replicas": 1000}), Ok(())),
        (json!({"replicas": -1}), Err("spec.replicas")),
        (json!({"replicas": 1001}), Err("spec.replicas")),
        (json!({"replicas": "2"}), Err("spec.replicas")),
        (
            json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 3}}),
            Ok(()),
        ),
        (
            json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}),
            Err("minReplicas must not be greater than maxReplicas"),
        ),
        (
            json!({"autoscaling": {"minReplicas": 11}}),
            Err("minReplicas must not be greater than maxReplicas"),
        ),
        (
            json!({"autoscaling": {"minReplicas": 0}}),
            Err("spec.autoscaling.minReplicas"),
        ),
        (
            json!({"autoscaling": {"cpuUtilization": 0}}),
            Err("spec.autoscaling.cpuUtilization"),
        ),
        (json!({"service": {"port": 1}}), Ok(())),
        (json!({"service": {"port": 65535}}), Ok(())),
        (json!({"service": {"port": 0}}), Err("spec.service.port")),
        (json!({"service": {"port": 65536}}), Err("spec.service.port")),
        (
            json!({"service": {"sessionAffinityTimeoutSeconds": 86400}}),
            Ok(()),
        ),
        (
            json!({"service": {"sessionAffinityTimeoutSeconds": 86401}}),
            Err("sessionAffinityTimeoutSeconds"),
        ),
        (
            json!({"service": {"sessionAffinityTimeoutSeconds": 0}}),
            Err("sessionAffinityTimeoutSeconds"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn sessions() {
    let sessions = |given: Value| json!({"sessions": given});
    let idle_help = "sessions: drainIdleSeconds must not be greater than drainSeconds";
    let good = [
        json!({}),
        json!({"drainSeconds": 0}),
        json!({"drainSeconds": 86400, "drainIdleSeconds": 86400}),
        json!({"drainSeconds": 1, "drainIdleSeconds": 1}),
        // Of the default, 300.
        json!({"drainIdleSeconds": 300}),
        json!({"maxDrainingPods": 1}),
        json!({"maxDrainingPods": 1000}),
    ];
    let bad = [
        (json!({"drainSeconds": -1}), "spec.sessions.drainSeconds"),
        (json!({"drainSeconds": 86401}), "spec.sessions.drainSeconds"),
        (json!({"drainSeconds": "5m"}), "spec.sessions.drainSeconds"),
        (json!({"drainIdleSeconds": 0}), "spec.sessions.drainIdleSeconds"),
        (
            json!({"drainSeconds": 86400, "drainIdleSeconds": 86401}),
            "spec.sessions.drainIdleSeconds",
        ),
        (json!({"drainIdleSeconds": 301}), idle_help),
        (json!({"drainSeconds": 600, "drainIdleSeconds": 601}), idle_help),
        (json!({"drainSeconds": 0, "drainIdleSeconds": 1}), idle_help),
        (json!({"maxDrainingPods": 0}), "spec.sessions.maxDrainingPods"),
        (json!({"maxDrainingPods": 1001}), "spec.sessions.maxDrainingPods"),
        (
            json!({"drainSecond": 1}),
            "unknown field \"spec.sessions.drainSecond\"",
        ),
    ];
    let good = good.into_iter().map(|given| (sessions(given), Ok(())));
    let bad = bad.into_iter().map(|(given, part)| (sessions(given), Err(part)));
    check(good.chain(bad).collect()).await;
}

#[tokio::test]
async fn words() {
    let reference = json!({"rapidApi": {"keySecretRef": {"name": "s", "key": "k"}}, "provider": "JSearch"});
    let needs_key = "provider JSearch needs rapidApi.keySecretRef";
    check(vec![
        (json!({"jobSearch": reference}), Ok(())),
        (json!({"jobSearch": {"provider": "Auto"}}), Ok(())),
        (json!({"jobSearch": {"provider": "Catalogue"}}), Ok(())),
        (json!({"jobSearch": {"provider": "JSearch"}}), Err(needs_key)),
        (
            json!({"jobSearch": {"provider": "JSearch", "rapidApi": {"host": "a.b"}}}),
            Err(needs_key),
        ),
        (
            json!({"jobSearch": {"provider": "Monster"}}),
            Err("Unsupported value: \"Monster\""),
        ),
        (
            json!({"jobSearch": {"rapidApi": {"keySecretRef": {"name": "s"}}}}),
            Err("keySecretRef.key"),
        ),
        (
            json!({"jobSearch": {"rapidApi": {"host": "https://a.b"}}}),
            Err("spec.jobSearch.rapidApi.host"),
        ),
        (json!({"logLevel": "DEBUG"}), Ok(())),
        (json!({"logLevel": "debug"}), Err("Unsupported value: \"debug\"")),
        (
            json!({"imagePullPolicy": "Sometimes"}),
            Err("Unsupported value: \"Sometimes\""),
        ),
        (
            json!({"service": {"sessionAffinity": "Cookie"}}),
            Err("Unsupported value: \"Cookie\""),
        ),
        (
            json!({"cors": {"origins": ["*", "https://a.example.com", "http://localhost:3000"]}}),
            Ok(()),
        ),
        (json!({"cors": {"origins": []}}), Err("spec.cors.origins")),
        (
            json!({"cors": {"origins": ["a.example.com"]}}),
            Err("cors.origins: each is '*' or scheme://host[:port]"),
        ),
        (
            json!({"cors": {"origins": ["https://a.example.com/app"]}}),
            Err("cors.origins: each is"),
        ),
        (json!({"replica": 2}), Err("unknown field \"spec.replica\"")),
        (
            json!({"service": {"prot": 2}}),
            Err("unknown field \"spec.service.prot\""),
        ),
    ])
    .await;
}

#[tokio::test]
async fn ingresses() {
    let path = |path: &str| json!({"ingress": {"path": path}});
    let path_help = "ingress.path: starts with '/' and does not end with one";
    let mut cases = vec![
        (json!({"ingress": {}}), Ok(())),
        (
            json!({"ingress": {"host": "jobs.example.com", "tlsSecretName": "tls"}}),
            Ok(()),
        ),
        (json!({"ingress": {"host": "*.example.com"}}), Ok(())),
        (
            json!({"ingress": {"tlsSecretName": "tls"}}),
            Err("ingress: tlsSecretName needs host"),
        ),
        (
            json!({"ingress": {"host": "Jobs.example.com"}}),
            Err("spec.ingress.host"),
        ),
        (
            json!({"ingress": {"host": "jobs.example.com:80"}}),
            Err("spec.ingress.host"),
        ),
    ];
    cases.extend(["/", "/jobs", "/a/b.c~d"].map(|p| (path(p), Ok(()))));
    cases.extend(["jobs", "/jobs/", "//", "/a b", "/a//b"].map(|p| (path(p), Err(path_help))));
    check(cases).await;
}

#[tokio::test]
async fn names() {
    let client = Sandbox::without_operator("api").await.client;
    let help = "metadata.name: at most 52 characters";
    for (name, want) in [
        ("a".repeat(52), Ok(())),
        ("a".repeat(53), Err(help)),
        ("jobs-2".to_owned(), Ok(())),
        ("2jobs".to_owned(), Err(help)),
        ("jobs.eu".to_owned(), Err(help)),
    ] {
        let seen = ask(&client, &name, &json!({})).await.map(drop);
        match (&seen, want) {
            (Ok(()), Ok(())) => {}
            (Err(seen), Err(part)) if seen.contains(part) => {}
            _ => panic!("{name}: wanted {want:?}, seen {seen:?}"),
        }
    }
}
