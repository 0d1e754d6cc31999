//! Where jobs come from: one trait, one file a provider, and the choice between them.

pub mod boards;
mod budget;
mod cache;
pub mod catalogue;
pub mod country;
mod error;
mod flight;
mod found;
mod html;
mod index;
pub mod job;
pub mod jsearch;
pub mod key;
mod merge;
pub mod place;
mod progress;
pub mod request;
mod upstream;

use std::{slice, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use tracing::Instrument as _;

use self::{
    boards::{Board, arbeitnow::Arbeitnow, greenhouse::Greenhouse, remotive::Remotive},
    cache::{Answers, KeyRef},
    catalogue::Catalogue,
    flight::Flights,
    job::Job,
    jsearch::JSearch,
    key::Key,
    progress::Together,
    request::SearchRequest,
    upstream::Upstream,
};
pub use self::{error::Error, found::Found, progress::Progress};
use crate::{
    config::{JobSettings, ProviderChoice, ProviderName},
    metrics::{JobMetrics, Metrics},
};

/// The longest id that is looked for, in bytes.
const MAX_ID: usize = 512;

/// What searches of several providers are kept under.
const MERGED: &str = "merged";

/// Somewhere to look for jobs.
pub trait Provider: std::fmt::Debug + Send + Sync {
    /// Its name: the answer's `source`, and a metric label.
    fn name(&self) -> &'static str;

    /// Changes when its postings do, so that answers kept from before are not given any more. Cheap.
    fn generation(&self) -> u64 {
        0
    }

    /// Looks for jobs. Must be cancel-safe, and bounded in time.
    /// Tells `progress` of each page, where there are several.
    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        progress: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, Error>>;

    /// The posting of this id in full, if the provider has it.
    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, Error>>;

    /// Whether asking for a posting takes a request that somebody pays for.
    fn postings_cost(&self) -> bool {
        false
    }
}

/// The job search: all providers, and which of them are asked.
#[derive(Debug, Clone)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    choice: Choice,
    answers: Answers,
    searches: Flights<cache::Key, Result<Found, Error>>,
    postings: Flights<Arc<str>, Result<Option<Job>, Error>>,
    metrics: Metrics,
}

/// Which providers are asked.
#[derive(Debug)]
enum Choice {
    /// JSearch if there is a key at the moment, else the catalogue.
    Auto {
        key: Key,
        jsearch: Arc<dyn Provider>,
        catalogue: Arc<dyn Provider>,
    },
    /// All of these.
    These(Vec<Arc<dyn Provider>>),
}

