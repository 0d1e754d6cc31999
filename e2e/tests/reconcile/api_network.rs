//! Rules of the fields about how clients reach a server, how it is scaled and watched: each from both sides.

use serde_json::{Value, json};

use crate::api::check;

fn refused(specs: Vec<(Value, &'static str)>) -> impl Iterator<Item = (Value, Result<(), &'static str>)> {
    specs.into_iter().map(|(spec, part)| (spec, Err(part)))
}

fn taken(specs: Vec<Value>) -> impl Iterator<Item = (Value, Result<(), &'static str>)> {
    specs.into_iter().map(|spec| (spec, Ok(())))
}

#[tokio::test]
async fn autoscaling() {
    let rules = |rules: Value| json!({"autoscaling": {"behavior": {"scaleDown": rules}}});
    let policy = |policy: Value| rules(json!({"policies": [policy]}));
    let good = vec![
        json!({"autoscaling": {"memoryUtilization": 80}}),
        json!({"autoscaling": {"behavior": {}}}),
        json!({"autoscaling": {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}}),
        rules(json!({"stabilizationWindowSeconds": 0})),
        rules(json!({"stabilizationWindowSeconds": 3600})),
        policy(json!({"type": "Pods", "value": 1, "periodSeconds": 1800})),
    ];
    let bad = vec![
        (
            json!({"autoscaling": {"memoryUtilization": 0}}),
            "memoryUtilization",
        ),
        (
            rules(json!({"stabilizationWindowSeconds": 3601})),
            "stabilizationWindowSeconds",
        ),
        (
            rules(json!({"stabilizationWindowSeconds": -1})),
            "stabilizationWindowSeconds",
        ),
        (rules(json!({"selectPolicy": "None"})), "selectPolicy"),
        (
            policy(json!({"type": "Pods", "value": 0, "periodSeconds": 60})),
            "value",
        ),
        (
            policy(json!({"type": "Pods", "value": 1, "periodSeconds": 1801})),
            "periodSeconds",
        ),
        (
            policy(json!({"type": "Nodes", "value": 1, "periodSeconds": 60})),
            "type",
        ),
        (policy(json!({"value": 1, "periodSeconds": 60})), "type"),
    ];
    check(taken(good).chain(refused(bad)).collect()).await;
}

#[tokio::test]
async fn disruption() {
    let most = |most: Value| json!({"disruption": {"maxUnavailable": most}});
    let help = "a number from 1 to 1000, or a percentage from 1% to 100%";
    let good = vec![
        json!({"disruption": {}}),
        json!({"disruption": {"enabled": false}}),
        most(json!(1)),
        most(json!(1000)),
        most(json!("1%")),
        most(json!("25%")),
        most(json!("100%")),
    ];
    let bad = vec![
        (most(json!(0)), help),
        (most(json!(-1)), help),
        (most(json!(1001)), help),
        (most(json!("0%")), help),
        (most(json!("101%")), help),
        (most(json!("2")), help),
        (most(json!(1.5)), "maxUnavailable"),
        (
            json!({"disruption": {"enabled": false, "maxUnavailable": 1}}),
            "maxUnavailable means nothing while enabled is false",
        ),
    ];
    check(taken(good).chain(refused(bad)).collect()).await;
}

#[tokio::test]
async fn network_policies() {
    let from = |peer: Value| json!({"networkPolicy": {"from": [peer]}});
    let to = |peer: Value| json!({"networkPolicy": {"to": [peer]}});
    let either = "a peer is either pods, by namespaceLabels, podLabels or both, or addresses, by cidr";
    let except = "except needs cidr";
    let good = vec![
        json!({"networkPolicy": {}}),
        from(json!({"namespaceLabels": {}})),
        from(json!({"podLabels": {}})),
        from(json!({"namespaceLabels": {"a": "b"}, "podLabels": {"c": "d"}})),
        from(json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]})),
        from(json!({"cidr": "2001:db8::/32"})),
        to(json!({"cidr": "10.0.0.0/8", "ports": [1, 65535]})),
        to(json!({"podLabels": {"app": "db"}, "ports": [5432]})),
        json!({"networkPolicy": {"dns": [{"namespaceLabels": {}}], "metricsFrom": [{"podLabels": {}}], "publicHttps": false}}),
    ];
    let mut bad = vec![
        (from(json!({"cidr": "10.0.0.0"})), "cidr"),
        (from(json!({"cidr": "everywhere/0"})), "cidr"),
        (from(json!({"cidr": "10.0.0.0/8", "except": ["10.1"]})), "except"),
        (to(json!({"podLabels": {}, "ports": [0]})), "ports"),
        (to(json!({"podLabels": {}, "ports": [65536]})), "ports"),
        (from(json!({"podLabels": {}, "ports": [80]})), "ports"),
    ];
    for place in [from, to] {
        bad.push((place(json!({})), either));
        bad.push((place(json!({"cidr": "10.0.0.0/8", "podLabels": {}})), either));
        bad.push((
            place(json!({"cidr": "10.0.0.0/8", "namespaceLabels": {}})),
            either,
        ));
        bad.push((place(json!({"podLabels": {}, "except": ["10.0.0.0/8"]})), except));
    }
    check(taken(good).chain(refused(bad)).collect()).await;
}

