//! Where Prometheus finds the metrics.

use iam_mcp_crds::{MonitoringMode, MonitoringSpec};
use serde_json::{Value, json};

use super::{
    ValidatedServer,
    deployment::ADMIN_PORT,
    labels::{common, pod_selector},
    metadata,
};

/// Whether there should be a PodMonitor.
pub(super) fn wanted(server: &ValidatedServer) -> bool {
    match server.monitoring.as_ref().map(|m| m.mode) {
        None | Some(MonitoringMode::Annotations) => false,
        Some(MonitoringMode::Auto) => server.pod_monitors_served,
        // Asked for by name: where the cluster lacks the kind, the status says so.
        Some(MonitoringMode::PodMonitor) => true,
    }
}

/// Whether Prometheus is told by annotations.
pub(super) fn wants_annotations(server: &ValidatedServer) -> bool {
    server.monitoring.is_some() && !wanted(server)
}

/// What Prometheus' usual configuration reads.
pub(super) fn scrape_annotations() -> [(String, String); 3] {
    [
        ("prometheus.io/path", "/metrics".to_owned()),
        ("prometheus.io/port", ADMIN_PORT.to_string()),
        ("prometheus.io/scrape", "true".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

pub(super) fn build(server: &ValidatedServer, monitoring: &MonitoringSpec) -> Value {
    let mut metadata = metadata(server);
    let mut labels = monitoring.labels.clone();
    labels.extend(common(&server.name));
    metadata.labels = Some(labels);
    let mut endpoint = json!({"port": "admin", "path": "/metrics"});
    if let Some(interval) = &monitoring.interval {
        endpoint["interval"] = json!(interval);
    }
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": pod_selector(&server.name)},
            "podMetricsEndpoints": [endpoint],
        },
    })
}
