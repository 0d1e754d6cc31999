//! The audit log of `ops/cluster`: every write, with who did it.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde_json::Value;

use crate::setting;

/// Writes of `user` since `start`, a line each: verb, resource, namespace/name.
#[must_use]
pub fn writes(user: &str, start: Timestamp) -> Vec<String> {
    writes_with("", user, start)
}

/// The same, of lines that have `part`, such as the name of a namespace: of a long log, most lines are not read then.
#[must_use]
pub fn writes_with(part: &str, user: &str, start: Timestamp) -> Vec<String> {
    let path = std::env::var("E2E_AUDIT_LOG").unwrap_or_else(|_| {
        let kubeconfig = setting("E2E_KUBECONFIG");
        let state = Path::new(&kubeconfig).parent().expect("a directory");
        state.join("log").join("audit.log").display().to_string()
    });
    let log = fs::read_to_string(&path).unwrap_or_else(|error| panic!("the audit log {path}: {error}"));
    let entries = log
        .lines()
        .filter(|line| line.contains(part))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries
        .filter(|entry| entry["user"]["username"] == user)
        .filter(|entry| {
            let time = entry["requestReceivedTimestamp"]
                .as_str()
                .and_then(|t| t.parse::<Timestamp>().ok());
            time.is_some_and(|time| time >= start)
        })
        .map(|entry| {
            let object = &entry["objectRef"];
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let words = [
                &entry["verb"],
                &object["resource"],
                &object["subresource"],
                &object["namespace"],
                &object["name"],
            ];
            words.map(word).join(" ")
        })
        .collect()
}
