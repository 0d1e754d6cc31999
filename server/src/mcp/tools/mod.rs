//! The tools, one file each.

mod arguments;
pub mod schema;
mod search_answer;
pub mod search_jobs;

use futures::future::BoxFuture;
use rmcp::{
    RoleServer,
    model::{CallToolResponse, JsonObject, Tool as Definition},
    service::RequestContext,
};

use crate::{http::principal::Principal, jobs::Jobs};

/// One call of a tool.
#[derive(Debug)]
pub struct Call<'a> {
    /// What it is called with.
    pub arguments: JsonObject,
    /// On whose behalf.
    pub principal: Principal,
    /// The request: its client, its progress token, its end.
    pub context: &'a RequestContext<RoleServer>,
}

/// Something a model can call.
pub trait Tool: std::fmt::Debug + Send + Sync {
    /// Its name, which is a metric label too.
    fn name(&self) -> &'static str;

    /// What clients are told about it.
    fn definition(&self) -> &Definition;

    /// Runs it. What goes wrong is part of the result, in words for the model (SEP-1303): a protocol error
    /// would not reach it. Must be cancel-safe.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse>;
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

    /// What they are called.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|tool| tool.name()).collect()
    }

    /// What clients are told, always in the same order.
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        self.0.iter().map(|tool| tool.definition().clone()).collect()
    }
}
