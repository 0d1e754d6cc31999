//! Strategic merge patches over pod templates, as `kubectl patch --type=strategic` does them: maps merge, `null`
//! removes, the lists of a pod that have a key merge by it, any other list is replaced.
//!
//! `$patch: delete` and `$patch: replace` work in maps and in items of keyed lists. The other directives steer
//! three-way merges, which this is not, and are refused.

use serde_json::{Map, Value};

/// Why a patch cannot be merged, with the path to what is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Refused {
    /// Where.
    pub path: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Key of the items of a list in a pod template, by the list's name (`patchMergeKey` in `k8s.io/api/core/v1`).
/// Within a pod template these names mean one list each.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "schedulingGates" => "name",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

const DIRECTIVE: &str = "$patch";

enum Directive {
    Merge,
    Replace,
    Delete,
}

/// What `patch` makes of `base`.
///
/// # Errors
/// [`Refused`] for a directive that is not known, an item without its key, and a patch that is no object.
pub fn merge(base: &Value, change: &Value) -> Result<Value, Refused> {
    let Some(change) = change.as_object() else {
        return Err(refused("", "must be an object"));
    };
    object(base.as_object(), change, "").map(Value::Object)
}

fn object(
    base: Option<&Map<String, Value>>,
    change: &Map<String, Value>,
    path: &str,
) -> Result<Map<String, Value>, Refused> {
    let mut merged = match directive(change, path)? {
        Directive::Merge => base.cloned().unwrap_or_default(),
        Directive::Replace => Map::new(),
        Directive::Delete => return Ok(Map::new()),
    };
    for (name, value) in change.iter().filter(|(name, _)| *name != DIRECTIVE) {
        let at = join(path, name);
        if name.starts_with('$') {
            return Err(refused(
                &at,
                "this directive is not supported; use $patch: delete, $patch: replace or null",
            ));
        }
        let before = merged.get(name);
        let after = match value {
            Value::Null => {
                merged.remove(name);
                continue;
            }
            Value::Object(change) => Value::Object(object(before.and_then(Value::as_object), change, &at)?),
            Value::Array(items) => match merge_key(name) {
                Some(key) => Value::Array(list(before.and_then(Value::as_array), items, key, &at)?),
                None => value.clone(),
            },
            scalar => scalar.clone(),
        };
        merged.insert(name.clone(), after);
    }
    Ok(merged)
}

fn list(base: Option<&Vec<Value>>, change: &[Value], key: &str, path: &str) -> Result<Vec<Value>, Refused> {
    let is_whole = |item: &Value| {
        item.as_object()
            .is_some_and(|item| item.len() == 1 && item.get(DIRECTIVE).is_some_and(|d| d == "replace"))
    };
    let mut merged = if change.iter().any(is_whole) {
        Vec::new()
    } else {
        base.cloned().unwrap_or_default()
    };
    for (index, item) in change.iter().enumerate().filter(|(_, item)| !is_whole(item)) {
        let Some(item) = item.as_object() else {
            return Err(refused(&format!("{path}[{index}]"), "must be an object"));
        };
        let Some(name) = item.get(key).filter(|name| name.is_string() || name.is_number()) else {
            return Err(refused(
                &format!("{path}[{index}]"),
                &format!("needs {key}, by which this list is merged"),
            ));
        };
        let at = format!(
            "{path}[{}]",
            name.as_str().map_or_else(|| name.to_string(), str::to_owned)
        );
        let place = merged.iter().position(|known| known.get(key) == Some(name));
        match (directive(item, &at)?, place) {
            (Directive::Delete, Some(place)) => {
                merged.remove(place);
            }
            (Directive::Delete, None) => {}
            (_, Some(place)) => {
                let after = object(merged[place].as_object(), item, &at)?;
                merged[place] = Value::Object(after);
            }
            (_, None) => merged.push(Value::Object(object(None, item, &at)?)),
        }
    }
    Ok(merged)
}

fn directive(change: &Map<String, Value>, path: &str) -> Result<Directive, Refused> {
    match change.get(DIRECTIVE).map(Value::as_str) {
        None | Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(_) => Err(refused(
            &join(path, DIRECTIVE),
            "must be merge, replace or delete",
        )),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn refused(path: &str, problem: &str) -> Refused {
    Refused {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
