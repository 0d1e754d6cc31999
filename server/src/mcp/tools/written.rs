//! Answers that are written out already.
//!
//! Most of what a cached answer costs is writing it: 4 kB of JSON, made of a tree of 80 values, of five postings of twelve
//! strings. A transport that can send JSON as it is leaves an [`Outlet`] with the call; a tool that has its answer written
//! leaves it there.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use moka::sync::Cache;
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject};

use super::Call;
use crate::jobs::{Jobs, Stamp, request::SearchRequest};

/// Bytes of answers that are kept.
const CAPACITY: u64 = 8 << 20;

/// Arguments that are longer are hardly sent twice.
const LONGEST_KEY: usize = 1024;

/// What an entry weighs besides its text.
const ENTRY_BYTES: usize = 256;

/// Where a tool may leave its answer as JSON. If it does, what it returns says only whether it went well.
#[derive(Debug, Clone, Default)]
pub struct Outlet(Arc<OnceLock<Bytes>>);

impl Outlet {
    /// The answer that was left here: a `CallToolResult` without `resultType`, from behind its opening brace.
    #[must_use]
    pub fn taken(&self) -> Option<Bytes> {
        self.0.get().cloned()
    }

    fn leave(&self, members: Bytes) -> CallToolResponse {
        let _ = self.0.set(members);
        CallToolResult::success(Vec::new()).into()
    }
}

#[derive(Debug, Clone)]
struct Entry {
    request: Arc<SearchRequest>,
    stamp: Stamp,
    members: Bytes,
}

/// Answers of `search_jobs`, by the arguments they answer, for as long as what was found is the same.
#[derive(Debug)]
pub(super) struct Answers(Cache<String, Entry>);

impl Default for Answers {
    fn default() -> Self {
        let weigh = |key: &String, entry: &Entry| {
            u32::try_from(key.len() + entry.members.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(CAPACITY).weigher(weigh).build())
    }
}

/// A call whose answer can be left written.
#[derive(Debug)]
pub(super) struct Asked {
    outlet: Outlet,
    key: String,
}

impl Answers {
    /// What is needed to answer in writing; `None` where nobody can send that.
    pub(super) fn asked(call: &Call<'_>) -> Option<Asked> {
        let outlet = call.context.extensions.get::<Outlet>()?.clone();
        let key = key(&call.arguments).filter(|key| key.len() <= LONGEST_KEY)?;
        Some(Asked { outlet, key })
    }

    /// Leaves the answer that was given before, if it is still right.
    pub(super) fn again(&self, jobs: &Jobs, asked: &Asked) -> Option<CallToolResponse> {
        let entry = self.0.get(&asked.key)?;
        (jobs.stamp(&entry.request)? == entry.stamp).then(|| asked.outlet.leave(entry.members))
    }

    /// Leaves an answer, and keeps it.
    pub(super) fn write(
        &self,
        asked: Asked,
        request: SearchRequest,
        stamp: Stamp,
        mut result: CallToolResult,
    ) -> CallToolResponse {
        let Some(members) = members(&mut result) else {
            return result.into();
        };
        let entry = Entry {
            request: Arc::new(request),
            stamp,
            members: members.clone(),
        };
        self.0.insert(asked.key, entry);
        asked.outlet.leave(members)
    }
}

/// Objects are sorted, so that the same arguments are the same text.
fn key(arguments: &JsonObject) -> Option<String> {
    serde_json::to_string(arguments).ok()
}

/// The members of a result, but for the one that older clients do not know.
fn members(result: &mut CallToolResult) -> Option<Bytes> {
    let kind = result.result_type.take();
    let written = serde_json::to_vec(result);
    result.result_type = kind;
    Some(Bytes::from(written.ok()?).slice(1..))
}
