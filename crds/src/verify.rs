//! How it is made sure that a server speaks MCP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How it is made sure that a server speaks MCP. Whatever is chosen, a pod that is not ready takes no
/// traffic, and a rollout waits for it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Verify {
    /// A pod is ready after it has spoken MCP with itself, which this project's images do at their start.
    /// The operator asks from outside, in rounds.
    #[default]
    Probe,
    /// And after the operator has spoken MCP with that very pod: a readiness gate, `iam-mcp.dev/verified`.
    /// While no operator runs, new pods stay unready.
    Gate,
    /// Neither the server nor the operator asks.
    Off,
}
