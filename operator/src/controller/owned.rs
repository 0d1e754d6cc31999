//! The fields of a live object that this operator owns, and a digest of them.
//!
//! Server-side apply records who set which field (`metadata.managedFields`, `FieldsV1` format of
//! structured-merge-diff). What our entry names is cut out of the live object and digested; the
//! desired object is digested in the same way. Equal digests mean that an apply would change nothing.
//! Fields of others never enter the digest, so nobody's annotation or injected sidecar causes a write;
//! a field taken over by somebody else leaves our entry, so every drift does.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Digest of a set of fields with their values.
pub type Digest = [u8; 16];

/// Digests of a set of fields: of a pod template, and of all the rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts {
    /// All but the pod template.
    pub rest: Digest,
    /// The pod template, of what has one.
    pub template: Option<Digest>,
}

impl Parts {
    /// Of `object` without these of its keys, and of those of its metadata.
    fn of(object: &Value, but: &[&str], but_of_metadata: &[&str]) -> Self {
        let template = object.pointer("/spec/template").map(digest);
        let mut hasher = Sha256::new();
        let Value::Object(fields) = object else {
            return Self {
                rest: digest(object),
                template,
            };
        };
        feed_object(&mut hasher, fields, but, |hasher, key, value| {
            let without: &[&str] = match key {
                "metadata" => but_of_metadata,
                "spec" => &["template"],
                _ => &[],
            };
            match value {
                Value::Object(inner) => {
                    feed_object(hasher, inner, without, |hasher, _, value| feed(hasher, value));
                }
                value => feed(hasher, value),
            }
        });
        Self {
            rest: shortened(hasher),
            template,
        }
    }

    /// One digest of both.
    #[must_use]
    pub fn whole(&self) -> Digest {
        let Some(template) = self.template else {
            return self.rest;
        };
        shortened(Sha256::new().chain_update(self.rest).chain_update(template))
    }
}

/// Digests of what `manager` applied and still owns in `live`; `None` when it owns nothing.
#[must_use]
pub fn owned_parts(live: &Value, manager: &str) -> Option<Parts> {
    owned_fields(live, manager).map(|fields| Parts::of(&fields, &[], &[]))
}

/// Digest of what `manager` applied and still owns in `live`; `None` when it owns nothing.
#[must_use]
pub fn owned_digest(live: &Value, manager: &str) -> Option<Digest> {
    owned_parts(live, manager).map(|parts| parts.whole())
}

