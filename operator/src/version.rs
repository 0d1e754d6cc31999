//! `version`: what this operator is, and what it goes with.

use iam_mcp_crds::McpServer;
use kube::Resource as _;
use serde_json::{Value, json};

use crate::cli::{DEFAULT_SERVER_IMAGE, VersionArgs};

/// Prints the versions.
pub fn print(args: &VersionArgs) {
    let versions = versions();
    if args.json {
        println!("{versions:#}");
        return;
    }
    for (what, version) in versions.as_object().into_iter().flatten() {
        println!("{what:12} {}", version.as_str().unwrap_or_default());
    }
}

/// The versions, by what they are of.
#[must_use]
pub fn versions() -> Value {
    json!({
        "operator": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("IAM_MCP_REVISION").filter(|revision| !revision.is_empty()).unwrap_or("unknown"),
        "api": McpServer::api_version(&()),
        "serverImage": DEFAULT_SERVER_IMAGE,
        "kubernetes": "1.35",
    })
}
