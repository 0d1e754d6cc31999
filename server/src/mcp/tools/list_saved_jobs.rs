//! `list_saved_jobs`: what the client that calls has kept.

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    Call, Tool, posting,
    result::{answer, failed},
    schema,
};
use crate::{
    jobs::job::Job,
    mcp::resources::uri,
    saved::{Saved, SavedJob, store::Listed},
};

const NAME: &str = "list_saved_jobs";

const DESCRIPTION: &str = "Lists the job postings that this user saved with save_jobs, the newest first, without their \
descriptions; get_job gives one in full.";

/// Jobs on a page: as many as a model reads with ease.
const PAGE: usize = 50;

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Arguments {
    /// Which page of fifty jobs to list.
    #[schemars(range(min = 1), extend("default" = 1))]
    page: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    /// The saved jobs of this page.
    jobs: Vec<One>,
    /// How many are saved in all.
    total: usize,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page: Option<usize>,
    /// Files of saved jobs that cannot be read. They are left as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    damaged: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct One {
    /// The posting's `job_id`.
    job_id: String,
    /// What the job is called.
    title: String,
    /// Who is hiring.
    company: String,
    /// Where the work is.
    location: String,
    /// Where to apply.
    apply_link: String,
    /// When it was saved, in RFC 3339.
    #[schemars(with = "String")]
    saved_at: Timestamp,
    /// The resource that it can be read as.
    uri: String,
    /// True for invented postings.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    sample: bool,
}

/// The tool.
#[derive(Debug)]
pub struct ListSavedJobs {
    saved: Saved,
    definition: Definition,
}

impl ListSavedJobs {
    /// The tool.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        let annotations = ToolAnnotations::with_title("List saved jobs")
            .read_only(true)
            .idempotent(true)
            .open_world(false);
        let definition = Definition::new(NAME, DESCRIPTION, schema::of::<Arguments>())
            .with_title("List saved jobs")
            .with_raw_output_schema(schema::of::<Answer>())
            .with_annotations(annotations);
        Self { saved, definition }
    }

    async fn list(&self, call: Call<'_>) -> CallToolResult {
        let Some(page) = page(&call.arguments) else {
            return failed("page must be a whole number, 1 or more.");
        };
        match self.saved.list(call.principal).await {
            Ok(listed) => {
                let (text, structured) = written(listed, page);
                answer(text, &structured)
            }
            Err(error) => failed(error.to_string()),
        }
    }
}

fn page(arguments: &JsonObject) -> Option<usize> {
    let page = match arguments.get("page") {
        None | Some(Value::Null) => 1,
        Some(Value::Number(number)) => number.as_u64()?,
        Some(Value::String(text)) => text.trim().parse().ok()?,
        Some(_) => return None,
    };
    usize::try_from(page).ok().filter(|page| *page > 0)
}

fn written(listed: Listed, page: usize) -> (String, Answer) {
    let total = listed.jobs.len();
    let start = (page - 1).saturating_mul(PAGE);
    let shown: Vec<_> = listed.jobs.into_iter().skip(start).take(PAGE).collect();
    let next_page = (start.saturating_add(PAGE) < total).then_some(page + 1);
    let mut lines = match (total, shown.is_empty()) {
        (0, _) => vec!["No job is saved yet. save_jobs saves what search_jobs found.".to_owned()],
        (_, true) => vec![format!(
            "{} saved; this page is behind the last.",
            posting::count(total)
        )],
        (_, false) => vec![format!("{} saved:", posting::count(total))],
    };
    for (index, SavedJob { saved_at, job }) in shown.iter().enumerate() {
        lines.push(format!(
            "{}. {}\n   saved {}, job_id: {}",
            start + index + 1,
            posting::line(job),
            saved_at.strftime("%Y-%m-%d"),
            job.job_id
        ));
    }
    if let Some(next) = next_page {
        lines.push(format!("More are on page {next}."));
    }
    if !listed.damaged.is_empty() {
        lines.push(format!(
            "{} more cannot be read, because the files are damaged: {}. They were left as they are.",
            listed.damaged.len(),
            listed.damaged.join(", ")
        ));
    }
    let answer = Answer {
        jobs: shown.into_iter().map(One::from).collect(),
        total,
        next_page,
        damaged: listed.damaged,
    };
    (lines.join("\n"), answer)
}

impl From<SavedJob> for One {
    fn from(SavedJob { saved_at, job }: SavedJob) -> Self {
        let Job {
            job_id,
            title,
            company,
            location,
            apply_link,
            sample,
            ..
        } = job;
        Self {
            uri: uri::of(&job_id),
            job_id,
            title,
            company,
            location,
            apply_link,
            saved_at,
            sample,
        }
    }
}

impl Tool for ListSavedJobs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse> {
        self.list(call).map(CallToolResponse::from).boxed()
    }
}
