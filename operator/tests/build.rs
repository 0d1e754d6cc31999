//! Properties of the children of any valid server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{
    AutoscalingSpec, DisruptionSpec, GatewayRef, HttpRouteSpec, IngressSpec, JobProvider, JobSearchSpec,
    McpServer, McpServerSpec, MonitoringMode, MonitoringSpec, NetworkPeer, NetworkPolicySpec, RapidApiSpec,
    SecretKeyRef, ServiceSpec, SessionAffinity, SessionsSpec, Verify, spec::RESERVED_ENV,
};
use iam_mcp_operator::controller::{
    build::{build, selector_string},
    kinds::{Child, in_order},
    owned::{desired_digest, owned_digest},
    validate::{Defaults, Replicas, validate},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::{option, prelude::*};
use serde_json::{Value, json};

fn defaults() -> Defaults {
    Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "system".to_owned(),
    }
}

fn children(server: &McpServer, foreign_hpa: bool) -> Vec<Child> {
    in_order(build(&validate(server, &defaults(), foreign_hpa).unwrap()), None).unwrap()
}

/// With what is around a server: routes, policies, budgets, metrics.
fn specs() -> impl Strategy<Value = McpServerSpec> {
    let most = prop_oneof![
        (1..5_i32).prop_map(IntOrString::Int),
        (1..101_u8).prop_map(|percent| IntOrString::String(format!("{percent}%"))),
    ];
    let peer = prop_oneof![
        "[a-z]{1,9}".prop_map(|name| NetworkPeer {
            namespace_labels: Some([("kubernetes.io/metadata.name".to_owned(), name)].into()),
            ..NetworkPeer::default()
        }),
        (0..33_u32).prop_map(|prefix| NetworkPeer {
            cidr: Some(format!("0.0.0.0/{prefix}")),
            ..NetworkPeer::default()
        }),
    ];
    let policy = (proptest::collection::vec(peer, 0..3), any::<bool>()).prop_map(|(from, public_https)| {
        NetworkPolicySpec {
            from,
            public_https,
            ..NetworkPolicySpec::default()
        }
    });
    let mode = prop_oneof![
        Just(MonitoringMode::Auto),
        Just(MonitoringMode::PodMonitor),
        Just(MonitoringMode::Annotations)
    ];
    (
        small_specs(),
        option::of("[a-z]{1,9}\\.example\\.com"),
        option::of(option::of(most)),
        option::of(policy),
        option::of(mode),
        option::of(1..200_i32),
    )
        .prop_map(|(mut spec, hostname, most, policy, mode, memory)| {
            let path = spec.ingress.as_ref().map_or("/", |i| &i.path).to_owned();
            spec.http_route = hostname.map(|hostname| HttpRouteSpec {
                parent_refs: vec![GatewayRef::default()],
                hostnames: vec![hostname],
                path,
            });
            spec.disruption = most.map(|max_unavailable| DisruptionSpec {
                max_unavailable,
                ..DisruptionSpec::default()
            });
            spec.network_policy = policy;
            spec.monitoring = mode.map(|mode| MonitoringSpec {
                mode,
                ..MonitoringSpec::default()
            });
            if let Some(hpa) = &mut spec.autoscaling {
                hpa.memory_utilization = memory;
            }
            spec
        })
}