impl Jobs {
    /// Reads nothing and connects to nothing yet: that waits for the first search.
    #[must_use]
    pub fn new(settings: &JobSettings, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            choice: choice(settings, &metrics.jobs),
            answers: Answers::new(settings.cache),
            searches: Flights::default(),
            postings: Flights::default(),
            metrics,
        }))
    }

    /// Searches with the providers that the settings choose, at this moment.
    ///
    /// # Errors
    /// When all of them fail; one that is not chosen is not asked instead, since samples are no stand-in for jobs.
    pub async fn search(&self, request: &SearchRequest, progress: &dyn Progress) -> Result<Found, Error> {
        match self.0.choice.asked() {
            [only] => {
                let found = self.ask(only, request, progress).await;
                match (&self.0.choice, &found) {
                    // The key went after it was looked for: as if it had gone before.
                    (Choice::Auto { catalogue, .. }, Err(error)) if error.is_without_key() => {
                        self.ask(catalogue, request, progress).await
                    }
                    _ => found,
                }
            }
            several => self.ask_all(several, request, progress).await,
        }
    }

    /// The posting that a search answered under this id, in full; `None` if it is not known any more.
    ///
    /// # Errors
    /// When a provider fails, and no other knows the posting.
    pub async fn posting(&self, job_id: &str) -> Result<Option<Job>, Error> {
        if job_id.is_empty() || job_id.len() > MAX_ID || job_id.contains(char::is_control) {
            return Ok(None);
        }
        let mut failed = None;
        for provider in self.0.choice.known() {
            let result = if provider.postings_cost() {
                if is_of_another(job_id, provider.name()) {
                    continue;
                }
                self.costly_posting(provider, job_id).await
            } else {
                provider.posting(job_id).await
            };
            match result {
                Ok(Some(job)) => return Ok(Some(job)),
                Ok(None) => {}
                Err(error) if error.is_without_key() && matches!(self.0.choice, Choice::Auto { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Asks a provider, unless the answer is there already, or on its way.
    async fn ask(
        &self,
        provider: &Arc<dyn Provider>,
        request: &SearchRequest,
        progress: &dyn Progress,
    ) -> Result<Found, Error> {
        let inner = &self.0;
        let key = KeyRef {
            asked: provider.name(),
            generation: provider.generation(),
            request,
        };
        if let Some(found) = inner.answers.search(key) {
            inner.metrics.jobs.hits.inc();
            return Ok(found);
        }
        let key = key.to_key();
        let (jobs, provider) = (self.clone(), provider.clone());
        let work = |pages| {
            let key = key.clone();
            async move { jobs.work(&*provider, key, &pages).await }.boxed()
        };
        let (result, joined) = inner.searches.join(key.clone(), progress, work).await;
        let counter = if joined {
            &inner.metrics.jobs.joined
        } else {
            &inner.metrics.jobs.misses
        };
        counter.inc();
        result
    }

    /// The search itself, whose answer is kept.
    async fn work(
        &self,
        provider: &dyn Provider,
        key: cache::Key,
        progress: &dyn Progress,
    ) -> Result<Found, Error> {
        let inner = &self.0;
        let span = tracing::debug_span!(
            "provider_call",
            otel.name = format_args!("search {}", provider.name()),
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            error.r#type = tracing::field::Empty,
            provider = provider.name(),
        );
        let search = provider.search(key.request(), progress);
        let result = search.instrument(span.clone()).await;
        if let Err(error) = &result {
            span.record("error.type", error.category());
            span.record("otel.status_code", "ERROR");
        }
        inner.count(provider, result.as_ref().map(|found| !found.jobs.is_empty()));
        if let Ok(found) = &result {
            if provider.postings_cost() {
                for job in found.jobs.iter() {
                    inner.answers.keep_posting(&job.job_id, Some(job.clone()));
                }
            }
            if !found.partial {
                inner.answers.keep_search(key, found);
            }
        }
        result
    }

    /// Asks several providers at the same time. One that fails is told of in the note.
    async fn ask_all(
        &self,
        providers: &[Arc<dyn Provider>],
        request: &SearchRequest,
        progress: &dyn Progress,
    ) -> Result<Found, Error> {
        let inner = &self.0;
        // Generations only grow, so that their sum changes with each.
        let generation = providers
            .iter()
            .fold(0, |sum: u64, provider| sum.wrapping_add(provider.generation()));
        let key = KeyRef {
            asked: MERGED,
            generation,
            request,
        };
        if let Some(found) = inner.answers.search(key) {
            inner.metrics.jobs.hits.inc();
            return Ok(found);
        }
        let together = Together::new(progress, providers.len());
        let parts: Vec<_> = (0..providers.len()).map(|number| together.part(number)).collect();
        let asked = providers
            .iter()
            .zip(&parts)
            .map(|(provider, part)| self.ask(provider, request, part));
        let results = providers
            .iter()
            .map(|provider| provider.name())
            .zip(join_all(asked).await);
        let found = found::merged(results, request.jobs)?;
        if !found.partial {
            inner.answers.keep_search(key.to_key(), &found);
        }
        Ok(found)
    }

    /// A posting that takes a paid request, unless it is known from a search, or on its way.
    async fn costly_posting(&self, provider: &Arc<dyn Provider>, job_id: &str) -> Result<Option<Job>, Error> {
        let inner = &self.0;
        if let Some(known) = inner.answers.posting(job_id) {
            inner.metrics.jobs.hits.inc();
            return Ok(known.0.as_deref().cloned());
        }
        let id: Arc<str> = job_id.into();
        let (jobs, provider, asked) = (self.clone(), provider.clone(), id.clone());
        let work = |_| {
            async move {
                let result = provider.posting(&asked).await;
                jobs.0.count(&*provider, result.as_ref().map(Option::is_some));
                if let Ok(job) = &result {
                    jobs.0.answers.keep_posting(&asked, job.clone());
                }
                result
            }
            .boxed()
        };
        let (result, joined) = inner.postings.join(id, &(), work).await;
        let counter = if joined {
            &inner.metrics.jobs.joined
        } else {
            &inner.metrics.jobs.misses
        };
        counter.inc();
        result
    }
}

impl Inner {
    /// Counts a call of a provider, which found something or not, or failed.
    fn count(&self, provider: &dyn Provider, found: Result<bool, &Error>) {
        let outcome = match found {
            Ok(true) => "ok",
            Ok(false) => "empty",
            Err(error) => error.category(),
        };
        let labels = vec![("provider", provider.name()), ("outcome", outcome)];
        self.metrics.jobs.calls.get_or_create(&labels).inc();
    }
}

impl Choice {
    /// Those that a search asks now; at least one.
    fn asked(&self) -> &[Arc<dyn Provider>] {
        match self {
            Self::Auto { key, jsearch, .. } if key.is_there() => slice::from_ref(jsearch),
            Self::Auto { catalogue, .. } => slice::from_ref(catalogue),
            Self::These(providers) => providers,
        }
    }

    /// Those that may know a posting: first those that cost nothing.
    fn known(&self) -> Vec<&Arc<dyn Provider>> {
        let mut known = match self {
            // A posting may have been found before there was a key.
            Self::Auto { catalogue, .. } => vec![catalogue],
            Self::These(_) => Vec::new(),
        };
        let asked = self.asked().iter();
        known.extend(asked.filter(|provider| !matches!(self, Self::Auto { .. }) || provider.postings_cost()));
        known.sort_by_key(|provider| provider.postings_cost());
        known
    }
}

/// Whether an id says by itself that it is not JSearch's.
fn is_of_another(job_id: &str, provider: &str) -> bool {
    let prefix = job_id.split_once(':').map(|(prefix, _)| prefix);
    let board = prefix.is_some_and(|prefix| prefix != provider && ProviderName::find(prefix).is_some());
    board || job_id.starts_with("sample-") || job_id.starts_with("own-")
}

fn choice(settings: &JobSettings, metrics: &JobMetrics) -> Choice {
    let key = Key::new(settings.key.clone());
    let timeouts = &settings.timeouts;
    let upstream = Upstream::new(timeouts.clone(), metrics.clone());
    let boards = &settings.boards;
    let provider = |name| -> Arc<dyn Provider> {
        let upstream = upstream.clone();
        match name {
            ProviderName::JSearch => Arc::new(JSearch::new(settings, key.clone(), upstream)),
            ProviderName::Catalogue => Arc::new(Catalogue::new(&settings.catalogue, metrics.clone())),
            ProviderName::Arbeitnow => {
                let base_url = boards.arbeitnow.clone();
                Arc::new(Board::new(Arbeitnow { base_url }, upstream, timeouts.clone()))
            }
            ProviderName::Remotive => {
                let base_url = boards.remotive.clone();
                Arc::new(Board::new(Remotive { base_url }, upstream, timeouts.clone()))
            }
            ProviderName::Greenhouse => {
                let (base_url, companies) = (boards.greenhouse.clone(), boards.companies.clone());
                Arc::new(Board::new(
                    Greenhouse { base_url, companies },
                    upstream,
                    timeouts.clone(),
                ))
            }
        }
    };
    match &settings.providers {
        ProviderChoice::Auto => Choice::Auto {
            jsearch: provider(ProviderName::JSearch),
            catalogue: provider(ProviderName::Catalogue),
            key,
        },
        ProviderChoice::These(names) => Choice::These(names.iter().map(|&name| provider(name)).collect()),
    }
}

/// A digest of some texts that stays the same over time and versions.
fn key_of(texts: &[&str]) -> u64 {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for text in texts {
        digest.update(text.as_bytes());
        digest.update(&[0]);
    }
    let digest = digest.finish();
    digest
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |key, &byte| (key << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests;
