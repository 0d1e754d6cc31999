//! What a server's status and events say.

use iam_mcp_crds::{ConditionType, McpServer, Reason};

/// `Type=Status Reason: message` of every condition, for messages of tests.
#[must_use]
pub fn tell(server: &McpServer) -> String {
    let Some(status) = &server.status else {
        return "no status yet".to_owned();
    };
    let lines = status
        .conditions
        .iter()
        .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message));
    lines.collect::<Vec<_>>().join("\n    ")
}

/// The message of a condition that has this status and reason and speaks of the current spec.
///
/// # Errors
/// All conditions, when it does not.
pub fn condition(
    server: &McpServer,
    type_: ConditionType,
    status: bool,
    reason: Reason,
) -> Result<String, String> {
    let current = server
        .status
        .as_ref()
        .filter(|s| s.observed_generation == server.metadata.generation);
    current
        .and_then(|s| s.conditions.iter().find(|c| c.type_ == type_.as_str()))
        .filter(|c| c.status == if status { "True" } else { "False" } && c.reason == reason.as_str())
        .filter(|c| c.observed_generation == server.metadata.generation)
        .map(|c| c.message.clone())
        .ok_or_else(|| tell(server))
}
