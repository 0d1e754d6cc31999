//! `search_jobs`: the tool that everything else is for.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject, Tool as Definition, ToolAnnotations};

use serde_json::Value;

use super::{
    Call, Tool,
    arguments::{self, Arguments, Parsed},
    ask_role::{self, Asked},
    progress,
    result::failed,
    schema,
    search_answer::{Answer, Answers},
    written::Outlet,
};
use crate::{jobs::Jobs, mcp::apps};

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
        definition.meta = Some(apps::tool_meta());
        Self {
            jobs,
            answers: Answers::new(),
            definition,
        }
    }

    async fn call(&self, mut call: Call<'_>) -> CallToolResponse {
        let mut parsed = arguments::parse(&call.arguments);
        if parsed == Err(arguments::Error::NoRole) {
            parsed = match ask_role::ask(&call).await {
                Asked::Role(role) => {
                    call.arguments.insert("role".to_owned(), role.into());
                    arguments::parse(&call.arguments)
                }
                Asked::First(question) => return question.into(),
                Asked::No(refusal) => return failed(refusal.to_string()).into(),
            };
        }
        match parsed {
            Ok(parsed) => self.search(&parsed, &call).await.into(),
            Err(error) => failed(error.to_string()).into(),
        }
    }

    async fn search(&self, parsed: &Parsed, call: &Call<'_>) -> CallToolResult {
        let found = match progress::wanted(call.context, call.gone(), parsed.request.pages) {
            None => self.jobs.search(&parsed.request, &()).await,
            Some(told) => {
                told.during(async |pages| self.jobs.search(&parsed.request, pages).await)
                    .await
            }
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(cause = error.category(), "job search failed");
                return failed(error.to_string());
            }
        };
        self.answers
            .result(&found, parsed, call.context.extensions.get::<Outlet>())
    }
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
        SearchJobs::call(self, call).boxed()
    }
}