/// Whether `manager` owns the field at `path` (`FieldsV1` keys, such as `f:spec`) in `live`.
#[must_use]
pub fn owns(live: &Value, manager: &str, path: &[&str]) -> bool {
    applied_fields(live, manager).any(|fields| {
        let mut at = fields;
        for step in path {
            match at.get(*step).and_then(Value::as_object) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    })
}

/// The part of `live` that `manager` applied and still owns.
#[must_use]
pub fn owned_fields(live: &Value, manager: &str) -> Option<Value> {
    let mut found = None;
    for fields in applied_fields(live, manager) {
        let part = extract(live, fields);
        found = Some(match found {
            None => part,
            // More than one entry: the same manager under several API versions.
            Some(before) => merge(before, part),
        });
    }
    found
}

/// Digests of an object that is about to be applied: all of it but what names it.
#[must_use]
pub fn desired_parts(desired: &Value) -> Parts {
    Parts::of(desired, &["apiVersion", "kind"], &["name", "namespace"])
}

/// One digest of an object that is about to be applied.
#[must_use]
pub fn desired_digest(desired: &Value) -> Digest {
    desired_parts(desired).whole()
}

/// The first half of a digest, for people and the status: 16 hexadecimal digits.
#[must_use]
pub fn short_hex(digest: &Digest) -> String {
    let half = digest.iter().take(8);
    half.fold(String::with_capacity(16), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn applied_fields<'a>(live: &'a Value, manager: &'a str) -> impl Iterator<Item = &'a Map<String, Value>> {
    live.pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(move |entry| {
            entry["manager"] == manager
                && entry["operation"] == "Apply"
                && entry
                    .get("subresource")
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
        })
        .filter_map(|entry| entry["fieldsV1"].as_object())
}

fn extract(live: &Value, fields: &Map<String, Value>) -> Value {
    // `{}` is a leaf: the whole value is owned (a scalar, an atomic list or map).
    if fields.is_empty() {
        return live.clone();
    }
    match live {
        Value::Object(object) => {
            let mut out = Map::new();
            for (key, sub) in fields {
                let Some(name) = key.strip_prefix("f:") else {
                    continue;
                };
                if let (Some(value), Some(sub)) = (object.get(name), sub.as_object()) {
                    out.insert(name.to_owned(), extract(value, sub));
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let selected = fields.iter().filter_map(|(key, sub)| {
                let item = items.iter().find(|item| selects(key, item))?;
                Some(extract(item, sub.as_object()?))
            });
            Value::Array(selected.collect())
        }
        scalar => scalar.clone(),
    }
}

/// Whether the `FieldsV1` key `k:{...}` (keyed list) or `v:...` (set) selects `item`.
fn selects(key: &str, item: &Value) -> bool {
    if let Some(keys) = key.strip_prefix("k:") {
        let Ok(Value::Object(keys)) = serde_json::from_str(keys) else {
            return false;
        };
        // A key that the live item leaves out has its default there, as `protocol` has.
        return keys
            .iter()
            .all(|(name, value)| item.get(name).is_none_or(|live| live == value));
    }
    key.strip_prefix("v:")
        .and_then(|value| serde_json::from_str::<Value>(value).ok())
        .is_some_and(|value| value == *item)
}

fn merge(into: Value, from: Value) -> Value {
    match (into, from) {
        (Value::Object(mut a), Value::Object(b)) => {
            for (key, value) in b {
                let merged = match a.remove(&key) {
                    Some(before) => merge(before, value),
                    None => value,
                };
                a.insert(key, merged);
            }
            Value::Object(a)
        }
        (_, b) => b,
    }
}

/// Digest of a value in a canonical order: keys sorted, nulls left out, lists of objects sorted too,
/// since keyed lists come back in the order of the merge.
#[must_use]
pub fn digest(value: &Value) -> Digest {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    shortened(hasher)
}

fn shortened(hasher: Sha256) -> Digest {
    let full = hasher.finalize();
    let mut short = Digest::default();
    short.copy_from_slice(&full[..16]);
    short
}

/// Feeds an object but for the keys in `without`, in the order of its keys.
fn feed_object(
    hasher: &mut Sha256,
    object: &Map<String, Value>,
    without: &[&str],
    feed_value: impl Fn(&mut Sha256, &str, &Value),
) {
    let mut entries: Vec<(&String, &Value)> = object
        .iter()
        .filter(|(key, value)| !value.is_null() && !without.contains(&key.as_str()))
        .collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    hasher.update(b"{");
    for (key, value) in entries {
        hasher.update(key.as_bytes());
        hasher.update(b":");
        feed_value(hasher, key, value);
    }
    hasher.update(b"}");
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(object) => feed_object(hasher, object, &[], |hasher, _, value| feed(hasher, value)),
        Value::Array(items) => {
            hasher.update(b"[");
            if !items.is_empty() && items.iter().all(Value::is_object) {
                let mut digests: Vec<Digest> = items.iter().map(digest).collect();
                digests.sort_unstable();
                for item in digests {
                    hasher.update(item);
                }
            } else {
                for item in items {
                    feed(hasher, item);
                    hasher.update(b",");
                }
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const US: &str = "us";

    fn live(fields: &Value, mut live: Value) -> Value {
        live["metadata"]["managedFields"] = json!([
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:other": {}}}},
            {"manager": US, "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": US, "operation": "Apply", "fieldsV1": fields},
        ]);
        live
    }

    #[test]
    fn own_fields_equal_the_desired_object() {
        let desired = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "n", "labels": {"app": "a"}, "ownerReferences": [{"uid": "1", "name": "o"}]},
            "spec": {"ports": [{"port": 80, "name": "http", "targetPort": "http"}], "selector": {"app": "a"}, "x": null},
        });
        let live = live(
            &json!({
                "f:metadata": {"f:labels": {"f:app": {}}, "f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}},
                "f:spec": {
                    "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:targetPort": {}}},
                    "f:selector": {},
                },
            }),
            json!({
                "metadata": {"name": "a", "labels": {"app": "a", "foreign": "x"}, "annotations": {"b": "c"},
                             "ownerReferences": [{"uid": "2", "name": "p"}, {"uid": "1", "name": "o"}]},
                "spec": {"clusterIP": "10.0.0.1", "other": 1, "selector": {"app": "a"},
                         "ports": [{"port": 81, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "name": "http", "targetPort": "http", "nodePort": 3}]},
            }),
        );
        assert_eq!(owned_digest(&live, US), Some(desired_digest(&desired)));
    }

    #[test]
    fn a_foreign_key_in_an_atomic_map_is_seen() {
        let fields = json!({"f:spec": {"f:selector": {}}});
        let before = live(
            &fields,
            json!({"metadata": {}, "spec": {"selector": {"app": "a"}}}),
        );
        let after = live(
            &fields,
            json!({"metadata": {}, "spec": {"selector": {"app": "a", "x": "y"}}}),
        );
        assert_ne!(owned_digest(&before, US), owned_digest(&after, US));
    }

    #[test]
    fn a_field_taken_over_is_seen() {
        let body = json!({"metadata": {}, "spec": {"a": 1, "b": 2}});
        let both = live(&json!({"f:spec": {"f:a": {}, "f:b": {}}}), body.clone());
        let one = live(&json!({"f:spec": {"f:a": {}}}), body);
        assert_ne!(owned_digest(&both, US), owned_digest(&one, US));
    }

    #[test]
    fn scalar_lists_keep_their_order_and_keyed_lists_do_not() {
        let args = |list: Value| desired_digest(&json!({"args": list}));
        assert_ne!(args(json!(["a", "b"])), args(json!(["b", "a"])));
        assert_eq!(
            args(json!([{"n": 1}, {"n": 2}])),
            args(json!([{"n": 2}, {"n": 1}]))
        );
        assert_ne!(args(json!(["a", "b"])), args(json!(["ab"])));
    }

    #[test]
    fn ownership_of_one_field() {
        let live = live(
            &json!({"f:spec": {"f:replicas": {}}}),
            json!({"metadata": {}, "spec": {"replicas": 3}}),
        );
        assert!(owns(&live, US, &["f:spec", "f:replicas"]));
        assert!(!owns(&live, US, &["f:spec", "f:paused"]));
        assert!(!owns(&live, "kubectl", &["f:spec", "f:replicas"]));
        assert_eq!(owned_digest(&live, "nobody"), None);
    }
}
