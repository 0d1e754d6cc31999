//! Who reaches whom under a rendered NetworkPolicy. No cluster here enforces policies, so a small evaluator of their
//! semantics stands in (the API reference of `networking.k8s.io/v1`): what selects a pod isolates it, a connection needs
//! a rule at both ends that are isolated, and an empty list of peers or of ports is everything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, net::IpAddr};

use iam_mcp_crds::{McpServer, McpServerSpec};
use iam_mcp_operator::controller::{
    build::build,
    validate::{Defaults, validate},
};
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::{Value, json};

/// Where the server is.
const NAMESPACE: &str = "mcp";
/// Where the operator is.
const SYSTEM: &str = "system";

fn policy(network_policy: &Value) -> NetworkPolicy {
    let spec: McpServerSpec = serde_json::from_value(json!({"networkPolicy": network_policy})).unwrap();
    let mut server = McpServer::new("jobs", spec);
    server.metadata.namespace = Some(NAMESPACE.to_owned());
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: SYSTEM.to_owned(),
    };
    let children = build(&validate(&server, &defaults, false).unwrap());
    children.network_policy.unwrap()
}

/// One end of a connection: a pod, or an address outside the cluster.
#[derive(Clone, Debug)]
struct End {
    /// Namespace and labels, of a pod.
    pod: Option<(&'static str, BTreeMap<String, String>)>,
    ip: IpAddr,
}

fn pod(namespace: &'static str, labels: &[(&str, &str)]) -> End {
    End {
        pod: Some((
            namespace,
            labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )),
        ip: "10.1.2.3".parse().unwrap(),
    }
}

fn address(ip: &str) -> End {
    End {
        pod: None,
        ip: ip.parse().unwrap(),
    }
}

/// A pod of the server under test.
fn ours() -> End {
    pod(
        NAMESPACE,
        &[
            ("app", "jobs"),
            ("app.kubernetes.io/managed-by", "iam-mcp-operator"),
        ],
    )
}

/// Labels of a namespace: its name, as every cluster sets it, and one of a person's for `ingress`.
fn namespace_labels(name: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
    if name == "ingress" {
        labels.insert("role".to_owned(), "edge".to_owned());
    }
    labels
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    assert!(selector.match_expressions.is_none(), "not evaluated here");
    let wanted = selector.match_labels.iter().flatten();
    wanted
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

fn contains(cidr: &str, ip: IpAddr) -> bool {
    let (base, prefix) = cidr.split_once('/').unwrap();
    let prefix: u32 = prefix.parse().unwrap();
    let differing = match (base.parse().unwrap(), ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= prefix
}

fn is_peer(peer: &NetworkPolicyPeer, end: &End) -> bool {
    if let Some(block) = &peer.ip_block {
        return contains(&block.cidr, end.ip)
            && !block
                .except
                .iter()
                .flatten()
                .any(|except| contains(except, end.ip));
    }
    let Some((namespace, labels)) = &end.pod else {
        return false;
    };
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => selects(selector, &namespace_labels(namespace)),
        None => *namespace == NAMESPACE,
    };
    in_namespace
        && peer
            .pod_selector
            .as_ref()
            .is_none_or(|selector| selects(selector, labels))
}

fn allows(
    peers: Option<&Vec<NetworkPolicyPeer>>,
    ports: Option<&Vec<NetworkPolicyPort>>,
    end: &End,
    (protocol, number): (&str, i32),
) -> bool {
    let any_peer = peers.is_none_or(Vec::is_empty);
    let any_port = ports.is_none_or(Vec::is_empty);
    let is_port = |port: &NetworkPolicyPort| {
        port.protocol.as_deref().unwrap_or("TCP") == protocol
            && port
                .port
                .as_ref()
                .is_none_or(|port| *port == IntOrString::Int(number))
    };
    (any_peer || peers.into_iter().flatten().any(|peer| is_peer(peer, end)))
        && (any_port || ports.into_iter().flatten().any(is_port))
}

/// Whether `from` reaches a port of `to`, as far as `policy` says.
fn reaches(policy: &NetworkPolicy, from: &End, to: &End, port: (&str, i32)) -> bool {
    assert_eq!(policy.metadata.namespace.as_deref(), Some(NAMESPACE));
    let spec = policy.spec.as_ref().unwrap();
    let isolates = |end: &End, direction: &str| {
        let selected = end.pod.as_ref().is_some_and(|(namespace, labels)| {
            *namespace == NAMESPACE
                && spec
                    .pod_selector
                    .as_ref()
                    .is_none_or(|selector| selects(selector, labels))
        });
        selected && spec.policy_types.iter().flatten().any(|t| t == direction)
    };
    let mut out = spec.egress.iter().flatten();
    let mut into = spec.ingress.iter().flatten();
    (!isolates(from, "Egress") || out.any(|rule| allows(rule.to.as_ref(), rule.ports.as_ref(), to, port)))
        && (!isolates(to, "Ingress")
            || into.any(|rule| allows(rule.from.as_ref(), rule.ports.as_ref(), from, port)))
}

/// One line of a table: who, whom, which port, whether it gets through.
type Case = (&'static str, End, End, (&'static str, i32), bool);

fn check(network_policy: &Value, cases: Vec<Case>) {
    let policy = policy(network_policy);
    let wrong: Vec<_> = cases
        .into_iter()
        .filter(|(_, from, to, port, want)| reaches(&policy, from, to, *port) != *want)
        .map(|(what, .., want)| format!("{what}: should {}", if want { "pass" } else { "be denied" }))
        .collect();
    assert!(wrong.is_empty(), "{}\n{:#?}", wrong.join("\n"), policy.spec);
}

const MCP: (&str, i32) = ("TCP", 8080);
const ADMIN: (&str, i32) = ("TCP", 9090);
const PEER: (&str, i32) = ("TCP", 9091);
const HTTPS: (&str, i32) = ("TCP", 443);
const DNS: (&str, i32) = ("UDP", 53);

fn operator() -> End {
    pod(SYSTEM, &[("app.kubernetes.io/name", "iam-mcp-operator")])
}

fn client() -> End {
    pod("ingress", &[("app", "proxy")])
}

#[test]
fn by_default_only_the_operator_and_the_server_itself_come_in() {
    let elsewhere = pod("other", &[("app.kubernetes.io/name", "iam-mcp-operator")]);
    let neighbour = pod(
        NAMESPACE,
        &[
            ("app", "more"),
            ("app.kubernetes.io/managed-by", "iam-mcp-operator"),
        ],
    );
    check(
        &json!({}),
        vec![
            ("operator to MCP", operator(), ours(), MCP, true),
            ("operator to admin", operator(), ours(), ADMIN, true),
            ("operator to peer port", operator(), ours(), PEER, false),
            (
                "another pod beside the operator",
                pod(SYSTEM, &[]),
                ours(),
                ADMIN,
                false,
            ),
            (
                "a pod that only looks like the operator",
                elsewhere,
                ours(),
                ADMIN,
                false,
            ),
            ("the server's own pods", ours(), ours(), PEER, true),
            ("the server's own pods to MCP", ours(), ours(), MCP, false),
            ("the server's own pods to admin", ours(), ours(), ADMIN, false),
            ("another server's pods", neighbour.clone(), ours(), PEER, false),
            ("another server's pods to MCP", neighbour, ours(), MCP, false),
            ("a client", client(), ours(), MCP, false),
            ("a pod of the namespace", pod(NAMESPACE, &[]), ours(), MCP, false),
            ("from outside", address("8.8.8.8"), ours(), MCP, false),
            ("between others", client(), pod(NAMESPACE, &[]), MCP, true),
        ],
    );
}

#[test]
fn by_default_pods_go_to_names_and_public_https_and_nowhere_else() {
    let dns = pod("kube-system", &[("k8s-app", "kube-dns")]);
    check(
        &json!({}),
        vec![
            ("DNS", ours(), dns.clone(), DNS, true),
            ("DNS over TCP", ours(), dns.clone(), ("TCP", 53), true),
            ("more of kube-system", ours(), dns, HTTPS, false),
            ("DNS elsewhere", ours(), pod("other", &[]), DNS, false),
            ("DNS outside", ours(), address("8.8.8.8"), DNS, false),
            (
                "the node's DNS cache",
                ours(),
                address("169.254.20.10"),
                DNS,
                true,
            ),
            ("public HTTPS", ours(), address("104.18.0.1"), HTTPS, true),
            (
                "public HTTPS, version 6",
                ours(),
                address("2606:4700::1"),
                HTTPS,
                true,
            ),
            ("public HTTP", ours(), address("104.18.0.1"), ("TCP", 80), false),
            ("QUIC", ours(), address("104.18.0.1"), ("UDP", 443), false),
            (
                "credentials of the cloud",
                ours(),
                address("169.254.169.254"),
                ("TCP", 80),
                false,
            ),
            (
                "credentials of the cloud, HTTPS",
                ours(),
                address("169.254.169.254"),
                HTTPS,
                false,
            ),
            ("private 10", ours(), address("10.0.0.1"), HTTPS, false),
            ("private 172.16", ours(), address("172.31.255.1"), HTTPS, false),
            (
                "beside private 172.16",
                ours(),
                address("172.32.0.1"),
                HTTPS,
                true,
            ),
            ("private 192.168", ours(), address("192.168.1.1"), HTTPS, false),
            ("shared", ours(), address("100.100.0.1"), HTTPS, false),
            ("private, version 6", ours(), address("fd00::1"), HTTPS, false),
            ("link-local, version 6", ours(), address("fe80::1"), HTTPS, false),
            ("a pod by HTTPS", ours(), pod("other", &[]), HTTPS, false),
            (
                "a database",
                ours(),
                pod(NAMESPACE, &[("app", "db")]),
                ("TCP", 5432),
                false,
            ),
        ],
    );
}

#[test]
fn who_is_named_comes_in_and_only_there() {
    let spec = json!({
        "from": [
            {"namespaceLabels": {"role": "edge"}, "podLabels": {"app": "proxy"}},
            {"podLabels": {"client": "yes"}},
            {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]},
        ],
        "metricsFrom": [{"namespaceLabels": {"kubernetes.io/metadata.name": "monitoring"}}],
    });
    let prometheus = pod("monitoring", &[("app", "prometheus")]);
    check(
        &spec,
        vec![
            ("both labels", client(), ours(), MCP, true),
            ("both labels, admin port", client(), ours(), ADMIN, false),
            ("both labels, peer port", client(), ours(), PEER, false),
            (
                "another pod there",
                pod("ingress", &[("app", "else")]),
                ours(),
                MCP,
                false,
            ),
            (
                "such a pod elsewhere",
                pod("other", &[("app", "proxy")]),
                ours(),
                MCP,
                false,
            ),
            (
                "pods here",
                pod(NAMESPACE, &[("client", "yes")]),
                ours(),
                MCP,
                true,
            ),
            (
                "such pods elsewhere",
                pod("other", &[("client", "yes")]),
                ours(),
                MCP,
                false,
            ),
            ("an address", address("203.0.113.7"), ours(), MCP, true),
            (
                "an address taken out",
                address("203.0.113.200"),
                ours(),
                MCP,
                false,
            ),
            ("an address beside", address("203.0.114.7"), ours(), MCP, false),
            ("metrics", prometheus.clone(), ours(), ADMIN, true),
            ("metrics' reader to MCP", prometheus, ours(), MCP, false),
        ],
    );
}

