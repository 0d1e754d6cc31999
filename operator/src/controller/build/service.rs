//! The stable address of the pods.

use iam_mcp_crds::SessionAffinity;
use k8s_openapi::{
    api::core::v1::{ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{ValidatedServer, labels::pod_selector, metadata};

pub(super) fn build(server: &ValidatedServer) -> Service {
    let affinity = server.service.session_affinity;
    Service {
        metadata: metadata(server),
        spec: Some(ServiceSpec {
            selector: Some(pod_selector(&server.name)),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: server.service.port,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("http".to_owned())),
                ..ServicePort::default()
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
                    timeout_seconds: Some(server.service.session_affinity_timeout_seconds),
                }),
            }),
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
