//! `save_jobs`: keeps postings for the client that calls.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    Call, Tool, given_job,
    job_ids::{self, MOST},
    posting,
    result::{answer, failed},
    schema,
};
use crate::{
    jobs::{Jobs, job::Job},
    mcp::resources::uri,
    saved::{Saved, store::Kept},
};

const NAME: &str = "save_jobs";

const DESCRIPTION: &str = "Keeps job postings for later, on the server, for this user only. Give the job_ids that \
search_jobs answered; or, where a posting is not known to the server any more, the posting itself in jobs. Saving a \
job again updates it. list_saved_jobs shows what is saved; each is also a resource, jobs://saved/{job_id}.";

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Arguments {
    /// The `job_ids` of the postings to save, as `search_jobs` answered them.
    #[schemars(length(max = 20))]
    job_ids: Option<Vec<String>>,
    /// Whole postings to save, with the fields that `search_jobs` answered.
    #[schemars(length(max = 20))]
    jobs: Option<Vec<Job>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    /// The postings that are saved now.
    saved: Vec<SavedOne>,
    /// Those that are not, with the reason.
    failed: Vec<FailedOne>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SavedOne {
    /// The posting's `job_id`.
    job_id: String,
    /// What the job is called.
    title: String,
    /// The resource that it can be read as.
    uri: String,
    /// Whether it is new, or was there before.
    outcome: Outcome,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FailedOne {
    /// The posting's `job_id`.
    job_id: String,
    /// Why it is not saved.
    reason: String,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// It is new.
    Added,
    /// It was there, with another content.
    Updated,
    /// It was there already.
    Unchanged,
}

/// The tool.
#[derive(Debug)]
pub struct SaveJobs {
    jobs: Jobs,
    saved: Saved,
    definition: Definition,
}

impl SaveJobs {
    /// The tool, which looks postings up in `jobs`.
    #[must_use]
    pub fn new(jobs: Jobs, saved: Saved) -> Self {
        // It replaces what was saved under the same id, with what the caller says.
        let annotations = ToolAnnotations::with_title("Save jobs")
            .read_only(false)
            .destructive(true)
            .idempotent(true)
            .open_world(true);
        let definition = Definition::new(NAME, DESCRIPTION, schema::of::<Arguments>())
            .with_title("Save jobs")
            .with_raw_output_schema(schema::of::<Answer>())
            .with_annotations(annotations);
        Self {
            jobs,
            saved,
            definition,
        }
    }

    async fn save(&self, call: Call<'_>) -> CallToolResult {
        let (ids, mut jobs) = match parse(&call.arguments) {
            Ok(parsed) => parsed,
            Err(error) => return failed(error),
        };
        let mut missed = Vec::new();
        for job_id in ids {
            let reason = match self.jobs.posting(&job_id).await {
                Ok(Some(job)) => {
                    jobs.push(job);
                    continue;
                }
                Ok(None) => {
                    "The server does not know this job any more: pass the whole posting in jobs, or search \
                             for it again."
                        .to_owned()
                }
                Err(error) => error.to_string(),
            };
            missed.push(FailedOne { job_id, reason });
        }
        let named: Vec<_> = jobs
            .iter()
            .map(|job| (job.job_id.clone(), job.title.clone()))
            .collect();
        let kept = match self.saved.save(call.principal, jobs).await {
            Ok(kept) => kept,
            Err(error) => return failed(error.to_string()),
        };
        let mut saved = Vec::new();
        for ((job_id, title), kept) in named.into_iter().zip(kept) {
            match kept {
                Ok(kept) => saved.push(SavedOne {
                    uri: uri::of(&job_id),
                    job_id,
                    title,
                    outcome: kept.into(),
                }),
                Err(error) => {
                    tracing::warn!(cause = error.category(), "a job could not be saved");
                    missed.push(FailedOne {
                        job_id,
                        reason: error.to_string(),
                    });
                }
            }
        }
        let answered = Answer {
            saved,
            failed: missed,
        };
        let mut result = answer(answered.text(), &answered);
        result.is_error = Some(answered.saved.is_empty());
        result
    }
}

/// Ids to look up, and postings that were given whole; at least one of either, and not too many.
fn parse(arguments: &JsonObject) -> Result<(Vec<String>, Vec<Job>), String> {
    let mut ids = job_ids::list(arguments, "job_ids").map_err(|error| error.to_string())?;
    let jobs = match arguments.get("jobs") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values
            .iter()
            .map(given_job::read)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?,
        Some(_) => return Err("jobs must be a list of postings, as search_jobs answered them.".to_owned()),
    };
    ids.retain(|id| jobs.iter().all(|job| job.job_id != *id));
    match ids.len() + jobs.len() {
        0 => Err("Say which jobs: job_ids is missing. They stand in what search_jobs answered.".to_owned()),
        count if count > MOST => Err(format!(
            "{count} jobs are too many for one call: {MOST} is the most."
        )),
        _ => Ok((ids, jobs)),
    }
}

impl From<Kept> for Outcome {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Added => Self::Added,
            Kept::Updated => Self::Updated,
            Kept::Unchanged => Self::Unchanged,
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.saved.is_empty() {
            lines.push(format!("{} saved:", posting::count(self.saved.len())));
        }
        lines.extend(self.saved.iter().map(|one| {
            let outcome = match one.outcome {
                Outcome::Added => "new",
                Outcome::Updated => "updated",
                Outcome::Unchanged => "was saved already",
            };
            format!("- {} ({outcome}): {}", one.title, one.uri)
        }));
        if !self.failed.is_empty() {
            lines.push(format!("{} not saved:", posting::count(self.failed.len())));
        }
        lines.extend(
            self.failed
                .iter()
                .map(|one| format!("- {}: {}", one.job_id, one.reason)),
        );
        lines.join("\n")
    }
}

impl Tool for SaveJobs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse> {
        self.save(call).map(CallToolResponse::from).boxed()
    }
}
