//! The chart's admission policies, off by default: what they let through, and what not.

use iam_mcp_e2e::{
    helm, kubectl,
    poll::{SOON, eventually},
    sandbox::Sandbox,
};
use kube::Client;
use serde_json::{Value, json};

/// Policies of a release of their own, for one namespace, deleted when dropped.
struct Policies {
    release: String,
}

impl Policies {
    async fn apply(sandbox: &Sandbox, values: &[&str]) -> Self {
        let release = format!("iam-mcp-operator-{}", sandbox.namespace());
        let name = format!(
            "policies.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name={}",
            sandbox.namespace()
        );
        let mut settings = vec![name.as_str()];
        settings.extend(values);
        let rendered = helm::template(&release, "templates/policies.yaml", &settings).await;
        kubectl::run_with(&["apply", "--filename=-"], &rendered).await;
        Self { release }
    }
}

impl Drop for Policies {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            kubectl::delete_quietly(&[
                kind,
                "--selector",
                &format!("app.kubernetes.io/instance={}", self.release),
            ]);
        }
    }
}

/// Asks for a server in the sandbox, without storing it.
async fn ask(client: &Client, namespace: &str, spec: &Value) -> Result<(), String> {
    let body = json!({"apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "metadata": {"name": "jobs"}, "spec": spec});
    let path = format!("/apis/iam-mcp.dev/v1alpha1/namespaces/{namespace}/mcpservers?dryRun=All");
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&body).unwrap()).unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(other) => panic!("{other}"),
    }
}

/// Asks about each spec once the policy refuses the first one: `Err(part)` must be refused in words that have `part`.
async fn check(sandbox: &Sandbox, cases: Vec<(Value, Result<(), &str>)>) {
    let (client, namespace) = (&sandbox.client, sandbox.namespace());
    let (first, want) = &cases[0];
    let part = want.as_ref().unwrap_err();
    eventually(SOON, "the policy to hold", || async {
        match ask(client, namespace, first).await {
            Err(message) if message.contains(part) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut wrong = Vec::new();
    for (spec, want) in &cases {
        let seen = ask(client, namespace, spec).await;
        match (&seen, want) {
            (Ok(()), Ok(())) => {}
            (Err(seen), Err(part)) if seen.contains(part) => {}
            _ => wrong.push(format!("{spec}\n  wanted {want:?}\n  seen   {seen:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn with_sidecar(image: &str) -> Value {
    json!({"image": "ghcr.io/acme/jobs:1", "podTemplate": {"spec": {"containers": [{"name": "proxy", "image": image}]}}})
}

#[tokio::test]
async fn images_come_from_registries_that_are_allowed() {
    let sandbox = Sandbox::without_operator("policy").await;
    let values = [
        "policies.images.enabled=true",
        "policies.images.registries={ghcr.io/acme/,registry.example.com:5000/}",
    ];
    let _policies = Policies::apply(&sandbox, &values).await;
    let help =
        "is not allowed in this cluster; allowed are images from ghcr.io/acme/, registry.example.com:5000/";
    let init =
        |image: &str| json!({"podTemplate": {"spec": {"initContainers": [{"name": "a", "image": image}]}}});
    let volume = |image: &str| json!({"podTemplate": {"spec": {"volumes": [{"name": "a", "image": {"reference": image}}]}}});
    check(
        &sandbox,
        vec![
            (json!({"image": "ghcr.io/other/jobs:1"}), Err(help)),
            (json!({"image": "ghcr.io/acme/jobs:1"}), Ok(())),
            (json!({"image": "registry.example.com:5000/a/b/jobs"}), Ok(())),
            (
                json!({"image": "ghcr.io/acme-evil/jobs:1"}),
                Err("image ghcr.io/acme-evil/jobs:1 is not allowed"),
            ),
            (json!({"image": "jobs"}), Err(help)),
            // The administrator's own choice.
            (json!({}), Ok(())),
            (with_sidecar("ghcr.io/acme/proxy"), Ok(())),
            (
                with_sidecar("docker.io/proxy"),
                Err("image docker.io/proxy is not allowed"),
            ),
            (init("ghcr.io/acme/wait"), Ok(())),
            (init("docker.io/wait"), Err("image docker.io/wait is not allowed")),
            (volume("ghcr.io/acme/files"), Ok(())),
            (
                volume("docker.io/files"),
                Err("image docker.io/files is not allowed"),
            ),
            // What cannot be looked at is not let through.
            (
                json!({"podTemplate": {"spec": {"containers": "docker.io/proxy"}}}),
                Err("denied"),
            ),
            (json!({"podTemplate": {"metadata": {}}}), Ok(())),
        ],
    )
    .await;
}

#[tokio::test]
async fn images_are_named_by_digest() {
    let sandbox = Sandbox::without_operator("policy").await;
    let values = ["policies.images.enabled=true", "policies.images.digestsOnly=true"];
    let _policies = Policies::apply(&sandbox, &values).await;
    let pinned = format!("ghcr.io/acme/jobs:1@sha256:{}", "a".repeat(64));
    let mut sidecar = with_sidecar("docker.io/proxy:1");
    sidecar["image"] = json!(pinned);
    check(
        &sandbox,
        vec![
            (
                json!({"image": "ghcr.io/acme/jobs:1"}),
                Err("image ghcr.io/acme/jobs:1 names no digest"),
            ),
            (json!({"image": pinned}), Ok(())),
            (json!({}), Ok(())),
            (sidecar, Err("image docker.io/proxy:1 names no digest")),
        ],
    )
    .await;
}

#[tokio::test]
async fn only_service_accounts_that_are_allowed_can_be_named() {
    let sandbox = Sandbox::without_operator("policy").await;
    let values = [
        "policies.serviceAccounts.enabled=true",
        "policies.serviceAccounts.allowed={reader,writer}",
    ];
    let _policies = Policies::apply(&sandbox, &values).await;
    let help = "this serviceAccountName is not allowed in this cluster; allowed are reader, writer";
    check(
        &sandbox,
        vec![
            (json!({"serviceAccountName": "default"}), Err(help)),
            (json!({"serviceAccountName": "reader"}), Ok(())),
            (json!({"serviceAccountName": "writer"}), Ok(())),
            (json!({}), Ok(())),
        ],
    )
    .await;
    // A namespace without the label is left alone.
    assert_eq!(
        ask(
            &sandbox.client,
            "default",
            &json!({"serviceAccountName": "other"})
        )
        .await,
        Ok(())
    );
}

#[tokio::test]
async fn no_service_account_can_be_named_where_none_is_allowed() {
    let sandbox = Sandbox::without_operator("policy").await;
    let _policies = Policies::apply(&sandbox, &["policies.serviceAccounts.enabled=true"]).await;
    check(
        &sandbox,
        vec![
            (
                json!({"serviceAccountName": "default"}),
                Err("leave the field out: the operator makes one"),
            ),
            (json!({}), Ok(())),
        ],
    )
    .await;
}
