//! Rules between fields of different groups: what is generated apart is made to fit.

use serde_json::{Value, json};

use crate::{image, volumes::mounts_of};

/// Makes the groups of `spec` fit each other, in place. What fits stays as it is.
pub fn fit(spec: &mut Value) {
    one_path(spec);
    image::fit(spec);
    affinity_of_who_is_asked(spec);
    mounts_have_volumes(spec);
    claims_of_resources(spec);
}

/// The server answers below one path.
fn one_path(spec: &mut Value) {
    if spec["ingress"].is_object() && spec["httpRoute"].is_object() {
        let path = spec["ingress"]["path"].as_str().unwrap_or("/").to_owned();
        spec["httpRoute"]["path"] = json!(path);
    }
}

/// `Auto` needs somebody who asks.
fn affinity_of_who_is_asked(spec: &mut Value) {
    if spec["verify"] == "Off" && spec["service"]["sessionAffinity"] == "Auto" {
        spec["service"]["sessionAffinity"] = json!("ClientIP");
    }
}

fn mounts_have_volumes(spec: &mut Value) {
    match mounts_of(&spec["volumeMounts"], &spec["volumes"]) {
        Some(mounts) => spec["volumeMounts"] = mounts,
        None => remove(spec, "volumeMounts"),
    }
}

/// What the container claims, the pod must name.
fn claims_of_resources(spec: &mut Value) {
    let claims = spec["resources"]["claims"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if claims.is_empty() {
        return;
    }
    let named = claims
        .iter()
        .map(|claim| json!({"name": claim["name"], "resourceClaimName": "shared"}));
    let named = Value::Array(named.collect());
    if !spec["podTemplate"].is_object() {
        spec["podTemplate"] = json!({});
    }
    if !spec["podTemplate"]["spec"].is_object() {
        spec["podTemplate"]["spec"] = json!({});
    }
    spec["podTemplate"]["spec"]["resourceClaims"] = named;
}

fn remove(spec: &mut Value, field: &str) {
    if let Some(fields) = spec.as_object_mut() {
        fields.remove(field);
    }
}