#[tokio::test]
async fn services() {
    let service = |service: Value| json!({"service": service});
    let outside = "needs type NodePort or LoadBalancer";
    let balanced = "needs type LoadBalancer";
    let mut good = vec![
        service(json!({"type": "ClusterIP", "annotations": {"a": "b"}, "appProtocol": "kgateway.dev/mcp"})),
        service(json!({"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local"})),
        service(json!({
            "type": "LoadBalancer", "nodePort": 30080, "externalTrafficPolicy": "Cluster",
            "loadBalancerClass": "example.com/lb", "loadBalancerSourceRanges": ["10.0.0.0/8"],
        })),
    ];
    good.push(service(json!({"type": "NodePort"})));
    good.push(service(
        json!({"hostnames": ["lb.example.com", "*.example.com", "10.0.0.1", "*"]}),
    ));
    let mut bad = vec![
        (service(json!({"type": "ExternalName"})), "type"),
        (service(json!({"hostnames": ["a,b"]})), "hostnames"),
        (service(json!({"hostnames": ["a.*"]})), "hostnames"),
        (service(json!({"type": "NodePort", "nodePort": 0})), "nodePort"),
        (
            service(json!({"type": "NodePort", "loadBalancerClass": "a"})),
            balanced,
        ),
        (
            service(json!({"type": "NodePort", "loadBalancerSourceRanges": ["10.0.0.0/8"]})),
            balanced,
        ),
        (
            service(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["all"]})),
            "loadBalancerSourceRanges",
        ),
        (service(json!({"loadBalancerClass": "a"})), balanced),
        (
            service(json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]})),
            balanced,
        ),
    ];
    for type_ in [json!("ClusterIP"), Value::Null] {
        let with = |field: &str, value: Value| {
            let mut spec = service(json!({(field): value}));
            if !type_.is_null() {
                spec["service"]["type"] = type_.clone();
            }
            spec
        };
        bad.push((with("nodePort", json!(30080)), outside));
        bad.push((with("externalTrafficPolicy", json!("Local")), outside));
    }
    check(taken(good).chain(refused(bad)).collect()).await;
}

#[tokio::test]
async fn routes() {
    let route = |more: Value| {
        let mut route = json!({"parentRefs": [{"name": "public"}]});
        route
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"httpRoute": route})
    };
    let both = |ingress: &str, path: &str| {
        let mut spec = route(json!({"path": path}));
        spec["ingress"] = json!({"path": ingress});
        spec
    };
    let path = "httpRoute.path: starts with '/' and does not end with one";
    let good = vec![
        route(json!({})),
        route(json!({"hostnames": ["jobs.example.com", "*.example.com"], "path": "/a/b"})),
        json!({"httpRoute": {"parentRefs": [{"name": "a", "namespace": "b", "sectionName": "https", "port": 443}]}}),
        both("/jobs", "/jobs"),
        json!({"httpRoute": {"parentRefs": [{"name": "a"}]}, "ingress": {}}),
    ];
    let bad = vec![
        (json!({"httpRoute": {}}), "parentRefs"),
        (json!({"httpRoute": {"parentRefs": []}}), "parentRefs"),
        (json!({"httpRoute": {"parentRefs": [{"name": ""}]}}), "name"),
        (route(json!({"hostnames": ["Jobs.example.com"]})), "hostnames"),
        (route(json!({"hostnames": ["10.0.0.1:80"]})), "hostnames"),
        (route(json!({"path": "jobs"})), path),
        (route(json!({"path": "/jobs/"})), path),
        (both("/jobs", "/other"), "path must be that of ingress"),
        (both("/jobs", "/"), "path must be that of ingress"),
    ];
    check(taken(good).chain(refused(bad)).collect()).await;
}

#[tokio::test]
async fn monitoring() {
    let monitoring = |monitoring: Value| json!({"monitoring": monitoring});
    let annotations = "interval and labels are for a PodMonitor";
    let ours = "the operator's own labels";
    let good = vec![
        monitoring(json!({})),
        monitoring(json!({"mode": "Annotations"})),
        monitoring(json!({"mode": "PodMonitor", "interval": "1m30s", "labels": {"release": "prometheus"}})),
        monitoring(json!({"interval": "30s"})),
    ];
    let bad = vec![
        (monitoring(json!({"mode": "ServiceMonitor"})), "mode"),
        (monitoring(json!({"interval": "30"})), "interval"),
        (monitoring(json!({"interval": ""})), "interval"),
        (
            monitoring(json!({"mode": "Annotations", "interval": "30s"})),
            annotations,
        ),
        (
            monitoring(json!({"mode": "Annotations", "labels": {"a": "b"}})),
            annotations,
        ),
        (monitoring(json!({"labels": {"app": "x"}})), ours),
        (
            monitoring(json!({"labels": {"app.kubernetes.io/managed-by": "x"}})),
            ours,
        ),
    ];
    check(taken(good).chain(refused(bad)).collect()).await;
}
