//! How clients reach a server: its Service and its Ingress.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service in front of the pods.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')")
        .message("service: nodePort needs type NodePort or LoadBalancer"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')")
        .message("service: externalTrafficPolicy needs type NodePort or LoadBalancer"),
    validation = Rule::new("!has(self.loadBalancerClass) || (has(self.type) && self.type == 'LoadBalancer')")
        .message("service: loadBalancerClass needs type LoadBalancer"),
    validation = Rule::new("!has(self.loadBalancerSourceRanges) || (has(self.type) && self.type == 'LoadBalancer')")
        .message("service: loadBalancerSourceRanges needs type LoadBalancer")
)]
pub struct ServiceSpec {
    /// How the Service is reached. Default: `ClusterIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,

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

    /// Annotations of the Service, for its load balancer or service mesh.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,

    /// More names by which clients call the server, which answers 403 to those that it does not know: that of a load
    /// balancer, a node, or a Gateway whose route names none. `*` is every name, for a proxy that checks them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(
                pattern = r"^(\*|(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"
            )
        )
    )]
    pub hostnames: Vec<String>,

    /// The application protocol of the port, for gateways that read it, such as `kgateway.dev/mcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_protocol: Option<String>,

    /// Port on every node, of the types `NodePort` and `LoadBalancer`. Default: a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,

    /// Whether a node passes what comes from outside on to pods of other nodes (`Cluster`, the default), or keeps
    /// the client's address and serves with its own pods only (`Local`). Without `Local`, an affinity by client
    /// address sees the nodes' addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,

    /// Which load balancer, of the type `LoadBalancer`. Default: the cluster's own. Kubernetes lets nobody change
    /// it while the type stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,

    /// Who may reach the load balancer, as CIDRs. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 49), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub load_balancer_source_ranges: Vec<String>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServiceType {
    /// At an address inside the cluster.
    #[default]
    ClusterIP,
    /// At a port of every node too.
    NodePort,
    /// Through a load balancer of the cloud too.
    LoadBalancer,
}

/// Whether a node passes what comes from outside on to pods of other nodes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ExternalTrafficPolicy {
    /// It does; the pods see a node's address.
    Cluster,
    /// It does not; the pods see the client's address.
    Local,
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
            type_: None,
            port: Self::default_port(),
            session_affinity: SessionAffinity::default(),
            session_affinity_timeout_seconds: Self::default_timeout(),
            annotations: BTreeMap::new(),
            hostnames: Vec::new(),
            app_protocol: None,
            node_port: None,
            external_traffic_policy: None,
            load_balancer_class: None,
            load_balancer_source_ranges: Vec::new(),
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

    /// Annotations of the Ingress, for its controller. Those that long streams need are there by themselves for
    /// the classes that the operator knows; one given here replaces the operator's.
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
