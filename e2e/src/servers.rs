//! `McpServer` resources for tests.

use iam_mcp_crds::{McpServer, McpServerSpec};
use serde_json::Value;

/// The name that most tests use.
pub const NAME: &str = "jobs";

/// A server with a spec as a person would write it.
#[must_use]
pub fn server(name: &str, spec: Value) -> McpServer {
    let spec: McpServerSpec = serde_json::from_value(spec).expect("a valid spec");
    McpServer::new(name, spec)
}
