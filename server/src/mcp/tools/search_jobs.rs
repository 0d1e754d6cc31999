//! `search_jobs`: the tool that everything else is for.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, JsonObject, Tool as Definition, ToolAnnotations,
};

use serde_json::Value;

use super::{
    Call, Tool,
    arguments::{self, Arguments},
    schema,
    search_answer::{Answer, Answers},
    written::Outlet,
};
use crate::jobs::Jobs;

const NAME: &str = "search_jobs";

const DESCRIPTION: &str = "Searches job postings by role and, if wanted, by place and job board. Give either \
role with city and country, or query with location. Answers title, company, place, description and the link to \
apply. Postings with sample: true are invented examples, served when no job board is set up.";

/// The tool.
#[derive(Debug)]
pub struct SearchJobs {
    jobs: Jobs,
    answers: Answers,
    definition: Definition,
}

impl SearchJobs {
    /// The tool, on top of a job search.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        let annotations = ToolAnnotations::with_title("Search jobs")
            .read_only(true)
            .idempotent(true)
            .open_world(true);
        let mut definition = Definition::new(NAME, DESCRIPTION, schema::of::<Arguments>());
        definition.title = Some("Search jobs".to_owned());
        definition.output_schema = Some(schema::of::<Answer<'static>>());
        definition.annotations = Some(annotations);
        Self {
            jobs,
            answers: Answers::new(),
            definition,
        }
    }

    async fn search(&self, arguments: JsonObject, outlet: Option<&Outlet>) -> CallToolResult {
        let parsed = match arguments::parse(&arguments) {
            Ok(parsed) => parsed,
            Err(error) => return failed(error.to_string()),
        };
        let found = match self.jobs.search(&parsed.request, &()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(cause = error.category(), "job search failed");
                return failed(error.to_string());
            }
        };
        match self.answers.result(&found, &parsed, outlet) {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                failed("The jobs that were found could not be written down; try again.".to_owned())
            }
        }
    }
}

fn failed(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

impl Tool for SearchJobs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn answers_alone(&self, arguments: &JsonObject) -> bool {
        // Who says no role may be asked for one.
        ["role", "query"].into_iter().any(|name| {
            let text = arguments.get(name).and_then(Value::as_str);
            text.is_some_and(|text| !text.trim().is_empty())
        })
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse> {
        let outlet = call.context.extensions.get();
        self.search(call.arguments, outlet)
            .map(CallToolResponse::from)
            .boxed()
    }
}
