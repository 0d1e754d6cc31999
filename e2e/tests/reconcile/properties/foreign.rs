//! What others put into children, and that it stays.

use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{dice::Dice, judge::Kind};

/// Something of somebody else's in a child.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) kind: &'static str,
    /// Of the child that it was put into.
    pub(crate) uid: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A label or an annotation: its pointer and value.
    Word(String, Value),
    /// An item, by its name, of the list at a pointer.
    Item(String, String),
    /// A variable of the container called so.
    Variable(String, String),
}

impl What {
    pub(crate) fn is_replaced_by(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Word(this, _), Self::Word(other, _)) if this == other)
    }

    fn is_in(&self, live: &Value) -> bool {
        let named = |list: &Value, name: &str| {
            list.as_array()
                .into_iter()
                .flatten()
                .find(|item| item["name"] == name)
                .cloned()
        };
        match self {
            Self::Word(pointer, value) => live.pointer(pointer) == Some(value),
            Self::Item(pointer, name) => live
                .pointer(pointer)
                .is_some_and(|list| named(list, name).is_some()),
            Self::Variable(container, name) => live
                .pointer("/spec/template/spec/containers")
                .and_then(|all| named(all, container))
                .is_some_and(|container| named(&container["env"], name).is_some()),
        }
    }
}

/// Something foreign for a child of `kind`, of the server called `name`: a strategic merge patch (a merge patch will do
/// where nothing of a list is in it), and what must stay of it.
pub(crate) fn any(kind: &'static str, name: &str, dice: &mut Dice) -> (Value, Vec<What>) {
    let number = dice.below(1000);
    let in_template = |part: &str, key: &str, value: &str| {
        let patch = json!({"spec": {"template": {"metadata": {part: {key: value}}}}});
        let pointer = format!("/spec/template/metadata/{part}/{}", key.replace('/', "~1"));
        (patch, vec![What::Word(pointer, json!(value))])
    };
    match (kind, dice.below(if kind == "Deployment" { 7 } else { 2 })) {
        (_, choice @ (0 | 1)) => {
            let part = if choice == 0 { "labels" } else { "annotations" };
            let key = format!("foreign-{number}");
            let patch = json!({"metadata": {part: {&key: "yes"}}});
            (
                patch,
                vec![What::Word(format!("/metadata/{part}/{key}"), json!("yes"))],
            )
        }
        (_, 2) => in_template("labels", &format!("injected-{number}"), "yes"),
        (_, 3) => in_template("annotations", &format!("example.com/injected-{number}"), "yes"),
        // What `kubectl rollout restart` writes.
        (_, 4) => in_template(
            "annotations",
            "kubectl.kubernetes.io/restartedAt",
            &format!("2026-01-01T00:00:{:02}Z", number % 60),
        ),
        // What a mutating webhook makes of a Deployment.
        (_, 5) => {
            let (sidecar, volume) = (format!("injected-{number}"), format!("injected-volume-{number}"));
            let containers = json!([{
                "name": &sidecar, "image": "mesh:1", "volumeMounts": [{"name": &volume, "mountPath": "/mesh"}],
            }]);
            let volumes = json!([{"name": &volume, "emptyDir": {}}]);
            let pod = "/spec/template/spec";
            (
                json!({"spec": {"template": {"spec": {"containers": containers, "volumes": volumes}}}}),
                vec![
                    What::Item(format!("{pod}/containers"), sidecar),
                    What::Item(format!("{pod}/volumes"), volume),
                ],
            )
        }
        // What `kubectl set env` writes.
        _ => {
            let variable = format!("FOREIGN_{number}");
            let container = json!([{"name": name, "env": [{"name": &variable, "value": "yes"}]}]);
            (
                json!({"spec": {"template": {"spec": {"containers": container}}}}),
                vec![What::Variable(name.to_owned(), variable)],
            )
        }
    }
}

/// Whether each of `marks` is still there. `excused` are uids of children that were deleted by others than the operator, or
/// that the spec asked to be deleted.
pub(crate) async fn stay(kinds: &[Kind], marks: &[Mark], excused: &[String]) -> Result<(), String> {
    for mark in marks.iter().filter(|mark| !excused.contains(&mark.uid)) {
        let kind = kinds
            .iter()
            .find(|kind| kind.title == mark.kind)
            .ok_or("an unknown kind")?;
        let live = kind.api.get_opt(&kind.name).await.map_err(|e| e.to_string())?;
        let live = live.ok_or_else(|| format!("{} of {mark:?} is gone", mark.kind))?;
        if live.uid().as_ref() != Some(&mark.uid) {
            return Err(format!("{} was deleted and made anew: {mark:?}", mark.kind));
        }
        let live = serde_json::to_value(live).map_err(|e| e.to_string())?;
        if !mark.what.is_in(&live) {
            return Err(format!("what others put in is gone: {mark:?}"));
        }
    }
    Ok(())
}
