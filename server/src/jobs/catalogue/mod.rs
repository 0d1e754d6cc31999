//! The catalogue: a user's own postings, or else a few hundred invented ones, so that the main job works without
//! any account.
//!
//! Indexed in memory on first use, which takes some 20 ms for the samples; the start stays fast, and a server
//! that only ever asks others never pays for it.

mod files;
mod line;
mod samples;
mod shelf;

use std::{path::Path, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};

use self::shelf::Shelf;
use super::{Error as JobError, Found, Progress, Provider, index, job::Job, request::SearchRequest};
use crate::metrics::JobMetrics;

/// Said of every sample.
const SAMPLES: &str = "These are sample postings by invented companies, to try the server with. For real ones, \
start the server with RAPIDAPI_KEY set to a key for JSearch, made at https://rapidapi.com.";

/// Why the catalogue cannot be searched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The data that the samples are made from is no JSON.
    #[error("The embedded catalogue is damaged; please report this.")]
    Data(#[source] Arc<serde_json::Error>),
    /// The folder with the user's postings is there, but cannot be read.
    #[error("The folder of postings, IAM_DATA_ROOT/catalogue, cannot be read: {0}. Check its permissions.")]
    Folder(#[source] Arc<std::io::Error>),
    /// The index failed.
    #[error("The catalogue could not be searched; try again.")]
    Index(#[source] Arc<index::Error>),
    /// The building task failed.
    #[error("The catalogue could not be built; try again.")]
    Build(#[source] Arc<tokio::task::JoinError>),
}

impl From<index::Error> for Error {
    fn from(error: index::Error) -> Self {
        Self::Index(Arc::new(error))
    }
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Folder(_) => "folder",
            Self::Index(_) => "index",
            Self::Build(_) => "build",
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct Catalogue(Shelf);

impl Catalogue {
    /// Postings of the files in `folder`, or else samples. Nothing is read yet.
    #[must_use]
    pub fn new(folder: &Path, metrics: JobMetrics) -> Self {
        Self(Shelf::new(folder.to_owned(), metrics))
    }

    async fn find(&self, request: &SearchRequest) -> Result<Found, Error> {
        let stock = self.0.stock().await?;
        // Less than a millisecond, in memory: not worth another thread.
        let hits = stock.index.search(request)?;
        let kind = if stock.samples {
            "sample posting"
        } else {
            "posting"
        };
        let mut notes = Vec::new();
        match &request.place {
            _ if hits.jobs.is_empty() && stock.samples => notes.push(
                "No sample posting fits. The samples cover common roles in some forty cities; try a broader role, \
                 like \"software engineer\" or \"nurse\"."
                    .to_owned(),
            ),
            _ if hits.jobs.is_empty() => notes.push(format!(
                "None of the {} postings of the catalogue fits; try other words for the role.",
                stock.index.count()
            )),
            Some(place) if hits.elsewhere => {
                notes.push(format!("No {kind} fits in {place}; these are elsewhere."));
            }
            _ => {}
        }
        if stock.samples {
            notes.push(SAMPLES.to_owned());
        }
        match stock.bad_lines {
            0 => {}
            1 => notes
                .push("A line of the catalogue's files could not be read; the log says which.".to_owned()),
            lines => notes.push(format!(
                "{lines} lines of the catalogue's files could not be read; the log says which."
            )),
        }
        Ok(Found::new(hits.jobs, self.name()).noting(&notes))
    }
}

impl Provider for Catalogue {
    fn name(&self) -> &'static str {
        "catalogue"
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        _: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, JobError>> {
        async move { Ok(self.find(request).await?) }.boxed()
    }

    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, JobError>> {
        async move {
            let stock = self.0.stock().await?;
            Ok(stock.index.posting(job_id).map_err(Error::from)?)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
