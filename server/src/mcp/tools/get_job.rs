//! `get_job`: one posting in full.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{CallToolResponse, CallToolResult, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Call, Tool, job_ids, posting,
    result::{answer, failed},
    schema,
};
use crate::{
    jobs::{Jobs, job::Job},
    saved::Saved,
};

const NAME: &str = "get_job";

const DESCRIPTION: &str = "Gives one job posting in full, by the job_id that search_jobs or list_saved_jobs \
answered. Postings with sample: true are invented examples.";

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Arguments {
    /// The posting's `job_id`, as it was answered.
    job_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    /// The posting, with its whole description.
    job: Job,
}

/// The tool.
#[derive(Debug)]
pub struct GetJob {
    jobs: Jobs,
    saved: Option<Saved>,
    definition: Definition,
}

impl GetJob {
    /// The tool, on top of a job search and of what was saved, if anything can be.
    #[must_use]
    pub fn new(jobs: Jobs, saved: Option<Saved>) -> Self {
        let annotations = ToolAnnotations::with_title("Show a job")
            .read_only(true)
            .idempotent(true)
            .open_world(true);
        let definition = Definition::new(NAME, DESCRIPTION, schema::of::<Arguments>())
            .with_title("Show a job")
            .with_raw_output_schema(schema::of::<Answer>())
            .with_annotations(annotations);
        Self {
            jobs,
            saved,
            definition,
        }
    }

    async fn get(&self, call: Call<'_>) -> CallToolResult {
        let job_id = match job_ids::one(&call.arguments) {
            Ok(job_id) => job_id,
            Err(error) => return failed(error.to_string()),
        };
        let found = match self.jobs.posting(&job_id).await {
            Ok(Some(job)) => return shown(job),
            found => found,
        };
        // What was saved stays, however long its provider remembers it.
        if let Some(saved) = &self.saved {
            match saved.get(call.principal, job_id).await {
                Ok(Some(saved)) => return shown(saved.job),
                Ok(None) => {}
                Err(error) => return failed(error.to_string()),
            }
        }
        match found {
            Err(error) => {
                tracing::warn!(cause = error.category(), "a posting could not be had");
                failed(error.to_string())
            }
            Ok(_) => failed(
                "No job of this job_id is known here, or not any more. Search for it again with search_jobs, and use \
                 the job_id just as it was answered.",
            ),
        }
    }
}

fn shown(job: Job) -> CallToolResult {
    answer(posting::whole(&job), &Answer { job })
}

impl Tool for GetJob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse> {
        self.get(call).map(CallToolResponse::from).boxed()
    }
}
