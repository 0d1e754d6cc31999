//! Who may reach a server's pods, and whom they may reach.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A NetworkPolicy that denies what it does not name. Without being named, the pods of the server reach each other,
/// the operator reaches them, and they reach the cluster's DNS.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Who may reach the MCP port (8080). Empty: nobody. An Ingress or a Gateway has to be named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub from: Vec<NetworkPeer>,

    /// Who may reach the admin port (9090) with the metrics, besides the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub metrics_from: Vec<NetworkPeer>,

    /// Whether the pods may reach every public address over HTTPS (TCP 443), as a job provider needs it.
    #[serde(default = "NetworkPolicySpec::default_public_https")]
    pub public_https: bool,

    /// What else the pods may reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub to: Vec<NetworkDestination>,

    /// Whom the pods ask for names, over TCP and UDP. Default: port 53 of the pods in `kube-system`, and of a
    /// NodeLocal DNSCache at 169.254.20.10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub dns: Vec<NetworkDestination>,
}

impl NetworkPolicySpec {
    const fn default_public_https() -> bool {
        true
    }
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self {
            from: Vec::new(),
            metrics_from: Vec::new(),
            public_https: Self::default_public_https(),
            to: Vec::new(),
            dns: Vec::new(),
        }
    }
}

/// Pods by their labels, or addresses.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cidr) ? !has(self.namespaceLabels) && !has(self.podLabels) : has(self.namespaceLabels) || has(self.podLabels)")
        .message("networkPolicy: a peer is either pods, by namespaceLabels, podLabels or both, or addresses, by cidr"),
    validation = Rule::new("!has(self.except) || has(self.cidr)")
        .message("networkPolicy: except needs cidr, the range that it takes addresses out of")
)]
pub struct NetworkPeer {
    /// Labels of the pods' namespace; `{}` is every namespace. Unset: the server's own. A namespace has its name as
    /// the label `kubernetes.io/metadata.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub namespace_labels: Option<BTreeMap<String, String>>,

    /// Labels of the pods. Unset, or `{}`: all pods of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub pod_labels: Option<BTreeMap<String, String>>,

    /// Addresses, such as `10.0.0.0/8`. For what is outside the cluster: pods by their addresses are not reliable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,

    /// Addresses within `cidr` that are meant not to be in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub except: Vec<String>,
}

/// Pods by their labels, or addresses, and their ports.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cidr) ? !has(self.namespaceLabels) && !has(self.podLabels) : has(self.namespaceLabels) || has(self.podLabels)")
        .message("networkPolicy: a peer is either pods, by namespaceLabels, podLabels or both, or addresses, by cidr"),
    validation = Rule::new("!has(self.except) || has(self.cidr)")
        .message("networkPolicy: except needs cidr, the range that it takes addresses out of")
)]
pub struct NetworkDestination {
    /// Labels of the pods' namespace; `{}` is every namespace. Unset: the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub namespace_labels: Option<BTreeMap<String, String>>,

    /// Labels of the pods. Unset, or `{}`: all pods of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub pod_labels: Option<BTreeMap<String, String>>,

    /// Addresses, such as `10.0.0.0/8`. For what is outside the cluster: pods by their addresses are not reliable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))]
    pub cidr: Option<String>,

    /// Addresses within `cidr` that are meant not to be in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub except: Vec<String>,

    /// Ports of the pods or addresses, not of a Service in front of them. Default: 443, or 53 for `dns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<i32>,
}

impl NetworkDestination {
    /// Where it is, without its ports.
    #[must_use]
    pub fn peer(&self) -> NetworkPeer {
        NetworkPeer {
            namespace_labels: self.namespace_labels.clone(),
            pod_labels: self.pod_labels.clone(),
            cidr: self.cidr.clone(),
            except: self.except.clone(),
        }
    }
}
