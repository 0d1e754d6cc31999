//! What tools answer.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;

/// An answer: `text` for models, `structured` for programs.
pub(super) fn answer(text: String, structured: &impl Serialize) -> CallToolResult {
    match serde_json::to_value(structured) {
        Ok(value) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(value);
            result
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            failed("What was found could not be written down; try again.")
        }
    }
}

/// What went wrong, in words for the model (SEP-1303).
pub(super) fn failed(text: impl Into<String>) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text.into())])
}
