//! Images that are not builds of this project's server.

use serde_json::{Value, json};

use crate::any::{Any, just, list, maybe, number, object, one_of, seldom, text, words};

/// The fields that say what an image is.
pub(crate) fn fields() -> Vec<(&'static str, Any)> {
    vec![
        ("endpoint", seldom(endpoint())),
        ("command", maybe(list(text("[!-~]{1,9}"), 1..4))),
        ("args", maybe(list(text("[ -~]{0,9}"), 1..4))),
        (
            "transport",
            one_of([just(Value::Null), just(Value::Null), words(&["Http", "Stdio"])]),
        ),
        ("protocol", maybe(words(&["Auto", "Stateless", "Legacy"]))),
    ]
}

fn endpoint() -> Any {
    let path = || text("/[-A-Za-z0-9._~%]{0,9}(/[a-z]{1,6})?");
    object([
        ("port", maybe(number(1..=65_535))),
        ("path", maybe(path())),
        ("ssePath", maybe(text("/sse-[a-z]{1,6}"))),
        ("healthPath", maybe(path())),
    ])
}

/// Takes away what does not go with the image that `spec` names.
pub(crate) fn fit(spec: &mut Value) {
    if spec["image"].is_null() {
        remove(spec, &["endpoint", "transport"]);
    }
    if spec["transport"] == "Stdio" {
        remove(spec, &["endpoint"]);
        if spec["command"].is_null() {
            spec["command"] = json!(["weather", "--stdio"]);
        }
    }
    let (http, stdio) = (spec["endpoint"].is_object(), spec["transport"] == "Stdio");
    if !http && !stdio {
        remove(spec, &["command", "args"]);
        return;
    }
    remove(spec, &["jobSearch"]);
    // Its pod has no volume called `data`, which variables and sidecars may name.
    remove(spec, &["podTemplate"]);
    if let Some(env) = spec.get_mut("env").and_then(Value::as_array_mut) {
        env.retain(|variable| variable["valueFrom"]["fileKeyRef"].is_null());
    }
    remove_in(spec, "sessions", &["rotateKeyEvery"]);
    if stdio {
        remove_in(spec, "limits", &["sessions", "tools"]);
        remove_in(spec, "telemetry", &["auditLog"]);
        return;
    }
    remove(
        spec,
        &["auth", "limits", "telemetry", "logLevel", "cors", "monitoring"],
    );
    remove_in(spec, "sessions", &["drainIdleSeconds"]);
    remove_in(spec, "service", &["hostnames"]);
    remove_in(spec, "networkPolicy", &["metricsFrom"]);
    if spec["protocol"] == "Stateless" {
        remove_in(spec, "endpoint", &["ssePath"]);
    }
    for door in ["ingress", "httpRoute"] {
        if spec[door].is_object() {
            spec[door]["path"] = json!("/");
        }
    }
}

/// Of what `spec` says in `field`, if it does.
fn remove_in(spec: &mut Value, field: &str, fields: &[&str]) {
    if let Some(object) = spec.get_mut(field) {
        remove(object, fields);
    }
}

fn remove(object: &mut Value, fields: &[&str]) {
    if let Value::Object(object) = object {
        for field in fields {
            object.remove(*field);
        }
    }
}
