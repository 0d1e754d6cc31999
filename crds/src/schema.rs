//! Bounds on schemas that come from Kubernetes' own types.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Longest name of an environment variable. The API server estimates what a CEL rule may cost from
/// such bounds, and refuses a definition whose rule could cost too much.
const ENV_NAME_MAX: u32 = 256;

/// Most environment variables in `spec.env`.
const ENV_MAX: u32 = 128;

/// Bounds `spec.env` and makes it a list keyed by name, as in a container.
pub(crate) fn bound_env(schema: &mut Schema) {
    schema.insert("maxItems".to_owned(), json!(ENV_MAX));
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
    if let Some(name) = schema
        .pointer_mut("/items/properties/name")
        .and_then(|v| v.as_object_mut())
    {
        name.insert("minLength".to_owned(), json!(1));
        name.insert("maxLength".to_owned(), json!(ENV_NAME_MAX));
    }
}

/// An object of any content: the API server keeps what it does not know.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A number of pods, or a percentage of them.
pub(crate) fn count_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 0,
        "maximum": 1000,
        "maxLength": 4,
        "pattern": "^(100|[1-9]?[0-9])%$",
    })
}

/// Bounds a map of labels: at most 64, with values that a label may have.
pub(crate) fn bound_labels(schema: &mut Schema) {
    schema.insert("maxProperties".to_owned(), json!(64));
    set(
        schema,
        "/additionalProperties",
        &json!({"maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}),
    );
}

/// Bounds a list keyed by `key`, a text of at most `key_max` characters.
fn keyed(schema: &mut Schema, max: u32, keys: &[&str], key_max: u32) {
    schema.insert("maxItems".to_owned(), json!(max));
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    for key in keys {
        set(
            schema,
            &format!("/items/properties/{key}"),
            &json!({"minLength": 1, "maxLength": key_max}),
        );
    }
}

/// Bounds a list keyed by name.
pub(crate) fn by_name(schema: &mut Schema) {
    keyed(schema, 32, &["name"], 253);
}

/// Bounds a list of some few values of an enum, each once.
pub(crate) fn set_of_few(schema: &mut Schema) {
    schema.insert("minItems".to_owned(), json!(1));
    schema.insert("maxItems".to_owned(), json!(8));
    schema.insert("x-kubernetes-list-type".to_owned(), json!("set"));
}

/// Bounds the volumes more.
pub(crate) fn bound_volumes(schema: &mut Schema) {
    keyed(schema, 32, &["name"], 63);
}

/// Bounds the mounts more.
pub(crate) fn bound_mounts(schema: &mut Schema) {
    keyed(schema, 32, &["mountPath"], 512);
    set(
        schema,
        "/items/properties/name",
        &json!({"minLength": 1, "maxLength": 63}),
    );
    // `Bidirectional` needs a privileged container.
    set(
        schema,
        "/items/properties/mountPropagation",
        &json!({"enum": ["None", "HostToContainer"]}),
    );
}

/// Bounds the constraints on how pods spread.
pub(crate) fn bound_spread(schema: &mut Schema) {
    keyed(schema, 8, &["topologyKey", "whenUnsatisfiable"], 316);
    set(schema, "/items/properties/maxSkew", &json!({"minimum": 1}));
    set(
        schema,
        "/items/properties/whenUnsatisfiable",
        &json!({"enum": ["DoNotSchedule", "ScheduleAnyway"]}),
    );
}

/// Adds `more` to the schema at `pointer`.
fn set(schema: &mut Schema, pointer: &str, more: &Value) {
    let at = schema.pointer_mut(pointer).and_then(Value::as_object_mut);
    if let (Some(at), Some(more)) = (at, more.as_object()) {
        at.extend(more.clone());
    }
}
