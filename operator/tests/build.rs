//! Properties of the children of any valid server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{McpServer, McpServerSpec, field_env, spec::RESERVED_ENV};
use iam_mcp_operator::controller::{
    build::{build, selector_string},
    kinds::{Child, in_order},
    owned::{desired_digest, owned_digest},
    pod_security::restricted,
    validate::{Defaults, Replicas, validate},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;
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

/// Any valid spec of a server called `name`.
fn specs_of(name: &str) -> impl Strategy<Value = McpServerSpec> + use<> {
    iam_mcp_anyspec::specs(name).prop_map(|spec| serde_json::from_value(spec).unwrap())
}

/// Any valid spec of a server called `a`.
fn specs() -> impl Strategy<Value = McpServerSpec> {
    specs_of("a")
}

/// Any name with any valid spec.
fn named_specs() -> impl Strategy<Value = (String, McpServerSpec)> {
    "[a-z]([-a-z0-9]{0,50}[a-z0-9])?".prop_flat_map(|name| (Just(name.clone()), specs_of(&name)))
}

fn server(name: &str, spec: McpServerSpec) -> McpServer {
    let mut server = McpServer::new(name, spec);
    server.metadata.namespace = Some("n".to_owned());
    server
}

/// The container called `name`.
fn container<'a>(template: &'a Value, name: &str) -> &'a Value {
    let all = template["spec"]["containers"].as_array().unwrap();
    all.iter().find(|container| container["name"] == name).unwrap()
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
    fn building_is_idempotent_and_what_was_applied_is_settled((name, spec) in named_specs()) {
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
    fn names_labels_and_selector_fit((name, spec) in named_specs()) {
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
                    let resources = &container(pod, &name)["resources"];
                    // A limit is the request too, where there is none.
                    prop_assert!(!resources["requests"]["cpu"].is_null() || !resources["limits"]["cpu"].is_null());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn pods_fit_the_restricted_profile(spec in specs()) {
        let all = children(&server("a", spec), false);
        let deployment = all.iter().find(|c| c.kind.as_str() == "Deployment").unwrap();
        let template: PodTemplateSpec = serde_json::from_value(deployment.manifest["spec"]["template"].clone()).unwrap();
        prop_assert_eq!(restricted(&template), Vec::<String>::new());
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
        let given: Vec<_> = spec.env.iter().map(|variable| variable.name.clone()).collect();
        let taken: Vec<_> = field_env::taken(&spec).into_iter().flat_map(|(_, variables)| variables.to_vec()).collect();
        let other = spec.endpoint.is_some();
        let usual = if other { 0 } else { 300 };
        let (drain, idle) = spec.sessions.as_ref().map_or((usual, None), |s| (s.drain_seconds, s.drain_idle_seconds));
        let all = children(&server("a", spec), false);
        let deployment = all.iter().find(|c| c.kind.as_str() == "Deployment").unwrap();
        let pod = &deployment.manifest["spec"]["template"]["spec"];
        let variables = container(&deployment.manifest["spec"]["template"], "a")["env"].as_array().cloned().unwrap_or_default();
        let value = |name: &str| variables.iter().find(|v| v["name"] == name).map(|v| v["value"].as_str().unwrap().to_owned());
        // The server is gone 10 s after the drain: the grace has to be longer.
        prop_assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= i64::from(drain) + 20);
        if other {
            // Another image is told nothing that is ours.
            prop_assert!(variables.iter().all(|v| given.iter().any(|g| v["name"] == *g) || v["name"].as_str().unwrap().starts_with("more_")), "{:?}", variables);
            return Ok(());
        }
        prop_assert_eq!(value("DRAIN_SECONDS"), Some(drain.to_string()));
        prop_assert_eq!(value("DRAIN_IDLE_SECONDS"), idle.map(|seconds| seconds.to_string()));
        for variable in &variables {
            let name = variable["name"].as_str().unwrap();
            let more = name.starts_with("more_");
            prop_assert!(RESERVED_ENV.contains(&name) || taken.contains(&name) || more || given.iter().any(|g| g == name), "spec.env may name {}, which the operator sets", name);
        }
    }

    #[test]
    fn a_disruption_budget_is_for_several_pods_and_lets_one_go(spec in specs(), foreign_hpa in any::<bool>()) {
        let most = match (&spec.autoscaling, spec.replicas) {
            (Some(hpa), _) => Some(hpa.max_replicas),
            (None, Some(n)) if !foreign_hpa => Some(n),
            _ => None,
        };
        let enabled = spec.disruption.as_ref().is_none_or(|d| d.enabled);
        let asked = spec.disruption.as_ref().and_then(|d| d.max_unavailable.clone());
        let all = children(&server("a", spec), foreign_hpa);
        let find = |kind: &str| all.iter().find(|c| c.kind.as_str() == kind);
        let budget = find("PodDisruptionBudget");
        prop_assert_eq!(budget.is_some(), enabled && most.is_none_or(|n| n > 1));
        if let Some(budget) = budget {
            let spec = &budget.manifest["spec"];
            prop_assert_eq!(&spec["maxUnavailable"], &json!(asked.unwrap_or(IntOrString::Int(1))));
            prop_assert!(spec["minAvailable"].is_null());
            prop_assert_eq!(&spec["selector"], &find("Deployment").unwrap().manifest["spec"]["selector"]);
        }
    }
}
