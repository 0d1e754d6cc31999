//! Labels of children and pods. The selector never changes: a Deployment's is immutable.

use std::collections::BTreeMap;

use crate::OPERATOR;

/// The label that says who keeps an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Labels of every child and pod of `server`.
#[must_use]
pub fn common(server: &str) -> BTreeMap<String, String> {
    let mut labels = pod_selector(server);
    labels.extend([
        ("app.kubernetes.io/instance".to_owned(), server.to_owned()),
        ("app.kubernetes.io/name".to_owned(), "mcp-server".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "iam-mcp".to_owned()),
    ]);
    labels
}

/// Labels that select the pods of `server`. `managed-by` keeps out pods of a hand-made Deployment
/// that has the same `app`.
#[must_use]
pub fn pod_selector(server: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app".to_owned(), server.to_owned()),
        (MANAGED_BY.to_owned(), OPERATOR.to_owned()),
    ])
}

/// The pod selector as a string, for the scale subresource.
#[must_use]
pub fn selector_string(server: &str) -> String {
    let pairs: Vec<String> = pod_selector(server)
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    pairs.join(",")
}

/// The label selector of all children, for watches.
#[must_use]
pub fn managed_selector() -> String {
    format!("{MANAGED_BY}={OPERATOR}")
}
