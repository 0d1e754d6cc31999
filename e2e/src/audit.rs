//! The audit log of `ops/cluster`: every write, with who did it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::setting;

/// A write that was answered.
#[derive(Clone, Debug)]
pub struct Write {
    /// Who wrote: the name that was acted under, where somebody acted under another's.
    pub user: String,
    /// `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `deployments`, `leases`, …
    pub resource: String,
    /// `status`, `scale`, …, or nothing.
    pub subresource: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When the API server got the request.
    pub received: Timestamp,
    /// When it had answered.
    pub answered: Timestamp,
    /// How it answered: 200, 409, …
    pub code: i64,
}

impl Write {
    fn read(entry: &Value) -> Option<Self> {
        let object = &entry["objectRef"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let time = |field: &str| entry[field].as_str()?.parse().ok();
        let user = match &entry["impersonatedUser"]["username"] {
            Value::String(user) => user.clone(),
            _ => word(&entry["user"]["username"]),
        };
        Some(Self {
            user,
            verb: word(&entry["verb"]),
            resource: word(&object["resource"]),
            subresource: word(&object["subresource"]),
            namespace: word(&object["namespace"]),
            name: word(&object["name"]),
            received: time("requestReceivedTimestamp")?,
            answered: time("stageTimestamp")?,
            code: entry["responseStatus"]["code"].as_i64().unwrap_or_default(),
        })
    }

    /// Whether it changed something, as far as the answer tells.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        self.code >= 200 && self.code < 300
    }
}

impl std::fmt::Display for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [
            &self.verb,
            &self.resource,
            &self.subresource,
            &self.namespace,
            &self.name,
        ];
        f.write_str(&words.map(String::as_str).join(" "))
    }
}

/// Writes of `user` since `start`, a line each: verb, resource, namespace/name.
#[must_use]
pub fn writes(user: &str, start: Timestamp) -> Vec<String> {
    writes_with(user, user, start)
}

/// The same, of lines that have `part`, such as the name of a namespace: of a long log, most lines are not read then.
#[must_use]
pub fn writes_with(part: &str, user: &str, start: Timestamp) -> Vec<String> {
    let of_the_user = read(part)
        .into_iter()
        .filter(|write| write.user == user && write.received >= start);
    of_the_user.map(|write| write.to_string()).collect()
}

/// Writes in `namespace`, in the order in which they came.
#[must_use]
pub fn writes_in(namespace: &str) -> Vec<Write> {
    let mut writes: Vec<Write> = read(namespace)
        .into_iter()
        .filter(|write| write.namespace == namespace)
        .collect();
    writes.sort_by_key(|write| write.received);
    writes
}

/// All writes whose entry has `word` somewhere, also in the parts of the log that were put aside for their size.
fn read(word: &str) -> Vec<Write> {
    let mut found = Vec::new();
    for path in files() {
        let log = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("the audit log {}: {error}", path.display()));
        let entries = log
            .lines()
            .filter(|line| line.contains(word))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        found.extend(entries.filter_map(|entry| Write::read(&entry)));
    }
    found
}

/// The log, and beside it `audit-TIME.log`.
fn files() -> Vec<PathBuf> {
    let log = std::env::var("E2E_AUDIT_LOG").map_or_else(
        |_| {
            let kubeconfig = setting("E2E_KUBECONFIG");
            let state = Path::new(&kubeconfig).parent().expect("a directory").to_owned();
            state.join("log").join("audit.log")
        },
        PathBuf::from,
    );
    let directory = log.parent().expect("a directory");
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("the directory of the audit log {}: {error}", log.display()));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            is_log && name.starts_with("audit")
        })
        .collect();
    files.sort();
    files
}
