//! The operator, installed with its chart.

use std::{fs, path::Path};

use serde_json::Value;
use tokio::process::Command;

use crate::{kubectl, metrics::Metrics, setting};

/// The release, and the name of what the chart makes.
pub const RELEASE: &str = "iam-mcp-operator";
/// Where it is installed.
pub const NAMESPACE: &str = "iam-mcp-e2e-system";
/// The definition, which the chart installs too.
pub const DEFINITION: &str = "mcpservers.iam-mcp.dev";
/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/iam-mcp-operator");

async fn helm(args: &[&str]) -> String {
    let mut command = Command::new("helm");
    command
        .arg("--kubeconfig")
        .arg(setting("E2E_KUBECONFIG"))
        .args(args)
        .kill_on_drop(true);
    let output = command.output().await.expect("helm is in PATH");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "helm {} failed:\n{out}{error}",
        args.join(" ")
    );
    out
}

/// Installs or upgrades the release from `chart` and waits until it runs.
pub async fn install(chart: &str) {
    give_definition_to_helm().await;
    let image = setting("E2E_OPERATOR_IMAGE");
    let (repository, tag) = image.rsplit_once(':').expect("E2E_OPERATOR_IMAGE has a tag");
    let values = [
        format!("image.repository={repository}"),
        format!("image.tag={tag}"),
        format!("serverImage={}", setting("E2E_SERVER_IMAGE")),
    ];
    let mut args = vec![
        "upgrade",
        "--install",
        RELEASE,
        chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
    ];
    args.extend(["--wait", "--timeout", "120s"]);
    args.extend(values.iter().flat_map(|value| ["--set", value]));
    helm(&args).await;
}

/// Uninstalls the release and waits until its pods are gone.
pub async fn uninstall() {
    helm(&[
        "uninstall",
        RELEASE,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "120s",
    ])
    .await;
}

/// A definition that somebody applied by hand, as the reconcile tests do, cannot become helm's.
async fn give_definition_to_helm() {
    let found = kubectl::run(&["get", "crd", DEFINITION, "--ignore-not-found", "--output=json"]).await;
    let Ok(definition) = serde_json::from_str::<Value>(&found) else {
        return;
    };
    if definition["metadata"]["annotations"]["meta.helm.sh/release-name"].is_null() {
        kubectl::run(&["delete", "crd", DEFINITION, "--timeout=60s"]).await;
    }
}

/// One template of the chart, rendered for a release with `settings` (`--set` each).
pub async fn template(release: &str, template: &str, settings: &[&str]) -> String {
    let mut args = vec![
        "template",
        release,
        CHART,
        "--namespace",
        NAMESPACE,
        "--show-only",
        template,
    ];
    args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    helm(&args).await
}

/// Metrics of the running operator.
pub async fn metrics() -> Metrics {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-metrics:metrics/proxy/metrics");
    Metrics::parse(&kubectl::run(&["get", "--raw", &path]).await)
}

/// The log of the running operator.
pub async fn log() -> String {
    kubectl::run(&[
        "--namespace",
        NAMESPACE,
        "logs",
        &format!("deployment/{RELEASE}"),
        "--tail=-1",
    ])
    .await
}

/// Fails when the operator was refused anything: the chart's roles lack a verb that it uses. What is
/// refused because its namespace goes is no lack.
pub async fn assert_nothing_forbidden() {
    let log = log().await;
    let refused: Vec<_> = log
        .lines()
        .filter(|line| line.to_lowercase().contains("forbidden") && !line.contains("NamespaceTerminating"))
        .collect();
    assert!(
        refused.is_empty(),
        "the chart's roles lack something:\n{}",
        refused.join("\n")
    );
    let metrics = metrics().await;
    let forbidden = metrics.sum(
        "mcp_operator_reconciliations_total",
        &["outcome=\"api_forbidden\""],
    );
    assert_eq!(forbidden, 0, "reconciles that were refused something");
    assert_eq!(
        metrics.sum("mcp_operator_watch_errors_total", &[]),
        0,
        "{:?}",
        metrics.of("mcp_operator_watch_errors")
    );
}

/// A copy of the chart in `to`, with `from` replaced by `by` in its definition.
pub fn copy_chart(to: &Path, from: &str, by: &str) {
    copy(Path::new(CHART), to);
    let path = to.join("files").join("iam-mcp.dev_mcpservers.yaml");
    let text = fs::read_to_string(&path).expect("the chart's definition");
    assert!(text.contains(from), "{from:?} is not in the chart's definition");
    fs::write(&path, text.replace(from, by)).expect("a writable copy");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("the chart") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
