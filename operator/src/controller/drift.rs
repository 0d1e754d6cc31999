//! What somebody changed in a child, in words.

use serde_json::Value;

use super::kinds::{Child, ChildKind};
use crate::OPERATOR;

/// Most fields that one message names.
const FIELDS_MAX: usize = 4;
/// Longest value in a message, in characters.
const VALUE_MAX: usize = 60;

/// One child that was put back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repair {
    /// The child's kind.
    pub kind: ChildKind,
    /// The first field that differed, if any.
    pub field: Option<String>,
    /// What had happened, in a sentence.
    pub sentence: String,
}

impl Repair {
    /// `child` had been deleted.
    #[must_use]
    pub fn deleted(child: &Child) -> Self {
        Self {
            kind: child.kind,
            field: None,
            sentence: format!("{} had been deleted; made again", child.title()),
        }
    }

    /// `live` had been edited so that it was no longer `child`.
    #[must_use]
    pub fn edited(child: &Child, live: &Value) -> Self {
        let found = differences(live, &child.manifest);
        let field = found.first().map(|(path, _, _)| path.clone());
        let who = last_editor(live)
            .map(|who| format!(" by {who}"))
            .unwrap_or_default();
        // Nothing differs in value when only the ownership of a field had changed.
        let what = if found.is_empty() {
            "a field was taken over, and taken back".to_owned()
        } else {
            describe(found)
        };
        Self {
            kind: child.kind,
            field,
            sentence: format!("{} was changed{who}: {what}", child.title()),
        }
    }
}

/// Where `live` differs from what `desired` has: the field, what it is, and what it should be.
#[must_use]
pub fn differences(live: &Value, desired: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    compare(live, desired, String::new(), &mut found);
    found
}

/// `spec.replicas was 7, put back to 3`, for each field.
fn describe(found: Found) -> String {
    let more = found.len().saturating_sub(FIELDS_MAX);
    let mut parts: Vec<String> = found
        .into_iter()
        .take(FIELDS_MAX)
        .map(|(path, was, now)| format!("{path} was {was}, put back to {now}"))
        .collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

/// Who changed the object last, apart from this operator and from status writers.
fn last_editor(live: &Value) -> Option<String> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    entries
        .iter()
        .filter(|e| e["manager"] != OPERATOR && e["subresource"] != "status")
        .max_by_key(|e| e["time"].as_str().unwrap_or_default().to_owned())
        .and_then(|e| e["manager"].as_str())
        .map(str::to_owned)
}

type Found = Vec<(String, String, String)>;

fn compare(live: &Value, desired: &Value, path: String, found: &mut Found) {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            for (key, want) in desired.iter().filter(|(_, v)| !v.is_null()) {
                let at = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(live.get(key).unwrap_or(&Value::Null), want, at, found);
            }
            // A label selector is one value: a key too many in it selects nothing.
            if path.ends_with("selector") || path.ends_with("matchLabels") {
                for key in live.keys().filter(|k| !desired.contains_key(*k)) {
                    found.push((format!("{path}.{key}"), show(&live[key]), "nothing".to_owned()));
                }
            }
        }
        (Value::Array(live), Value::Array(desired)) if desired.iter().all(Value::is_object) => {
            for (index, want) in desired.iter().enumerate() {
                let (name, same) = match_item(live, want, index);
                compare(
                    same.unwrap_or(&Value::Null),
                    want,
                    format!("{path}[{name}]"),
                    found,
                );
            }
        }
        (live, desired) if live != desired => found.push((path, show(live), show(desired))),
        _ => {}
    }
}

/// The live item that `want` is about, by the keys that Kubernetes' lists use.
fn match_item<'a>(live: &'a [Value], want: &Value, index: usize) -> (String, Option<&'a Value>) {
    for key in ["name", "uid", "containerPort", "port", "mountPath"] {
        if let Some(value) = want.get(key) {
            let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return (name, live.iter().find(|item| item.get(key) == Some(value)));
        }
    }
    (index.to_string(), live.get(index))
}

fn show(value: &Value) -> String {
    let text = if value.is_null() {
        "absent".to_owned()
    } else {
        value.to_string()
    };
    if text.chars().count() > VALUE_MAX {
        let cut: String = text.chars().take(VALUE_MAX).collect();
        return format!("{cut}…");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edited(live: &Value, mut manifest: Value) -> Repair {
        manifest["metadata"]["name"] = json!("a");
        let mut live = live.clone();
        live["metadata"]["name"] = json!("a");
        Repair::edited(&Child::new(ChildKind::Deployment, manifest), &live)
    }

    #[test]
    fn names_the_field_the_old_and_the_new_value() {
        let live = json!({"spec": {"template": {"spec": {"containers": [{"name": "side"}, {"name": "a", "image": "evil"}]}}}});
        let desired =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "good"}]}}}});
        let repair = edited(&live, desired);
        assert_eq!(
            repair.sentence,
            r#"Deployment/a was changed: spec.template.spec.containers[a].image was "evil", put back to "good""#
        );
        assert_eq!(
            repair.field.as_deref(),
            Some("spec.template.spec.containers[a].image")
        );
    }

    #[test]
    fn a_foreign_key_in_a_selector_is_named_and_a_foreign_label_is_not() {
        let live = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"selector": {"app": "a", "x": "y"}}});
        let desired = json!({"metadata": {"labels": {}}, "spec": {"selector": {"app": "a"}}});
        let repair = edited(&live, desired);
        assert_eq!(
            repair.sentence,
            r#"Deployment/a was changed: spec.selector.x was "y", put back to nothing"#
        );
    }

    #[test]
    fn the_last_editor_is_not_us_and_not_a_status_writer() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "time": time});
        let mut status = entry("kcm", "2026-01-03T00:00:00Z");
        status["subresource"] = json!("status");
        let live = json!({"metadata": {"managedFields": [
            entry("kubectl-edit", "2026-01-01T00:00:00Z"), entry("kubectl-set", "2026-01-02T00:00:00Z"),
            entry(OPERATOR, "2026-01-04T00:00:00Z"), status]}});
        assert_eq!(last_editor(&live).as_deref(), Some("kubectl-set"));
    }
}
