//! Traces: a reconcile is one, with every request to the API server in it.

use iam_mcp_e2e::{
    collector::{Collector, attribute},
    operator::{Operator, command},
    sandbox::Sandbox,
    servers::NAME,
};
use serde_json::json;

#[tokio::test]
async fn a_reconcile_is_one_trace() {
    let sandbox = Sandbox::without_operator("traces").await;
    let collector = Collector::start().await;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let operator = Operator::start_in(sandbox.namespace(), &[], &environment).await;
    sandbox.submit(NAME, json!({})).await;
    let (made, apply, reconcile) = collector
        .until("a Deployment to be made in a reconcile", |spans| {
            let above = |id: &[u8]| spans.iter().find(|span| span.span_id == id);
            let made = spans
                .iter()
                .find(|span| span.name == "patch deployments")
                .or_else(|| spans.iter().find(|span| span.name == "create deployments"))?;
            let apply = above(&made.parent_span_id)?;
            Some((made.clone(), apply.clone(), above(&apply.parent_span_id)?.clone()))
        })
        .await;
    assert_eq!(
        (apply.name.as_str(), reconcile.name.as_str()),
        ("apply", "reconcile")
    );
    assert!(reconcile.parent_span_id.is_empty(), "{reconcile:?}");
    for span in [&made, &apply] {
        assert_eq!(span.trace_id, reconcile.trace_id, "{span:?}");
    }
    let of = |name: &str| attribute(&reconcile.attributes, name);
    assert_eq!(of("mcpserver").as_deref(), Some(NAME));
    assert_eq!(of("k8s.namespace.name").as_deref(), Some(sandbox.namespace()));
    let code = attribute(&made.attributes, "http.response.status_code");
    assert!(matches!(code.as_deref(), Some("200" | "201")), "{code:?}");
    assert!(
        collector
            .services()
            .iter()
            .all(|service| service == "iam-mcp-operator"),
        "{:?}",
        collector.services()
    );

    let requests = operator.metrics().await;
    let family = "mcp_operator_api_requests_total";
    let written = requests.sum(family, &["resource=\"deployments\"", "verb=\"patch\""]);
    assert!(written >= 1, "{written}");
    assert_eq!(requests.sum(family, &["code=\"0\""]), 0, "all were answered");
}

/// What the SDK would pass over in silence ends the start.
#[test]
fn a_collector_that_cannot_be_sent_to_is_refused() {
    let output = command()
        .args(["run", "--metrics-bind", "0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .expect("the operator");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    for part in [
        "OTEL_EXPORTER_OTLP_ENDPOINT: use a URL",
        "OTEL_EXPORTER_OTLP_PROTOCOL=\"grpc\": use http/protobuf",
    ] {
        assert!(told.contains(part), "{told}");
    }
}