#[test]
fn empty_labels_are_every_namespace() {
    check(
        &json!({"from": [{"namespaceLabels": {}}]}),
        vec![
            ("any pod", client(), ours(), MCP, true),
            ("any pod here", pod(NAMESPACE, &[]), ours(), MCP, true),
            ("any pod to admin", client(), ours(), ADMIN, false),
            ("from outside", address("8.8.8.8"), ours(), MCP, false),
        ],
    );
}

#[test]
fn where_they_may_go_can_be_narrowed_and_widened() {
    let spec = json!({
        "publicHttps": false,
        "to": [
            {"cidr": "104.18.0.0/16"},
            {"podLabels": {"app": "db"}, "ports": [5432, 6432]},
            {"namespaceLabels": {"kubernetes.io/metadata.name": "otel"}, "ports": [4318]},
        ],
        "dns": [{"namespaceLabels": {"kubernetes.io/metadata.name": "openshift-dns"}, "ports": [5353]}],
    });
    let db = pod(NAMESPACE, &[("app", "db")]);
    check(
        &spec,
        vec![
            ("the range", ours(), address("104.18.3.4"), HTTPS, true),
            ("another address", ours(), address("104.19.3.4"), HTTPS, false),
            (
                "the range, another port",
                ours(),
                address("104.18.3.4"),
                ("TCP", 80),
                false,
            ),
            ("the database", ours(), db.clone(), ("TCP", 5432), true),
            ("its second port", ours(), db.clone(), ("TCP", 6432), true),
            ("its default port", ours(), db, HTTPS, false),
            (
                "such pods elsewhere",
                ours(),
                pod("other", &[("app", "db")]),
                ("TCP", 5432),
                false,
            ),
            ("a collector", ours(), pod("otel", &[]), ("TCP", 4318), true),
            (
                "the DNS named",
                ours(),
                pod("openshift-dns", &[]),
                ("UDP", 5353),
                true,
            ),
            ("the DNS of default", ours(), pod("kube-system", &[]), DNS, false),
            ("the server's own pods", ours(), ours(), PEER, true),
        ],
    );
}

