//! The embedded catalogue: a few hundred invented postings, so that the main job works without any account.
//!
//! Built in memory on first use, which takes some 20 ms; the start stays fast, and a server that only ever
//! asks JSearch never pays for it.

mod index;
mod query;
mod samples;

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::OnceCell;

use self::index::Index;
use super::{Error as JobError, Found, Progress, Provider, job::Job, request::SearchRequest};

/// Said of every answer from here.
const SAMPLES: &str = "These are sample postings by invented companies, to try the server with. For real ones, \
start the server with RAPIDAPI_KEY set to a key for JSearch, made at https://rapidapi.com.";

/// Common roles: those that there are samples for.
#[must_use]
pub fn roles() -> Vec<&'static str> {
    samples::roles().unwrap_or_default()
}

/// Why the catalogue cannot be searched. None of it is the caller's fault, or likely.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data that the samples are made from is no JSON.
    #[error("The embedded catalogue is damaged; please report this.")]
    Data(#[from] serde_json::Error),
    /// The index failed.
    #[error("The embedded catalogue could not be searched; try again.")]
    Index(#[from] tantivy::TantivyError),
    /// The building task failed.
    #[error("The embedded catalogue could not be built; try again.")]
    Build(#[from] tokio::task::JoinError),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Index(_) => "index",
            Self::Build(_) => "build",
        }
    }
}

/// The provider.
#[derive(Debug, Default)]
pub struct Catalogue(OnceCell<Index>);

impl Catalogue {
    async fn index(&self) -> Result<&Index, Error> {
        let build = || async { tokio::task::spawn_blocking(|| Index::build(samples::all()?)).await? };
        self.0.get_or_try_init(build).await
    }

    async fn find(&self, request: &SearchRequest) -> Result<Found, Error> {
        let index = self.index().await?;
        // A tenth of a millisecond, in memory: not worth another thread.
        let hits = index.search(request)?;
        let note = match &request.place {
            _ if hits.jobs.is_empty() => {
                "No sample posting fits. The samples cover common roles in some forty cities; try a broader role, \
                 like \"software engineer\" or \"nurse\"."
                    .to_owned()
            }
            Some(place) if hits.elsewhere => format!("No sample posting fits in {place}; these are elsewhere."),
            _ => String::new(),
        };
        let note = format!("{note} {SAMPLES}").trim_start().to_owned();
        Ok(Found {
            jobs: hits.jobs,
            source: self.name(),
            note: Some(note),
        })
    }
}

impl Provider for Catalogue {
    fn name(&self) -> &'static str {
        "catalogue"
    }

    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        _: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, JobError>> {
        async move { Ok(self.find(request).await?) }.boxed()
    }

    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, JobError>> {
        async move { Ok(self.index().await?.posting(job_id)) }.boxed()
    }
}

#[cfg(test)]
mod tests;
