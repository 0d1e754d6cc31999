//! The tools, one file each.

pub(crate) mod arguments;
mod ask_role;
pub mod get_job;
mod given_job;
mod job_ids;
pub mod list_saved_jobs;
mod posting;
mod progress;
pub mod remove_saved_jobs;
mod result;
pub mod save_jobs;
pub mod schema;
mod search_answer;
pub mod search_jobs;
pub mod written;

use futures::future::BoxFuture;
use rmcp::{
    RoleServer,
    model::{CallToolResponse, InputResponses, JsonObject, Tool as Definition},
    service::RequestContext,
};

pub(crate) use self::search_answer::Answer;
use tokio_util::sync::CancellationToken;

use super::conversation::Client;
use crate::{http::principal::Principal, jobs::Jobs, saved::Saved};

/// One call of a tool.
#[derive(Debug)]
pub struct Call<'a> {
    /// What it is called with.
    pub arguments: JsonObject,
    /// The client's answers to what it was asked to ask, before this call (2026-07-28, MRTR).
    pub answers: Option<InputResponses>,
    /// On whose behalf.
    pub principal: Principal,
    /// The request: its client, its progress token, its end.
    pub context: &'a RequestContext<RoleServer>,
    /// The process's one and only client, where there is such.
    pub only: Option<&'a dyn Client>,
}

impl Call<'_> {
    /// Cancelled when the process's only client is gone: what is waited for with its help never comes then. Elsewhere the
    /// call itself is cancelled.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.only.map(Client::ended).unwrap_or_default()
    }
}

/// Something a model can call.
pub trait Tool: std::fmt::Debug + Send + Sync {
    /// Its name, which is a metric label too.
    fn name(&self) -> &'static str;

    /// What clients are told about it.
    fn definition(&self) -> &Definition;

    /// Whether it answers a call with these arguments without a word to the client before: without a question, and
    /// without progress where none is asked for.
    fn answers_alone(&self, _arguments: &JsonObject) -> bool {
        false
    }

    /// Runs it. What goes wrong is part of the result, in words for the model (SEP-1303): a protocol error
    /// would not reach it. Must be cancel-safe.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse>;
}

/// All tools, in the order they are listed.
#[derive(Debug)]
pub struct Tools(Vec<Box<dyn Tool>>);

impl Tools {
    /// The tools, on top of a job search; those for saved jobs too, if jobs can be saved.
    #[must_use]
    pub fn new(jobs: Jobs, saved: Option<Saved>) -> Self {
        let mut tools: Vec<Box<dyn Tool>> = vec![
            Box::new(search_jobs::SearchJobs::new(jobs.clone())),
            Box::new(get_job::GetJob::new(jobs.clone(), saved.clone())),
        ];
        if let Some(saved) = saved {
            tools.push(Box::new(save_jobs::SaveJobs::new(jobs, saved.clone())));
            tools.push(Box::new(list_saved_jobs::ListSavedJobs::new(saved.clone())));
            tools.push(Box::new(remove_saved_jobs::RemoveSavedJobs::new(saved)));
        }
        Self(tools)
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
