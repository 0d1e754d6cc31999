//! The tools, one file each.

mod arguments;
pub mod schema;
mod search_answer;
pub mod search_jobs;

use futures::future::BoxFuture;
use rmcp::model::{CallToolResult, JsonObject, Tool as Definition};

use crate::jobs::Jobs;

/// Something a model can call.
pub trait Tool: std::fmt::Debug + Send + Sync {
    /// Its name, which is a metric label too.
    fn name(&self) -> &'static str;

    /// What clients are told about it.
    fn definition(&self) -> &Definition;

    /// Runs it. What goes wrong is part of the result, in words for the model (SEP-1303): a protocol error
    /// would not reach it. Must be cancel-safe.
    fn call(&self, arguments: JsonObject) -> BoxFuture<'_, CallToolResult>;
}

/// All tools, in the order they are listed.
#[derive(Debug)]
pub struct Tools(Vec<Box<dyn Tool>>);

impl Tools {
    /// The tools, on top of a job search.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self(vec![Box::new(search_jobs::SearchJobs::new(jobs))])
    }

    /// The tool called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&dyn Tool> {
        self.0.iter().find(|tool| tool.name() == name).map(|tool| &**tool)
    }

    /// What clients are told, always in the same order.
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        self.0.iter().map(|tool| tool.definition().clone()).collect()
    }
}
