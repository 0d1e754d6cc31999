//! `remove_saved_jobs`: makes room among what the client that calls has kept.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::model::{CallToolResponse, CallToolResult, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Call, Tool, job_ids, posting,
    result::{answer, failed},
    schema,
};
use crate::saved::Saved;

const NAME: &str = "remove_saved_jobs";

const DESCRIPTION: &str = "Removes postings from the saved jobs of this user. They cannot be brought back, only searched \
for and saved again.";

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Arguments {
    /// The `job_ids` of the saved jobs to remove, as `list_saved_jobs` answered them.
    #[schemars(length(min = 1, max = 20))]
    job_ids: Vec<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Answer {
    /// The `job_ids` of those that are removed.
    removed: Vec<String>,
    /// The `job_ids` of those that were not saved.
    unknown: Vec<String>,
    /// Those that could not be removed, with the reason.
    failed: Vec<FailedOne>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FailedOne {
    /// The saved job's `job_id`.
    job_id: String,
    /// Why it is still there.
    reason: String,
}

/// The tool.
#[derive(Debug)]
pub struct RemoveSavedJobs {
    saved: Saved,
    definition: Definition,
}

impl RemoveSavedJobs {
    /// The tool.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        let annotations = ToolAnnotations::with_title("Remove saved jobs")
            .read_only(false)
            .destructive(true)
            .idempotent(true)
            .open_world(false);
        let definition = Definition::new(NAME, DESCRIPTION, schema::of::<Arguments>())
            .with_title("Remove saved jobs")
            .with_raw_output_schema(schema::of::<Answer>())
            .with_annotations(annotations);
        Self { saved, definition }
    }

    async fn remove(&self, call: Call<'_>) -> CallToolResult {
        let ids = match job_ids::list(&call.arguments, "job_ids") {
            Ok(ids) if ids.is_empty() => {
                return failed("Say which jobs: job_ids is missing. list_saved_jobs answers them.");
            }
            Ok(ids) => ids,
            Err(error) => return failed(error.to_string()),
        };
        let removed = match self.saved.remove(call.principal, ids.clone()).await {
            Ok(removed) => removed,
            Err(error) => return failed(error.to_string()),
        };
        let mut answered = Answer::default();
        for (job_id, removed) in ids.into_iter().zip(removed) {
            match removed {
                Ok(true) => answered.removed.push(job_id),
                Ok(false) => answered.unknown.push(job_id),
                Err(error) => {
                    tracing::warn!(cause = error.category(), "a saved job could not be removed");
                    answered.failed.push(FailedOne {
                        job_id,
                        reason: error.to_string(),
                    });
                }
            }
        }
        let mut result = answer(answered.text(), &answered);
        result.is_error = Some(!answered.failed.is_empty() && answered.removed.is_empty());
        result
    }
}

impl Answer {
    fn text(&self) -> String {
        let mut lines = vec![format!("{} removed.", posting::count(self.removed.len()))];
        lines.extend(self.unknown.iter().map(|id| format!("- {id} was not saved")));
        lines.extend(
            self.failed
                .iter()
                .map(|one| format!("- {}: {}", one.job_id, one.reason)),
        );
        lines.join("\n")
    }
}

impl Tool for RemoveSavedJobs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, CallToolResponse> {
        self.remove(call).map(CallToolResponse::from).boxed()
    }
}
