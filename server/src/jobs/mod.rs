//! Where jobs come from: one trait, one file a provider, and the choice between them.

pub mod catalogue;
pub mod country;
pub mod job;
pub mod jsearch;
pub mod key;
pub mod place;
pub mod request;

use std::sync::Arc;

use futures::future::BoxFuture;

use self::{catalogue::Catalogue, job::Job, jsearch::JSearch, key::Key, request::SearchRequest};
use crate::{
    config::{JobSettings, ProviderChoice},
    metrics::Metrics,
};

/// Somewhere to look for jobs.
pub trait Provider: std::fmt::Debug + Send + Sync {
    /// Its name: the answer's `source`, and a metric label.
    fn name(&self) -> &'static str;

    /// Looks for jobs. Must be cancel-safe, and bounded in time.
    /// Tells `progress` of each page, where there are several.
    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        progress: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, Error>>;

    /// The posting of this id in full, if the provider has it.
    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, Error>>;
}

/// Hears how far a search is. `()` does not listen.
pub trait Progress: Send + Sync {
    /// `done` of `total` pages are there.
    fn pages(&self, done: usize, total: usize);
}

impl Progress for () {
    fn pages(&self, _: usize, _: usize) {}
}

/// What a provider found.
#[derive(Debug)]
pub struct Found {
    /// Best first; at most as many as were asked for.
    pub jobs: Vec<Job>,
    /// The provider's name.
    pub source: &'static str,
    /// What a reader should know about them.
    pub note: Option<String>,
}

/// Stands for what was found: while it is the same, so are the postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

/// Why a search failed, in words for the person who waits for it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// JSearch failed.
    #[error(transparent)]
    JSearch(#[from] jsearch::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::JSearch(error) => error.category(),
            Self::Catalogue(error) => error.category(),
        }
    }
}

/// The job search: all providers, and which of them is asked.
#[derive(Debug, Clone)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    choice: ProviderChoice,
    key: Key,
    jsearch: JSearch,
    catalogue: Catalogue,
    metrics: Metrics,
}

impl Jobs {
    /// Reads nothing and connects to nothing yet: that waits for the first search.
    #[must_use]
    pub fn new(settings: &JobSettings, metrics: Metrics) -> Self {
        let key = Key::new(settings.key.clone());
        let jsearch = JSearch::new(settings, key.clone());
        Self(Arc::new(Inner {
            choice: settings.provider,
            key,
            jsearch,
            catalogue: Catalogue::default(),
            metrics,
        }))
    }

    /// Searches with the provider that the settings choose, at this moment.
    ///
    /// # Errors
    /// When that provider fails; another one is not asked instead, since samples are no stand-in for jobs.
    pub async fn search(&self, request: &SearchRequest, progress: &dyn Progress) -> Result<Found, Error> {
        let inner = &*self.0;
        let provider = inner.provider();
        let result = provider.search(request, progress).await;
        let outcome = match &result {
            Ok(found) if found.jobs.is_empty() => "empty",
            Ok(_) => "ok",
            Err(error) => error.category(),
        };
        let labels = vec![("provider", provider.name()), ("outcome", outcome)];
        inner.metrics.provider_calls.get_or_create(&labels).inc();
        result
    }

    /// The stamp of what this search would find, where that is at hand.
    #[must_use]
    pub fn stamp(&self, _request: &SearchRequest) -> Option<Stamp> {
        // The samples stay what they are. What other providers find does not.
        (self.0.provider().name() == self.0.catalogue.name()).then_some(Stamp(0))
    }

    /// The posting that a search answered under this id, in full; `None` if it is not known any more.
    ///
    /// # Errors
    /// When the provider fails.
    pub async fn posting(&self, job_id: &str) -> Result<Option<Job>, Error> {
        self.0.provider().posting(job_id).await
    }
}

impl Inner {
    fn provider(&self) -> &dyn Provider {
        match self.choice {
            ProviderChoice::JSearch => &self.jsearch,
            ProviderChoice::Auto if self.key.get().is_some() => &self.jsearch,
            ProviderChoice::Auto | ProviderChoice::Catalogue => &self.catalogue,
        }
    }
}
