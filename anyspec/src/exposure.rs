//! How clients reach the server, and whom it reaches.

use serde_json::{Value, json};

use crate::{
    any::{Any, just, list, maybe, number, object, one_of, text, then, words, yes_or_no},
    names::{annotations, cidr, host, label, labels_or_all, path, subdomain},
};

/// The fields about the network.
pub(crate) fn fields() -> Vec<(&'static str, Any)> {
    vec![
        ("service", maybe(service())),
        ("ingress", maybe(ingress())),
        ("httpRoute", maybe(http_route())),
        ("networkPolicy", maybe(network_policy())),
    ]
}

fn service() -> Any {
    let any = object([
        ("type", maybe(words(&["ClusterIP", "NodePort", "LoadBalancer"]))),
        ("port", maybe(number(1..=65535))),
        ("sessionAffinity", maybe(words(&["ClientIP", "None", "Auto"]))),
        ("sessionAffinityTimeoutSeconds", maybe(number(1..=86400))),
        ("annotations", annotations()),
        ("hostnames", maybe(list(one_of([just(json!("*")), host()]), 1..3))),
        ("appProtocol", maybe(text("(kgateway\\.dev/)?[a-z]{1,6}"))),
        ("nodePort", maybe(number(30000..=32767))),
        ("externalTrafficPolicy", maybe(words(&["Cluster", "Local"]))),
        ("loadBalancerClass", maybe(text("lb\\.example\\.com/[a-z]{1,6}"))),
        ("loadBalancerSourceRanges", maybe(list(cidr(), 1..3))),
    ]);
    then(any, |service| {
        let type_ = service["type"].as_str().unwrap_or("ClusterIP").to_owned();
        let fields = service.as_object_mut().expect("an object");
        if type_ == "ClusterIP" {
            fields.remove("nodePort");
            fields.remove("externalTrafficPolicy");
        }
        if type_ != "LoadBalancer" {
            fields.remove("loadBalancerClass");
            fields.remove("loadBalancerSourceRanges");
        }
    })
}

fn ingress() -> Any {
    let class = || {
        maybe(one_of([
            words(&["nginx", "haproxy", "contour", "kong", "traefik", "gce"]),
            subdomain(),
        ]))
    };
    one_of([
        object([
            ("className", class()),
            ("path", maybe(path())),
            ("annotations", annotations()),
        ]),
        object([
            ("className", class()),
            ("host", host()),
            ("path", maybe(path())),
            ("tlsSecretName", maybe(subdomain())),
            ("annotations", annotations()),
        ]),
    ])
}

fn http_route() -> Any {
    let gateway = object([
        ("name", subdomain()),
        ("namespace", maybe(label())),
        ("sectionName", maybe(subdomain())),
        ("port", maybe(number(1..=65535))),
    ]);
    object([
        ("parentRefs", list(gateway, 1..3)),
        ("hostnames", maybe(list(host(), 1..3))),
        ("path", maybe(path())),
    ])
}

fn network_policy() -> Any {
    let peers = || maybe(list(peer(&[]), 1..3));
    let places = || {
        maybe(list(
            peer(&[("ports", maybe(list(number(1..=65535), 1..3)))]),
            1..3,
        ))
    };
    object([
        ("from", peers()),
        ("metricsFrom", peers()),
        ("publicHttps", maybe(yes_or_no())),
        ("to", places()),
        ("dns", places()),
    ])
}

/// Pods or addresses, and `more`.
fn peer(more: &[(&'static str, Any)]) -> Any {
    let with = |mut fields: Vec<(&'static str, Any)>| {
        fields.extend(more.iter().cloned());
        then(
            proptest::prelude::Strategy::boxed(crate::any::fields_of(fields)),
            |_| {},
        )
    };
    one_of([
        with(vec![
            ("namespaceLabels", labels_or_all()),
            ("podLabels", maybe(labels_or_all())),
        ]),
        with(vec![("podLabels", labels_or_all())]),
        with(vec![("cidr", cidr())]),
        with(vec![
            ("cidr", just(json!("0.0.0.0/0"))),
            ("except", parts_of_all()),
        ]),
    ])
}

fn parts_of_all() -> Any {
    list(
        then(cidr(), |cidr: &mut Value| {
            if cidr == "0.0.0.0/0" || cidr.as_str().is_some_and(|c| c.contains(':')) {
                *cidr = json!("10.0.0.0/8");
            }
        }),
        1..3,
    )
}
