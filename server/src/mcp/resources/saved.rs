//! Saved jobs as resources.

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::{
    ErrorData,
    model::{CacheScope, ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};

use super::{Source, not_found, uri};
use crate::{
    http::principal::Principal,
    saved::{Error, Saved, SavedJob},
};

const JSON: &str = "application/json";

/// The source.
#[derive(Debug)]
pub struct SavedJobs(Saved);

impl SavedJobs {
    /// Those that are kept in `saved`.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        Self(saved)
    }

    async fn all(&self, principal: Principal) -> Result<Vec<Resource>, ErrorData> {
        let listed = self.0.list(principal).await.map_err(|error| failed(&error))?;
        Ok(listed.jobs.iter().map(resource).collect())
    }

    async fn one(&self, uri: &str, principal: Principal) -> Result<ReadResourceResult, ErrorData> {
        let job_id = uri::job_id(uri).ok_or_else(|| not_found(uri))?;
        let found = self
            .0
            .get(principal, job_id)
            .await
            .map_err(|error| failed(&error))?;
        let SavedJob { saved_at, job } = found.ok_or_else(|| not_found(uri))?;
        let content = serde_json::json!({ "saved_at": saved_at, "job": job });
        let text =
            serde_json::to_string_pretty(&content).map_err(|error| failed(&Error::Io(error.into())))?;
        let content = ResourceContents::text(text, uri).with_mime_type(JSON);
        Ok(ReadResourceResult::new(vec![content])
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private))
    }
}

fn resource(saved: &SavedJob) -> Resource {
    let SavedJob { saved_at, job } = saved;
    Resource::new(uri::of(&job.job_id), job.job_id.clone())
        .with_title(format!("{}, {}", job.title, job.company))
        .with_description(format!(
            "{}; saved on {}",
            job.location,
            saved_at.strftime("%Y-%m-%d")
        ))
        .with_mime_type(JSON)
}

/// The store failed: not the client's doing.
fn failed(error: &Error) -> ErrorData {
    tracing::warn!(cause = error.category(), "saved jobs could not be read");
    ErrorData::internal_error(error.to_string(), None)
}

impl Source for SavedJobs {
    fn serves(&self, uri: &str) -> bool {
        uri::job_id(uri).is_some()
    }

    fn list(&self, principal: Principal) -> BoxFuture<'_, Result<Vec<Resource>, ErrorData>> {
        self.all(principal).boxed()
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        vec![
            ResourceTemplate::new(uri::TEMPLATE, "saved_job")
                .with_title("Saved job")
                .with_description("A posting that save_jobs kept, in full, with the time it was saved.")
                .with_mime_type(JSON),
        ]
    }

    fn is_private(&self) -> bool {
        true
    }

    fn read<'a>(
        &'a self,
        uri: &'a str,
        principal: Principal,
    ) -> BoxFuture<'a, Result<ReadResourceResult, ErrorData>> {
        self.one(uri, principal).boxed()
    }
}
