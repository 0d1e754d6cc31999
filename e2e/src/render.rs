//! What the operator would make: its own `render`, asked as a person would.

use std::{collections::BTreeMap, process::Stdio};

use iam_mcp_crds::McpServer;
use kube::ResourceExt as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::operator;

/// The children of each of `servers` as the operator's `render` prints them, by the server's name. Its Secret is not among
/// them.
///
/// # Errors
/// What `render` said, when it refused one.
pub async fn children(servers: &[McpServer]) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let documents: Vec<String> = servers
        .iter()
        .map(|server| serde_json::to_string(server).expect("a resource is JSON"))
        .collect();
    let mut command = tokio::process::Command::from(operator::command());
    // Without a cluster, to be sure.
    command.env_remove("KUBECONFIG").args(["render", "-f", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("E2E_OPERATOR_BIN can be started");
    let mut input = child.stdin.take().expect("piped");
    let text = documents.join("\n---\n");
    // It may end without reading; what it says then is told below.
    let _ = input.write_all(text.as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await.expect("render ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut found: BTreeMap<String, Vec<Value>> = servers
        .iter()
        .map(|server| (server.name_any(), Vec::new()))
        .collect();
    for document in String::from_utf8_lossy(&output.stdout).split("\n---\n") {
        let child: Value = serde_saphyr::from_str(document).map_err(|error| error.to_string())?;
        // The comment before the first child is a document of its own.
        if let Some(name) = child["metadata"]["name"].as_str() {
            found.entry(name.to_owned()).or_default().push(child);
        }
    }
    Ok(found)
}
