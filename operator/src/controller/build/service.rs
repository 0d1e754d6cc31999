//! The stable address of the pods.

use std::collections::BTreeMap;

use iam_mcp_crds::{ExternalTrafficPolicy, ServiceType, SessionAffinity};
use k8s_openapi::{
    api::core::v1::{ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{ValidatedServer, labels::pod_selector, metadata, pod_monitor};

pub(super) fn build(server: &ValidatedServer) -> Service {
    let given = &server.service;
    let affinity = given.session_affinity;
    let mut metadata = metadata(server);
    let annotations = annotations(server);
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(pod_selector(&server.name)),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: given.port,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("http".to_owned())),
                app_protocol: given.app_protocol.clone(),
                node_port: given.node_port,
            }]),
            session_affinity: Some(
                match affinity {
                    // What `Auto` comes to is put in its place before; without a cluster nothing is known.
                    SessionAffinity::ClientIP | SessionAffinity::Auto => "ClientIP",
                    SessionAffinity::None => "None",
                }
                .to_owned(),
            ),
            session_affinity_config: (affinity != SessionAffinity::None).then_some(SessionAffinityConfig {
                client_ip: Some(ClientIPConfig {
                    timeout_seconds: Some(given.session_affinity_timeout_seconds),
                }),
            }),
            type_: Some(
                match given.type_.unwrap_or_default() {
                    ServiceType::ClusterIP => "ClusterIP",
                    ServiceType::NodePort => "NodePort",
                    ServiceType::LoadBalancer => "LoadBalancer",
                }
                .to_owned(),
            ),
            external_traffic_policy: given.external_traffic_policy.map(|policy| {
                match policy {
                    ExternalTrafficPolicy::Cluster => "Cluster",
                    ExternalTrafficPolicy::Local => "Local",
                }
                .to_owned()
            }),
            load_balancer_class: given.load_balancer_class.clone(),
            load_balancer_source_ranges: (!given.load_balancer_source_ranges.is_empty())
                .then(|| given.load_balancer_source_ranges.clone()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn annotations(server: &ValidatedServer) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    // On the Service and not on the pods: there they would restart every pod when they come or go.
    if pod_monitor::wants_annotations(server) {
        annotations.extend(pod_monitor::scrape_annotations());
    }
    annotations.extend(server.service.annotations.clone());
    annotations
}
