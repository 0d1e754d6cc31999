//! How Prometheus finds a server's metrics.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How Prometheus finds the metrics of the pods (`/metrics` on the admin port).
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'Annotations' || (!has(self.interval) && !has(self.labels))")
        .message("monitoring: interval and labels are for a PodMonitor; mode Annotations has none")
)]
pub struct MonitoringSpec {
    /// `Auto`: a PodMonitor where the cluster has that kind, else annotations.
    #[serde(default)]
    pub mode: MonitoringMode,

    /// Time between two scrapes, such as `30s`. Default: that of the Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 16),
        regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$")
    )]
    pub interval: Option<String>,

    /// More labels of the PodMonitor, by which a Prometheus chooses it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("!self.exists(k, k == 'app' || k.startsWith('app.kubernetes.io/'))").message("monitoring.labels: app and app.kubernetes.io/* are the operator's own labels"))]
    pub labels: BTreeMap<String, String>,
}

/// By what Prometheus finds the pods.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum MonitoringMode {
    /// A PodMonitor where the cluster has that kind, else annotations.
    #[default]
    Auto,
    /// A PodMonitor of the Prometheus operator.
    PodMonitor,
    /// `prometheus.io/scrape` and its like on the Service.
    Annotations,
}
