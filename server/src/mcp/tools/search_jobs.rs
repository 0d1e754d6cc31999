//! `search_jobs`: the tool that everything else is for.

use std::future::ready;

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, JsonObject, Tool as Definition, ToolAnnotations,
};

use serde_json::Value;

use super::{
    Call, Tool,
    arguments::{self, Arguments},
    schema,
    search_answer::Answer,
    written::{Answers, Asked},
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
        definition.output_schema = Some(schema::of::<Answer>());
        definition.annotations = Some(annotations);
        Self {
            jobs,
            answers: Answers::default(),
            definition,
        }
    }

    async fn search(&self, arguments: JsonObject, asked: Option<Asked>) -> CallToolResponse {
        let parsed = match arguments::parse(&arguments) {
            Ok(parsed) => parsed,
            Err(error) => return failed(error.to_string()).into(),
        };
        let stamp = asked.as_ref().and_then(|_| self.jobs.stamp(&parsed.request));
        let found = match self.jobs.search(&parsed.request, &()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(cause = error.category(), "job search failed");
                return failed(error.to_string()).into();
            }
        };
        let answer = Answer::new(found, &parsed);
        let text = answer.text(&parsed.request);
        let Ok(value) = serde_json::to_value(&answer)
            .inspect_err(|error| tracing::error!(%error, "an answer could not be written"))
        else {
            return failed("The jobs that were found could not be written down; try again.".to_owned())
                .into();
        };
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        result.structured_content = Some(value);
        match asked.zip(stamp) {
            // Else it may have changed in between, and nobody knows which of them this is.
            Some((asked, stamp)) if self.jobs.stamp(&parsed.request) == Some(stamp) => {
                self.answers.write(asked, parsed.request, stamp, result)
            }
            _ => result.into(),
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
        let asked = Answers::asked(&call);
        if let Some(answer) = asked
            .as_ref()
            .and_then(|asked| self.answers.again(&self.jobs, asked))
        {
            return ready(answer).boxed();
        }
        self.search(call.arguments, asked).boxed()
    }
}
