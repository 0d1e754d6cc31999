//! How clients reach a server: its Service and its Ingress.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service in front of the pods.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// Port of the Service; it leads to the container's port 8080.
    #[serde(default = "ServiceSpec::default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,

    /// Whether a client address keeps its pod. No session of this project's server needs it: it saves messages
    /// a hop between pods, and costs an even spread. A server that keeps sessions in one pod needs it.
    #[serde(default)]
    pub session_affinity: SessionAffinity,

    /// Seconds that a client address keeps its pod after its last packet. Without effect when
    /// `sessionAffinity` is `None`.
    #[serde(default = "ServiceSpec::default_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub session_affinity_timeout_seconds: i32,
}

impl ServiceSpec {
    const fn default_port() -> i32 {
        80
    }

    const fn default_timeout() -> i32 {
        3600
    }
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            port: Self::default_port(),
            session_affinity: SessionAffinity::default(),
            session_affinity_timeout_seconds: Self::default_timeout(),
        }
    }
}

/// Whether a client address keeps its pod.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SessionAffinity {
    /// It does. Clients behind one proxy or NAT all land on one pod.
    #[default]
    ClientIP,
    /// It does not: every connection may lead to another pod.
    None,
    /// It does not for a server that was seen to give no session ids, and does else. The status says which
    /// and why.
    Auto,
}

/// An Ingress for clients outside the cluster.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.tlsSecretName) || has(self.host)")
        .message("ingress: tlsSecretName needs host, the name that the certificate is for")
)]
pub struct IngressSpec {
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,

    /// Host name of the server. Unset: every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub host: Option<String>,

    /// Path under which the server is reached; the server answers below it too.
    #[serde(default = "IngressSpec::default_path")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches('^/([-._~a-zA-Z0-9]+(/[-._~a-zA-Z0-9]+)*)?$')").message("ingress.path: starts with '/' and does not end with one, for example /jobs"))]
    pub path: String,

    /// Secret with the certificate of `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,

    /// Annotations of the Ingress, for its controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

impl IngressSpec {
    fn default_path() -> String {
        "/".to_owned()
    }
}

impl Default for IngressSpec {
    fn default() -> Self {
        Self {
            class_name: None,
            host: None,
            path: Self::default_path(),
            tls_secret_name: None,
            annotations: BTreeMap::new(),
        }
    }
}
