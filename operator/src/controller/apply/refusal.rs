//! What the API server refuses, and what can be done about it.

use iam_mcp_crds::Reason;
use serde_json::{Value, json};

use crate::controller::{
    error::Blocked,
    kinds::{Child, ChildKind},
};

/// What is put in the place of an edit that stands beside our fields, so that the API server refuses the two together.
pub(super) struct Overwrite {
    /// As what it is counted.
    pub(super) verb: &'static str,
    /// A strategic merge patch for the spec.
    pub(super) spec: Value,
}

/// Whether there is something to put in the place of such an edit of a child of `kind`.
pub(super) fn can_overwrite(kind: ChildKind) -> bool {
    matches!(
        kind,
        ChildKind::Service | ChildKind::PodDisruptionBudget | ChildKind::Deployment
    )
}

/// What to put in the place of such an edit of `live`, a child of `kind`, before `manifest` is applied again.
pub(super) fn overwrite(kind: ChildKind, manifest: &Value, live: &Value) -> Option<Overwrite> {
    let ours = &manifest["spec"];
    match kind {
        // A list keyed by port: an edited port stands beside ours under the same name.
        ChildKind::Service => {
            let mut spec = ours.clone();
            spec["ports"] = replaced(&ours["ports"]);
            Some(Overwrite {
                verb: "replace_ports",
                spec,
            })
        }
        // A budget may have a least or a most, not both.
        ChildKind::PodDisruptionBudget => Some(Overwrite {
            verb: "replace_budget",
            spec: json!({"minAvailable": null, "maxUnavailable": ours["maxUnavailable"]}),
        }),
        ChildKind::Deployment => Some(Overwrite {
            verb: "replace_pod",
            spec: deployment(ours, &live["spec"]),
        }),
        _ => None,
    }
}

/// Lists of a container in which an edited item stands beside ours, and the keys of which no two items can have the same: a port
/// under another number, a variable with a source besides its value.
const LISTS: [(&str, &[&str]); 3] = [
    ("env", &["name"]),
    ("ports", &["name", "containerPort"]),
    ("volumeMounts", &["mountPath"]),
];
/// Parts of a container that are of one kind out of several.
const CHOICES: [&str; 4] = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];

/// The containers and volumes that are ours, without what stands beside our fields in them; those of others stay. All of the spec
/// is in it, so that nothing is written of one that the API server would refuse for another reason.
fn deployment(ours: &Value, live: &Value) -> Value {
    let mut spec = ours.clone();
    of_one_kind(&mut spec["strategy"]);
    let pod = &mut spec["template"]["spec"];
    for name in ["containers", "initContainers"] {
        let live = live["template"]["spec"][name].as_array();
        for ours in items(pod, name) {
            let same = live.and_then(|all| all.iter().find(|live| live["name"] == ours["name"]));
            container(ours, same.unwrap_or(&Value::Null));
        }
    }
    items(pod, "volumes").for_each(of_one_kind);
    spec
}

fn items<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn container(ours: &mut Value, live: &Value) {
    for (list, keys) in LISTS {
        if let Some(items) = ours.get(list).and_then(Value::as_array) {
            let collides = |other: &Value| {
                let same =
                    |key: &&str| !other[*key].is_null() && items.iter().any(|item| item[*key] == other[*key]);
                keys.iter().any(same)
            };
            let others = live[list].as_array().into_iter().flatten();
            let others = others.filter(|other| !collides(other));
            let all = items.iter().chain(others).cloned().collect();
            ours[list] = replaced(&Value::Array(all));
        }
    }
    for choice in CHOICES {
        if ours[choice].is_object() {
            ours[choice]["$patch"] = json!("replace");
        }
    }
}

/// A list that takes the place of what is there.
fn replaced(list: &Value) -> Value {
    let items = list.as_array().cloned().unwrap_or_default();
    std::iter::once(json!({"$patch": "replace"}))
        .chain(items)
        .collect()
}

/// Beside the fields of `object` no others stay.
fn of_one_kind(object: &mut Value) {
    if let Value::Object(fields) = object {
        let keys: Vec<String> = fields.keys().cloned().collect();
        fields.insert("$retainKeys".to_owned(), json!(keys));
    }
}

pub(super) fn refused<T>(answer: &Result<T, kube::Error>) -> Option<String> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => Some(status.message.clone()),
        _ => None,
    }
}

pub(super) fn rejected(child: &Child, message: &str) -> Blocked {
    Blocked {
        reason: Reason::ChildRejected,
        message: format!("the API server refuses {}: {message}", child.title()),
    }
}

pub(super) fn name_conflict(child: &Child) -> Blocked {
    Blocked {
        reason: Reason::NameConflict,
        message: format!(
            "{} exists and does not belong to this McpServer, so it was left alone; delete or rename it, or rename the McpServer",
            child.title()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_replaced_and_what_is_not_is_not_named() {
        let manifest = json!({"spec": {
            "strategy": {"type": "Recreate"},
            "template": {"spec": {
                "containers": [{"name": "jobs", "image": "i", "ports": [{"containerPort": 8080, "name": "http"}], "livenessProbe": {"httpGet": {}}}],
                "volumes": [{"name": "data", "emptyDir": {}}],
            }},
        }});
        let live = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "side", "ports": [{"containerPort": 1}]},
            {"name": "jobs", "ports": [{"containerPort": 8081, "name": "http"}, {"containerPort": 1, "name": "theirs"}]},
        ]}}}});
        let spec = overwrite(ChildKind::Deployment, &manifest, &live).map(|overwrite| overwrite.spec);
        let expected = json!({
            "strategy": {"type": "Recreate", "$retainKeys": ["type"]},
            "template": {"spec": {
                "containers": [{
                    "name": "jobs",
                    "image": "i",
                    "ports": [{"$patch": "replace"}, {"containerPort": 8080, "name": "http"}, {"containerPort": 1, "name": "theirs"}],
                    "livenessProbe": {"httpGet": {}, "$patch": "replace"},
                }],
                "volumes": [{"name": "data", "emptyDir": {}, "$retainKeys": ["emptyDir", "name"]}],
            }},
        });
        assert_eq!(spec, Some(expected));
        assert!(overwrite(ChildKind::Ingress, &manifest, &live).is_none());
        assert!(!can_overwrite(ChildKind::Ingress) && can_overwrite(ChildKind::Deployment));
    }
}
