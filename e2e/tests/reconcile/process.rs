//! The operator as a process: start, ports, signals, messages.

use std::{process::Stdio, time::Duration};

use iam_mcp_e2e::{operator, sandbox::Sandbox, servers::NAME};
use serde_json::json;

#[tokio::test]
async fn the_admin_port_answers_and_sigterm_ends_it_cleanly() {
    let mut sandbox = Sandbox::new("process").await;
    sandbox.serve(NAME, json!({})).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(
            sandbox.operator().get(path).await.map(|(status, _)| status),
            Some(200),
            "{path}"
        );
    }
    let (_, metrics) = sandbox.operator().get("/metrics").await.unwrap();
    for name in [
        "mcp_operator_reconciliations_total{outcome=\"ok\"}",
        "mcp_operator_reconcile_duration_seconds_bucket",
        "mcp_operator_api_writes_total",
        "mcp_operator_leader 1",
        "mcp_operator_build_info{version=",
    ] {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
    assert!(
        !metrics.contains(sandbox.namespace()),
        "an object's name is no label"
    );
    assert_eq!(
        sandbox
            .operator()
            .get("/elsewhere")
            .await
            .map(|(status, _)| status),
        Some(404)
    );

    let operator = sandbox.take_operator();
    let (took, status) = operator.stop().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[tokio::test]
async fn metrics_can_be_off() {
    let sandbox = Sandbox::without_operator("process").await;
    let mut child = operator::command()
        .args([
            "run",
            "--metrics-bind",
            "0",
            "--watch-namespaces",
            sandbox.namespace(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sandbox.submit(NAME, json!({})).await;
    sandbox
        .child::<k8s_openapi::api::apps::v1::Deployment>(NAME, "it to work all the same", |_| true)
        .await;
    let listens = std::process::Command::new("ss").args(["-Hltnp"]).output();
    let _ = child.kill();
    let _ = child.wait();
    if let Ok(listens) = listens {
        let listens = String::from_utf8_lossy(&listens.stdout).into_owned();
        assert!(!listens.contains(&format!("pid={},", child.id())), "{listens}");
    }
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_told_in_a_line() {
    let told = |args: &[&str]| {
        let output = operator::command()
            .env_remove("KUBECONFIG")
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = told(&["run", "--metrics-bind", "0", "--kubeconfig", "/nowhere/config"]);
    assert!(
        error.contains("--kubeconfig: cannot read /nowhere/config"),
        "{error}"
    );
    let error = told(&["run", "--metrics-bind", "0"]);
    assert!(
        error.contains("give --kubeconfig, set KUBECONFIG, or run in a pod"),
        "{error}"
    );
    let error = told(&["run", "--metrics-bind", "300.1.1.1:1"]);
    assert!(
        error.contains("--metrics-bind: cannot listen on 300.1.1.1:1"),
        "{error}"
    );
    assert!(!error.contains("panicked"), "{error}");
}
