//! A pod template as the API server stores it, where we own a whole object or list: what it fills in or
//! rewrites there has to stand in what we apply, or the digests of the wanted and the live one never agree.
//!
//! Elsewhere a default that the API server fills in is nobody's field, and does not count.

use serde_json::{Map, Value, json};

use super::quantity::canonical;

/// Maps whose keys are people's words, not fields.
const WORDS: [&str; 5] = [
    "annotations",
    "labels",
    "matchLabels",
    "nodeSelector",
    "volumeAttributes",
];
/// Maps of quantities.
const QUANTITIES: [&str; 3] = ["limits", "requests", "overhead"];
/// Fields that are not stored when they are false, 0 or empty, which is what they are without being set.
const NOT_STORED_EMPTY: [&str; 12] = [
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "medium",
    "readOnly",
    "stdin",
    "stdinOnce",
    "subPath",
    "subPathExpr",
    "tty",
];

/// Puts in `template` what the API server would put in, leaves out what it leaves out, and writes quantities
/// as it does.
pub fn as_stored(template: &mut Value) {
    object(template, "");
}

/// `at` is the name of the field that `value` is in.
fn object(value: &mut Value, at: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields
                .iter_mut()
                .filter(|(name, _)| !WORDS.contains(&name.as_str()))
            {
                field(name, value);
                object(value, name);
                if at == "volumes" {
                    source(name, value);
                }
            }
            fields.retain(|name, value| is_stored(name, value, at));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| object(item, at)),
        _ => {}
    }
}

fn is_stored(name: &str, value: &Value, at: &str) -> bool {
    match value {
        // A pod without containers is for the API server to refuse.
        Value::Array(items) => !items.is_empty() || name == "containers",
        Value::Object(map) => !map.is_empty() || !(WORDS.contains(&name) || QUANTITIES.contains(&name)),
        Value::String(text) => {
            !text.is_empty()
                || !(NOT_STORED_EMPTY.contains(&name)
                    || matches!((at, name), ("env" | "tolerations", "value")))
        }
        Value::Bool(false) => !NOT_STORED_EMPTY.contains(&name),
        Value::Number(number) => number.as_i64() != Some(0) || !NOT_STORED_EMPTY.contains(&name),
        _ => true,
    }
}

fn field(name: &str, value: &mut Value) {
    match (name, value) {
        // One value each, to the API server.
        ("fieldRef", Value::Object(reference)) => default(reference, "apiVersion", &json!("v1")),
        ("resourceFieldRef", Value::Object(reference)) => {
            default(reference, "divisor", &json!("0"));
            if let Some(divisor) = reference.get_mut("divisor") {
                quantity(divisor);
            }
        }
        ("fileKeyRef", Value::Object(reference)) => default(reference, "optional", &json!(false)),
        // In `projected.sources`, which is one value.
        ("serviceAccountToken", Value::Object(token)) => default(token, "expirationSeconds", &json!(3600)),
        (name, Value::Object(quantities)) if QUANTITIES.contains(&name) => {
            quantities.values_mut().for_each(quantity);
        }
        ("sizeLimit", size) => quantity(size),
        _ => {}
    }
}

/// A source of a volume of which nothing is said is one field, and what the API server fills in there is ours. Where anything is
/// said, the rest is nobody's.
fn source(name: &str, value: &mut Value) {
    if let ("projected" | "downwardAPI", Value::Object(source)) = (name, value)
        && source.is_empty()
    {
        source.insert("defaultMode".to_owned(), json!(0o644));
    }
}

fn default(object: &mut Map<String, Value>, name: &str, value: &Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), value.clone());
    }
}

fn quantity(value: &mut Value) {
    if let Some(text) = value.as_str() {
        *value = Value::String(canonical(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_stored() {
        let mut template = json!({
            "metadata": {"labels": {}, "annotations": {"readOnly": ""}},
            "spec": {
                "hostNetwork": false,
                "containers": [{
                    "env": [{"name": "A", "value": ""}],
                    "resources": {"limits": {}},
                    "livenessProbe": {"initialDelaySeconds": 0, "httpGet": {"httpHeaders": [{"name": "X", "value": ""}]}},
                    "volumeMounts": [],
                    "securityContext": {"allowPrivilegeEscalation": false},
                }],
                "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            },
        });
        as_stored(&mut template);
        assert_eq!(
            template,
            json!({
                "metadata": {"annotations": {"readOnly": ""}},
                "spec": {
                    "containers": [{
                        "env": [{"name": "A"}],
                        "resources": {},
                        "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "X", "value": ""}]}},
                        "securityContext": {"allowPrivilegeEscalation": false},
                    }],
                    "affinity": {"podAffinity": {}},
                },
            })
        );
    }

    #[test]
    fn what_the_api_server_fills_in_and_rewrites() {
        let mut template = json!({
            "metadata": {"annotations": {"sizeLimit": "1000m"}},
            "spec": {
                "containers": [{
                    "env": [{"valueFrom": {"fieldRef": {"fieldPath": "a"}}}, {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                            {"valueFrom": {"fileKeyRef": {"key": "K"}}}],
                    "resources": {"limits": {"cpu": "1000m"}},
                }],
                "volumes": [{"emptyDir": {"sizeLimit": "1024Mi"}}, {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                            {"projected": {"sources": []}}, {"downwardAPI": {}}, {"projected": {"sources": [{"downwardAPI": {}}]}}],
            },
        });
        as_stored(&mut template);
        assert_eq!(
            template,
            json!({
                "metadata": {"annotations": {"sizeLimit": "1000m"}},
                "spec": {
                    "containers": [{
                        "env": [{"valueFrom": {"fieldRef": {"fieldPath": "a", "apiVersion": "v1"}}},
                                {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
                                {"valueFrom": {"fileKeyRef": {"key": "K", "optional": false}}}],
                        "resources": {"limits": {"cpu": "1"}},
                    }],
                    "volumes": [{"emptyDir": {"sizeLimit": "1Gi"}},
                                {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
                                {"projected": {"defaultMode": 420}}, {"downwardAPI": {"defaultMode": 420}},
                                {"projected": {"sources": [{"downwardAPI": {}}]}}],
                },
            })
        );
        let once = template.clone();
        as_stored(&mut template);
        assert_eq!(template, once);
    }
}
