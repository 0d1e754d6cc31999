//! All children a server should have. Pure: the same server gives the same children.

mod additions;
mod auth;
mod deployment;
mod env;
mod hpa;
mod http_route;
mod image;
mod ingress;
mod ingress_class;
mod jobs;
mod labels;
mod limits;
mod network_policy;
mod pdb;
mod pod_monitor;
mod pods;
mod service;
mod service_account;
mod telemetry;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PodTemplateSpec, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::api::ObjectMeta;
use serde_json::Value;

pub use auth::{TOKENS, token_secret_name, tokens_of};
pub use deployment::{MARGIN, MCP_PORT, REFERENCES};
pub use image::ports;
pub use ingress_class::notice as ingress_notice;
pub use jobs::{CATALOGUE_DIR, SAVED_DIR};
pub use labels::{MANAGED_BY, common as common_labels, managed_selector, pod_selector, selector_string};

use super::validate::{Program, ValidatedServer};

/// Where the server's session key stands in the Secret `NAME-keys`.
pub const SESSION_KEY: &str = "session-key";

/// What the name of the Secret with the keys of a server ends with.
pub const KEYS_SUFFIX: &str = "-keys";

/// Name of the Secret with the keys that the server needs and nobody should type.
#[must_use]
pub fn keys_secret_name(server: &str) -> String {
    format!("{server}{KEYS_SUFFIX}")
}

/// The children of one server. The Secret with its keys is not among them: its content is random, so
/// it is made once (see `keys`), and never rendered.
#[derive(Clone, Debug)]
pub struct Children {
    /// The pods' identity, which may do nothing; none where the resource names another.
    pub service_account: Option<ServiceAccount>,
    /// The stable address of the pods.
    pub service: Service,
    /// The pods.
    pub deployment: Deployment,
    /// How many pods may be evicted at a time, where there can be several.
    pub pdb: Option<PodDisruptionBudget>,
    /// Who may reach the pods, and whom they may reach, if wanted.
    pub network_policy: Option<NetworkPolicy>,
    /// The door from outside the cluster, if wanted.
    pub ingress: Option<Ingress>,
    /// The way through a Gateway, if wanted. A kind that a cluster may lack.
    pub http_route: Option<Value>,
    /// The owner of the number of pods, if wanted.
    pub hpa: Option<HorizontalPodAutoscaler>,
    /// Where Prometheus finds the metrics, if wanted. A kind that a cluster may lack.
    pub pod_monitor: Option<Value>,
}

/// Builds all children of `server`.
#[must_use]
pub fn build(server: &ValidatedServer) -> Children {
    Children {
        service_account: (server.pods.service_account.is_none()).then(|| service_account::build(server)),
        service: service::build(server),
        deployment: deployment::build(server),
        pdb: (server.disruption.enabled && server.may_have_several_pods()).then(|| pdb::build(server)),
        network_policy: server
            .network_policy
            .as_ref()
            .map(|spec| network_policy::build(server, spec)),
        ingress: server.ingress.as_ref().map(|spec| ingress::build(server, spec)),
        http_route: server
            .http_route
            .as_ref()
            .map(|spec| http_route::build(server, spec)),
        hpa: server.autoscaling.as_ref().map(|spec| hpa::build(server, spec)),
        pod_monitor: server
            .monitoring
            .as_ref()
            .filter(|_| pod_monitor::wanted(server))
            .map(|spec| pod_monitor::build(server, spec)),
    }
}

/// The template of the pods of `server`, before `podTemplate` changes it.
#[must_use]
pub fn pod_template(server: &ValidatedServer) -> PodTemplateSpec {
    deployment::template(server)
}

/// Metadata that every child has.
fn metadata(server: &ValidatedServer) -> ObjectMeta {
    ObjectMeta {
        name: Some(server.name.clone()),
        namespace: Some(server.namespace.clone()),
        labels: Some(labels::common(&server.name)),
        ..ObjectMeta::default()
    }
}

/// Where MCP clients connect: the Ingress' host if it names one, else the Service's DNS name.
#[must_use]
pub fn url(server: &ValidatedServer) -> String {
    // Another image has no base path of ours: its own is all there is.
    let (mcp, other) = match &server.program {
        Program::Http(image) => (image.endpoint.path.as_str(), true),
        Program::Ours | Program::Stdio(_) => ("/mcp", false),
    };
    match &server.ingress {
        Some(ingress) if ingress.host.as_deref().is_some_and(|h| !h.starts_with('*')) => {
            let scheme = if ingress.tls_secret_name.is_some() {
                "https"
            } else {
                "http"
            };
            let host = ingress.host.as_deref().unwrap_or_default();
            let base = if other {
                ""
            } else {
                ingress.path.trim_end_matches('/')
            };
            format!("{scheme}://{host}{base}{mcp}")
        }
        _ => {
            let port = if server.service.port == 80 {
                String::new()
            } else {
                format!(":{}", server.service.port)
            };
            format!("http://{}.{}.svc{port}{mcp}", server.name, server.namespace)
        }
    }
}
