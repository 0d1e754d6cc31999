//! What operators see of a server besides its metrics: its log, traces, and a line for each tool call.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job_search::SecretKeyRef;

/// What operators see of a server besides its metrics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySpec {
    /// How the lines of the log look. Default: `JSON`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,

    /// Where a line for each tool call goes. Default: `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_log: Option<AuditLog>,

    /// The key of a Secret with the token that lets others than the pod itself change its log level. It is mounted and
    /// read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token_secret_ref: Option<SecretKeyRef>,

    /// Traces to an OpenTelemetry collector. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesSpec>,
}

/// How the lines of the log look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LogFormat {
    /// A JSON object each.
    #[default]
    #[serde(rename = "JSON")]
    Json,
    /// For people.
    Text,
}

/// Where a line for each tool call goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AuditLog {
    /// Nowhere.
    #[default]
    None,
    /// Between the lines of the pod's log.
    Stderr,
}

/// Traces to an OpenTelemetry collector, by OTLP over HTTP in protobuf.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracesSpec {
    /// Where the collector takes them, such as `http://collector.observability.svc:4318`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$')").message("telemetry.traces.endpoint: use a URL such as http://collector:4318, without user, query and fragment; credentials belong into headersSecretRef"))]
    pub endpoint: String,

    /// The key of a Secret with headers for the collector, such as `authorization=Bearer%20TOKEN`, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretKeyRef>,

    /// Percent of the traces begun here that are sent. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub sample_percent: Option<i32>,
}
