//! Drift: edits, removals and additions in what the operator owns, made as a person would make them.

use serde_json::{Value, json};

use super::dice::Dice;

/// Keys by which lists are merged, in the order in which an item is recognised by them.
const KEYS: [&str; 8] = [
    "name",
    "mountPath",
    "containerPort",
    "port",
    "topologyKey",
    "ip",
    "conditionType",
    "uid",
];

/// A field that the operator owns: where it is in the live object, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) pointer: String,
    pub(crate) value: Value,
}

/// The fields of `rendered`, with their place in `live`.
pub(crate) fn owned(rendered: &Value, live: &Value) -> Vec<Owned> {
    let mut found = Vec::new();
    for part in ["labels", "annotations"] {
        let at = format!("/metadata/{part}");
        leaves(
            &rendered["metadata"][part],
            &live["metadata"][part],
            &at,
            &mut found,
        );
    }
    leaves(&rendered["spec"], &live["spec"], "/spec", &mut found);
    found
}

fn leaves(rendered: &Value, live: &Value, at: &str, found: &mut Vec<Owned>) {
    match (rendered, live) {
        (Value::Object(rendered), Value::Object(live)) => {
            for (key, value) in rendered {
                let step = key.replace('~', "~0").replace('/', "~1");
                leaves(
                    value,
                    live.get(key).unwrap_or(&Value::Null),
                    &format!("{at}/{step}"),
                    found,
                );
            }
        }
        (Value::Array(rendered), Value::Array(live)) => {
            for (index, item) in rendered.iter().enumerate() {
                let key = KEYS.into_iter().find(|key| item.get(key).is_some());
                let same = key.map_or(Some(index), |key| {
                    live.iter().position(|other| other[key] == item[key])
                });
                if let Some(same) = same.filter(|same| *same < live.len()) {
                    leaves(item, &live[same], &format!("{at}/{same}"), found);
                }
            }
        }
        (_, Value::Null) => {}
        // The name of a container or a volume is which one it is: another name is another one, beside ours.
        _ if at.ends_with("/name") && (at.contains("ontainers/") || at.contains("/volumes/")) => {}
        (_, live) => found.push(Owned {
            pointer: at.to_owned(),
            value: live.clone(),
        }),
    }
}

/// Another value of the same sort.
pub(crate) fn another(value: &Value, dice: &mut Dice) -> Value {
    const WORDS: [(&str, &str); 13] = [
        ("RollingUpdate", "Recreate"),
        ("Recreate", "RollingUpdate"),
        ("ClusterIP", "NodePort"),
        ("NodePort", "ClusterIP"),
        ("ClientIP", "None"),
        ("None", "ClientIP"),
        ("TCP", "UDP"),
        ("Always", "IfNotPresent"),
        ("IfNotPresent", "Never"),
        ("Never", "Always"),
        ("Cluster", "Local"),
        ("Local", "Cluster"),
        ("25%", "50%"),
    ];
    match value {
        Value::String(text) => {
            let word = WORDS.iter().find(|(word, _)| word == text);
            json!(word.map_or_else(
                || format!("{text}{}", dice.below(10)),
                |(_, other)| (*other).to_owned()
            ))
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            json!(if dice.one_in(2) {
                number + 1
            } else {
                (number - 1).max(0)
            })
        }
        Value::Bool(is) => json!(!is),
        other => other.clone(),
    }
}

/// Something more in a list or a map that is one value, and so the operator's as a whole: JSON patches by the kind of the
/// child, and what they are called.
pub(crate) fn additions(kind: &str, live: &Value) -> Vec<(&'static str, Value)> {
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    match kind {
        "Service" => vec![
            (
                "a key in the selector",
                add("/spec/selector/tier", json!("front")),
            ),
            (
                "a second port",
                add(
                    "/spec/ports/-",
                    json!({"name": "more", "port": 9999, "targetPort": 9999}),
                ),
            ),
        ],
        "Deployment" => {
            let containers = live["spec"]["template"]["spec"]["containers"].as_array();
            let ours =
                containers.and_then(|all| all.iter().position(|c| c["name"] == live["metadata"]["name"]));
            let at = |field: &str| {
                format!(
                    "/spec/template/spec/containers/{}/{field}/-",
                    ours.unwrap_or_default()
                )
            };
            let mut all = vec![
                ("an argument", add(&at("args"), json!("--more"))),
                (
                    "a port of the container",
                    add(&at("ports"), json!({"containerPort": 9777, "name": "extra"})),
                ),
            ];
            // What is of one kind out of several becomes another: beside ours, the API server refuses the two.
            let container = format!("/spec/template/spec/containers/{}", ours.unwrap_or_default());
            let another =
                |path: String, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
            all.push((
                "another kind of probe",
                another(
                    format!("{container}/livenessProbe"),
                    json!({"tcpSocket": {"port": 8080}}),
                ),
            ));
            let first = live.pointer(&format!("{container}/env/0/name"));
            let from = json!({"name": first, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
            all.push((
                "a variable from elsewhere",
                another(format!("{container}/env/0"), from),
            ));
            let volumes = live["spec"]["template"]["spec"]["volumes"].as_array();
            if let Some(data) = volumes.and_then(|all| all.iter().position(|v| v["name"] == "data")) {
                let path = format!("/spec/template/spec/volumes/{data}");
                let value = json!({"name": "data", "hostPath": {"path": "/"}});
                all.push(("another kind of volume", another(path, value)));
            }
            if live["spec"]["template"]["spec"]["tolerations"].is_array() {
                let toleration = json!({"key": "gpu", "operator": "Exists"});
                all.push((
                    "a toleration",
                    add("/spec/template/spec/tolerations/-", toleration),
                ));
            }
            all
        }
        "NetworkPolicy" => vec![
            ("a rule that lets everybody in", add("/spec/ingress/-", json!({}))),
            (
                "a rule that lets everything out",
                add("/spec/egress/-", json!({})),
            ),
        ],
        "Ingress" => vec![(
            "a rule for another host",
            add(
                "/spec/rules/-",
                json!({"host": "evil.example.com", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "evil", "port": {"number": 80}}}},
                ]}}),
            ),
        )],
        "HorizontalPodAutoscaler" => vec![(
            "a metric",
            add(
                "/spec/metrics/-",
                json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 9}}}),
            ),
        )],
        "PodMonitor" => vec![(
            "an endpoint",
            add("/spec/podMetricsEndpoints/-", json!({"port": "http"})),
        )],
        "HTTPRoute" => vec![(
            "a rule",
            add(
                "/spec/rules/-",
                json!({"backendRefs": [{"name": "evil", "port": 80}]}),
            ),
        )],
        _ => vec![],
    }
}