/// An empty list of peers or of ports would be everything.
#[test]
fn no_rule_is_open_by_being_empty() {
    for spec in [
        json!({}),
        json!({"from": [], "metricsFrom": [], "to": [], "dns": [], "publicHttps": false}),
        json!({"from": [{"podLabels": {}}], "to": [{"podLabels": {}, "ports": []}]}),
    ] {
        let spec = policy(&spec).spec.unwrap();
        assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
        for rule in spec.ingress.unwrap() {
            assert!(!rule.from.unwrap().is_empty() && !rule.ports.unwrap().is_empty());
        }
        for rule in spec.egress.unwrap() {
            assert!(!rule.to.unwrap().is_empty() && !rule.ports.unwrap().is_empty());
        }
    }
}

#[test]
fn addresses_that_kubernetes_would_refuse_are_told_beforehand() {
    for (spec, part) in [
        (
            json!({"from": [{"cidr": "10.0.0.1/8"}]}),
            "first address of the range",
        ),
        (
            json!({"from": [{"cidr": "10.0.0.0/40"}]}),
            "no range of addresses",
        ),
        (
            json!({"from": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}]}),
            "not a part of cidr 10.0.0.0/8",
        ),
        (json!({"to": [{}]}), "networkPolicy.to[0]: needs namespaceLabels"),
        (
            json!({"dns": [{"cidr": "10.0.0.0/8", "podLabels": {}}]}),
            "networkPolicy.dns[0]: is either",
        ),
        (
            json!({"metricsFrom": [{"podLabels": {}, "except": ["10.0.0.0/8"]}]}),
            "except needs cidr",
        ),
    ] {
        let spec: McpServerSpec = serde_json::from_value(json!({"networkPolicy": spec})).unwrap();
        let defaults = Defaults {
            server_image: "image:1".to_owned(),
            operator_namespace: SYSTEM.to_owned(),
        };
        let error = validate(&McpServer::new("jobs", spec), &defaults, false).unwrap_err();
        assert!(error.to_string().contains(part), "{error} lacks {part:?}");
    }
}