fn small_specs() -> impl Strategy<Value = McpServerSpec> {
    let secret = ("[a-z]{1,8}", "[A-Z]{1,8}").prop_map(|(name, key)| SecretKeyRef { name, key });
    let ingress = (
        option::of("[a-z]{1,9}\\.example\\.com"),
        prop_oneof![Just("/".to_owned()), "/[a-z]{1,9}"],
    )
        .prop_map(|(host, path)| IngressSpec {
            host,
            path,
            ..IngressSpec::default()
        });
    (
        option::of(0..20_i32),
        option::of(secret),
        option::of(ingress),
        option::of((1..4_i32, 0..4_i32)),
        option::of(1..65_535_i32),
        prop_oneof![
            Just(SessionAffinity::ClientIP),
            Just(SessionAffinity::None),
            Just(SessionAffinity::Auto)
        ],
        proptest::collection::vec("https://[a-z]{1,9}\\.example", 0..3),
        option::of((0..86_401_i32, option::of(1..86_401_i32))),
        option::of(prop_oneof![
            Just(Verify::Probe),
            Just(Verify::Gate),
            Just(Verify::Off)
        ]),
    )
        .prop_map(
            |(replicas, secret, ingress, hpa, port, affinity, origins, drain, verify)| McpServerSpec {
                replicas,
                job_search: secret.map(|secret| JobSearchSpec {
                    provider: JobProvider::JSearch,
                    rapid_api: Some(RapidApiSpec {
                        key_secret_ref: Some(secret),
                        ..RapidApiSpec::default()
                    }),
                    ..JobSearchSpec::default()
                }),
                ingress,
                autoscaling: hpa.map(|(min_replicas, more)| AutoscalingSpec {
                    min_replicas,
                    max_replicas: min_replicas + more,
                    ..AutoscalingSpec::default()
                }),
                service: port.map(|port| ServiceSpec {
                    port,
                    session_affinity: affinity,
                    ..ServiceSpec::default()
                }),
                sessions: drain.map(|(drain_seconds, idle)| SessionsSpec {
                    drain_seconds,
                    drain_idle_seconds: idle.filter(|idle| *idle <= drain_seconds),
                    ..SessionsSpec::default()
                }),
                verify: verify.filter(|verify| *verify != Verify::Off || affinity != SessionAffinity::Auto),
                cors: (!origins.is_empty()).then(|| iam_mcp_crds::CorsSpec {
                    origins,
                    ..iam_mcp_crds::CorsSpec::default()
                }),
                ..McpServerSpec::default()
            },
        )
}

fn server(name: &str, spec: McpServerSpec) -> McpServer {
    let mut server = McpServer::new(name, spec);
    server.metadata.namespace = Some("n".to_owned());
    server
}

/// What the API server would hold right after our apply: everything owned by us.
fn applied(child: &Child) -> Value {
    fn fields(value: &Value) -> Value {
        match value {
            Value::Object(object) => object
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (format!("f:{k}"), fields(v)))
                .collect(),
            _ => json!({}),
        }
    }
    let mut live = child.manifest.clone();
    let mut owned = child.manifest.clone();
    for key in ["apiVersion", "kind"] {
        owned.as_object_mut().unwrap().remove(key);
    }
    for key in ["name", "namespace"] {
        owned["metadata"].as_object_mut().unwrap().remove(key);
    }
    live["metadata"]["managedFields"] =
        json!([{"manager": "iam-mcp-operator", "operation": "Apply", "fieldsV1": fields(&owned)}]);
    live
}

