//! Bounds on schemas that come from Kubernetes' own types.

use schemars::Schema;
use serde_json::json;

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
