//! A trap seen in other operators: a field of the schema with nothing behind it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use iam_mcp_anyspec::{Source, coverage};
use iam_mcp_crds::{McpServer, McpServerSpec};
use iam_mcp_operator::controller::{
    build::build,
    kinds::in_order,
    validate::{Defaults, validate},
};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

/// Specs in which the fields are looked for.
const SPECS: usize = 6000;

/// Fields that change no child, and what they do instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "operatorClass",
        "which operator looks at the resource: e2e/tests/reconcile/class.rs",
    ),
    (
        "auth.bearer.generated",
        "a token is made, without which the spec is not valid: e2e/tests/reconcile/token_rotation.rs",
    ),
    (
        "auth.bearer.generated.rotateEvery",
        "when another token follows: e2e/tests/reconcile/token_rotation.rs",
    ),
    (
        "endpoint.path",
        "where the operator asks it, and status.url: operator/tests/image.rs",
    ),
    (
        "endpoint.ssePath",
        "which stream the operator opens: operator/tests/image.rs",
    ),
    ("paused", "whether it writes: e2e/tests/reconcile/paused.rs"),
    (
        "sessions.maxDrainingPods",
        "what it tells pods that drain: e2e/tests/reconcile/draining.rs",
    ),
    (
        "sessions.rotateKeyEvery",
        "when another key follows: e2e/tests/reconcile/token_rotation.rs",
    ),
    (
        "transport",
        "the bridge, without which such a spec is not valid: operator/tests/image.rs",
    ),
];

/// The children of a server with this spec; `None` when it is not valid.
fn rendered(spec: &Value) -> Option<Vec<Value>> {
    let spec: McpServerSpec = serde_json::from_value(spec.clone()).ok()?;
    let mut server = McpServer::new("jobs", spec);
    server.metadata.namespace = Some("n".to_owned());
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    let validated = validate(&server, &defaults, false).ok()?;
    let children = in_order(build(&validated), None).ok()?;
    Some(children.into_iter().map(|child| child.manifest).collect())
}

/// The fields of `spec` that hold no others: path as in the schema, place, and value.
fn leaves(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let step = name.replace('~', "~0").replace('/', "~1");
                let pointer = format!("{pointer}/{step}");
                found.push((path.clone(), pointer.clone(), field.clone()));
                leaves(field, &path, &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[]"), &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn without(spec: &Value, pointer: &str) -> Value {
    let mut spec = spec.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let field = field.replace("~1", "/").replace("~0", "~");
    if let Some(fields) = spec.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.remove(&field);
    }
    spec
}

fn with(spec: &Value, pointer: &str, value: &Value) -> Value {
    let mut spec = spec.clone();
    *spec.pointer_mut(pointer).unwrap() = value.clone();
    spec
}

#[test]
fn a_schema_field_without_behaviour() {
    let definition = json!(McpServer::crd());
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    let mut silent: BTreeSet<String> = coverage::fields_of_schema(schema.unwrap())
        .into_iter()
        // Kubernetes has one value for it, which is the default too.
        .filter(|path| !path.contains('=') && !path.ends_with(".fieldRef.apiVersion"))
        .collect();
    assert!(silent.len() > 250, "only {} fields in the schema", silent.len());
    for (path, what) in ELSEWHERE {
        assert!(
            silent.remove(*path),
            "{path} is no field, though it does this: {what}"
        );
    }
    let mut elsewhere = BTreeMap::new();
    for spec in Source::new("jobs", 1).take(SPECS) {
        let mut found = Vec::new();
        leaves(&spec, "", "", &mut found);
        let open: Vec<_> = found.iter().filter(|(path, ..)| silent.contains(path)).collect();
        if !open.is_empty() {
            let before = rendered(&spec).unwrap_or_else(|| panic!("not valid: {spec}"));
            for (path, pointer, _) in open {
                let other = elsewhere.get(path).map(|value| with(&spec, pointer, value));
                let others = std::iter::once(without(&spec, pointer)).chain(other);
                if others
                    .filter_map(|other| rendered(&other))
                    .any(|after| after != before)
                {
                    silent.remove(path);
                }
            }
        }
        elsewhere.extend(found.into_iter().map(|(path, _, value)| (path, value)));
        if silent.is_empty() {
            break;
        }
    }
    assert_eq!(
        silent,
        BTreeSet::new(),
        "fields of spec that change nothing in any child: give each a behaviour, or say in ELSEWHERE what it does"
    );
}