proptest! {
    #[test]
    fn building_is_idempotent_and_what_was_applied_is_settled(name in "[a-z]([-a-z0-9]{0,50}[a-z0-9])?", spec in specs()) {
        let server = server(&name, spec);
        let (first, second) = (children(&server, false), children(&server, false));
        for (a, b) in first.iter().zip(&second) {
            prop_assert_eq!(&a.manifest, &b.manifest);
            prop_assert_eq!(a.digest, b.digest);
            prop_assert_eq!(owned_digest(&applied(a), "iam-mcp-operator"), Some(a.digest));
        }
    }

    #[test]
    fn any_change_of_an_owned_value_is_seen(spec in specs(), pick in any::<prop::sample::Index>()) {
        let all = children(&server("a", spec), false);
        let child = &all[pick.index(all.len())];
        let mut live = applied(child);
        live["metadata"]["labels"]["app"] = json!("somebody-else");
        prop_assert_ne!(owned_digest(&live, "iam-mcp-operator"), Some(child.digest));
        live["metadata"]["labels"]["app"] = json!("a");
        live["metadata"]["labels"]["foreign"] = json!("x");
        live["metadata"]["annotations"]["foreign"] = json!("x");
        prop_assert_eq!(owned_digest(&live, "iam-mcp-operator"), Some(desired_digest(&child.manifest)));
    }

    #[test]
    fn names_labels_and_selector_fit(name in "[a-z]([-a-z0-9]{0,50}[a-z0-9])?", spec in specs()) {
        let selector: Value = selector_string(&name)
            .split(',')
            .map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), json!(v))).unwrap())
            .collect();
        for child in children(&server(&name, spec), false) {
            prop_assert_eq!(&child.name, &name);
            let labels = child.manifest["metadata"]["labels"].as_object().unwrap().clone();
            prop_assert!(labels.values().all(|v| v.as_str().unwrap().len() <= 63));
            match child.kind.as_str() {
                "Service" => prop_assert_eq!(&child.manifest["spec"]["selector"], &selector),
                "Deployment" => {
                    prop_assert_eq!(&child.manifest["spec"]["selector"]["matchLabels"], &selector);
                    let pod = &child.manifest["spec"]["template"];
                    for (key, value) in selector.as_object().unwrap() {
                        prop_assert_eq!(&pod["metadata"]["labels"][key], value);
                    }
                    prop_assert!(!pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].is_null());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn replicas_are_written_only_when_they_are_ours(spec in specs(), foreign_hpa in any::<bool>()) {
        let ours = spec.replicas.filter(|_| spec.autoscaling.is_none() && !foreign_hpa);
        let server = server("a", spec);
        let defaults = defaults();
        let expected = ours.map_or(Replicas::Theirs, Replicas::Ours);
        prop_assert_eq!(validate(&server, &defaults, foreign_hpa).unwrap().replicas, expected);
        let all = children(&server, foreign_hpa);
        let deployment = all.iter().find(|c| c.kind.as_str() == "Deployment").unwrap();
        prop_assert_eq!(deployment.manifest["spec"]["replicas"].as_i64(), ours.map(i64::from));
    }

    #[test]
    fn grace_and_setting_come_from_one_number(spec in specs()) {
        let (drain, idle) = spec.sessions.as_ref().map_or((300, None), |s| (s.drain_seconds, s.drain_idle_seconds));
        let all = children(&server("a", spec), false);
        let deployment = all.iter().find(|c| c.kind.as_str() == "Deployment").unwrap();
        let pod = &deployment.manifest["spec"]["template"]["spec"];
        let variables = pod["containers"][0]["env"].as_array().unwrap();
        let value = |name: &str| variables.iter().find(|v| v["name"] == name).map(|v| v["value"].as_str().unwrap().to_owned());
        // The server is gone 10 s after the drain: the grace has to be longer.
        prop_assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= i64::from(drain) + 20);
        prop_assert_eq!(value("DRAIN_SECONDS"), Some(drain.to_string()));
        prop_assert_eq!(value("DRAIN_IDLE_SECONDS"), idle.map(|seconds| seconds.to_string()));
        for variable in variables {
            let name = variable["name"].as_str().unwrap();
            prop_assert!(RESERVED_ENV.contains(&name), "spec.env may name {}, which the operator sets", name);
        }
    }

    #[test]
    fn a_disruption_budget_is_for_several_pods_and_lets_one_go(spec in specs(), foreign_hpa in any::<bool>()) {
        let most = match (&spec.autoscaling, spec.replicas) {
            (Some(hpa), _) => Some(hpa.max_replicas),
            (None, Some(n)) if !foreign_hpa => Some(n),
            _ => None,
        };
        let asked = spec.disruption.as_ref().and_then(|d| d.max_unavailable.clone());
        let all = children(&server("a", spec), foreign_hpa);
        let find = |kind: &str| all.iter().find(|c| c.kind.as_str() == kind);
        let budget = find("PodDisruptionBudget");
        prop_assert_eq!(budget.is_some(), most.is_none_or(|n| n > 1));
        if let Some(budget) = budget {
            let spec = &budget.manifest["spec"];
            prop_assert_eq!(&spec["maxUnavailable"], &json!(asked.unwrap_or(IntOrString::Int(1))));
            prop_assert!(spec["minAvailable"].is_null());
            prop_assert_eq!(&spec["selector"], &find("Deployment").unwrap().manifest["spec"]["selector"]);
        }
    }
}
