//! Answers that are written out already.
//!
//! Most of what a cached answer costs is writing it: 4 kB of JSON, made of a tree of 80 values, of five postings of twelve
//! strings. A transport that can send JSON as it is leaves an [`Outlet`] with the call; a tool that has its answer written
//! leaves it there.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rmcp::model::CallToolResult;

/// Where a tool may leave its answer as JSON. If it does, what it returns says only whether it went well.
#[derive(Debug, Clone, Default)]
pub struct Outlet(Arc<OnceLock<Bytes>>);

impl Outlet {
    /// The answer that was left here: a `CallToolResult` without `resultType`, from behind its opening brace.
    #[must_use]
    pub fn taken(&self) -> Option<Bytes> {
        self.0.get().cloned()
    }

    /// Leaves what [`members`] made.
    pub(super) fn leave(&self, members: Bytes) -> CallToolResult {
        let _ = self.0.set(members);
        CallToolResult::success(Vec::new())
    }
}

/// The members of a result as JSON, but for the one that older clients do not know.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn members(result: &CallToolResult) -> Result<Bytes, serde_json::Error> {
    let mut result = result.clone();
    result.result_type = None;
    let written = serde_json::to_vec(&result)?;
    Ok(Bytes::from(written).slice(1..))
}
