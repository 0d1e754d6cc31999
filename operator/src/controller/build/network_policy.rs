//! Who may reach the pods, and whom they may reach.

use std::collections::BTreeMap;

use iam_mcp_crds::{NetworkDestination, NetworkPeer, NetworkPolicySpec};
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec as Spec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    ValidatedServer,
    deployment::{ADMIN_PORT, HTTP_PORT, PEER_PORT},
    labels::pod_selector,
    metadata,
};
use crate::{OPERATOR, controller::validate::Program};

/// The label that every namespace has, with its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Addresses of version 4 that are not public: private, shared, loopback, link-local (where clouds serve credentials
/// to their machines), documentation, benchmarks, multicast, reserved (IANA's special-purpose registry).
const NOT_PUBLIC: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// Every public address of version 6 is in here.
const PUBLIC_V6: &str = "2000::/3";
const HTTPS_PORT: i32 = 443;
const DNS_PORT: i32 = 53;
/// Where a NodeLocal DNSCache listens on every node.
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";

pub(super) fn build(server: &ValidatedServer, policy: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(server),
        spec: Some(Spec {
            pod_selector: Some(selector(pod_selector(&server.name))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress(server, policy)),
            egress: Some(egress(server, policy)),
        }),
    }
}

fn ingress(server: &ValidatedServer, policy: &NetworkPolicySpec) -> Vec<NetworkPolicyIngressRule> {
    let rule = |from: Vec<NetworkPolicyPeer>, ports: &[i32]| NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(tcp(ports)),
    };
    // It asks the pods for their sessions, and speaks MCP with them.
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(selector(BTreeMap::from([(
            NAMESPACE_NAME.to_owned(),
            server.operator_namespace.clone(),
        )]))),
        pod_selector: Some(selector(BTreeMap::from([(
            "app.kubernetes.io/name".to_owned(),
            OPERATOR.to_owned(),
        )]))),
        ip_block: None,
    };
    let (program, http) = (&server.program, http_port(server));
    let mut rules = if program.has_admin_port() {
        vec![rule(vec![operator], &[http, ADMIN_PORT])]
    } else {
        vec![rule(vec![operator], &[http])]
    };
    if program.has_peer_port() {
        rules.push(rule(vec![same_server(server)], &[PEER_PORT]));
    }
    // An empty list of peers would let everybody in.
    for (peers, port) in [(&policy.from, http), (&policy.metrics_from, ADMIN_PORT)] {
        if !peers.is_empty() {
            rules.push(rule(peers.iter().map(peer).collect(), &[port]));
        }
    }
    rules
}

fn egress(server: &ValidatedServer, policy: &NetworkPolicySpec) -> Vec<NetworkPolicyEgressRule> {
    let rule = |to: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>| NetworkPolicyEgressRule {
        to: Some(to),
        ports: Some(ports),
    };
    let mut rules = Vec::new();
    if server.program.has_peer_port() {
        rules.push(rule(vec![same_server(server)], tcp(&[PEER_PORT])));
    }
    if policy.dns.is_empty() {
        let kube_system = NetworkPolicyPeer {
            namespace_selector: Some(selector(BTreeMap::from([(
                NAMESPACE_NAME.to_owned(),
                "kube-system".to_owned(),
            )]))),
            ..NetworkPolicyPeer::default()
        };
        rules.push(rule(
            vec![kube_system, addresses(NODE_LOCAL_DNS, &[])],
            udp_and_tcp(&[DNS_PORT]),
        ));
    }
    for place in &policy.dns {
        rules.push(rule(
            vec![peer(&place.peer())],
            udp_and_tcp(&ports(place, DNS_PORT)),
        ));
    }
    if policy.public_https {
        rules.push(rule(
            vec![addresses("0.0.0.0/0", &NOT_PUBLIC), addresses(PUBLIC_V6, &[])],
            tcp(&[HTTPS_PORT]),
        ));
    }
    for place in &policy.to {
        rules.push(rule(vec![peer(&place.peer())], tcp(&ports(place, HTTPS_PORT))));
    }
    rules
}

/// Where the server takes messages.
fn http_port(server: &ValidatedServer) -> i32 {
    match &server.program {
        Program::Http(image) => image.endpoint.port,
        Program::Ours | Program::Stdio(_) => HTTP_PORT,
    }
}

fn same_server(server: &ValidatedServer) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector(pod_selector(&server.name))),
        ..NetworkPolicyPeer::default()
    }
}

fn peer(given: &NetworkPeer) -> NetworkPolicyPeer {
    if let Some(cidr) = &given.cidr {
        let except: Vec<&str> = given.except.iter().map(String::as_str).collect();
        return addresses(cidr, &except);
    }
    NetworkPolicyPeer {
        namespace_selector: given.namespace_labels.clone().map(selector),
        pod_selector: given.pod_labels.clone().map(selector),
        ip_block: None,
    }
}

fn addresses(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then(|| except.iter().map(|e| (*e).to_owned()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        // Left out where empty, as the API server stores it: no label asked for, so everything is meant.
        match_labels: (!labels.is_empty()).then_some(labels),
        match_expressions: None,
    }
}

fn ports(place: &NetworkDestination, default: i32) -> Vec<i32> {
    if place.ports.is_empty() {
        vec![default]
    } else {
        place.ports.clone()
    }
}

fn tcp(ports: &[i32]) -> Vec<NetworkPolicyPort> {
    ports.iter().map(|number| port("TCP", *number)).collect()
}

fn udp_and_tcp(ports: &[i32]) -> Vec<NetworkPolicyPort> {
    ports
        .iter()
        .flat_map(|number| [port("UDP", *number), port("TCP", *number)])
        .collect()
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}
