//! `iam-mcp-operator explain`: what would be done to a server, while nobody does it.

use std::process::Output;

use iam_mcp_e2e::{
    operator,
    sandbox::Sandbox,
    servers::{NAME, server},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::api::PostParams;
use serde_json::{Value, json};

fn explain(sandbox: &Sandbox, more: &[&str]) -> Output {
    let mut command = operator::command();
    command
        .args(["explain", NAME, "-n", sandbox.namespace()])
        .args(more);
    command.output().unwrap()
}

fn steps(sandbox: &Sandbox) -> Vec<Value> {
    let output = explain(sandbox, &["--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn of<'a>(steps: &'a [Value], child: &str) -> &'a Value {
    steps
        .iter()
        .find(|step| step["child"].as_str().is_some_and(|name| name.starts_with(child)))
        .unwrap_or_else(|| panic!("{child} is not in {steps:#?}"))
}

#[tokio::test]
async fn it_tells_what_would_be_done_and_why() {
    let mut sandbox = Sandbox::without_operator("explain").await;
    let missing = explain(&sandbox, &[]);
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(
        !missing.status.success() && error.contains("there is no McpServer jobs"),
        "{error}"
    );

    let spec = json!({"replicas": 2, "ingress": {"host": "jobs.example.com"}});
    sandbox
        .api()
        .create(&PostParams::default(), &server(NAME, spec))
        .await
        .unwrap();
    let before = steps(&sandbox);
    assert!(
        before.iter().all(|step| step["action"] == "create"),
        "{before:#?}"
    );

    sandbox.start_operator().await;
    sandbox.settle(NAME).await;
    let settled = steps(&sandbox);
    assert!(
        settled.iter().all(|step| step["action"] == "nothing"),
        "{settled:#?}"
    );

    sandbox.stop_operator().await;
    sandbox
        .change(NAME, json!({"ingress": null, "replicas": 3}))
        .await;
    sandbox
        .patch::<Service>(
            NAME,
            "a-person",
            json!({"spec": {"selector": {"version": "canary"}}}),
        )
        .await;
    sandbox
        .patch::<Deployment>(
            NAME,
            "a-person",
            json!({"metadata": {"annotations": {"theirs": "stays"}}}),
        )
        .await;
    let changed = steps(&sandbox);
    assert_eq!(of(&changed, "Ingress/")["action"], "delete");
    assert_eq!(of(&changed, "ServiceAccount/")["action"], "nothing");
    assert_eq!(
        of(&changed, "Service/")["differences"],
        json!([{"field": "spec.selector.version", "is": "\"canary\"", "shouldBe": "nothing"}])
    );
    let deployment = of(&changed, "Deployment/");
    assert_eq!(
        deployment["differences"][0],
        json!({"field": "spec.replicas", "is": "2", "shouldBe": "3"})
    );
    // The host is gone from what the server answers to.
    let field = deployment["differences"][1]["field"].as_str().unwrap();
    assert!(field.ends_with("env[ALLOWED_HOSTS].value"), "{deployment:#}");
    let text = String::from_utf8(explain(&sandbox, &[]).stdout).unwrap();
    assert!(text.contains("    spec.replicas: 2 -> 3"), "{text}");
}
