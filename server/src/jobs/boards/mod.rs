//! Public job boards that need no key.
//!
//! They publish feeds, not searches: a board's postings are fetched as a whole, kept for as long as its terms
//! ask for, and searched here as the catalogue is.

pub mod arbeitnow;
pub mod greenhouse;
pub mod remotive;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use parking_lot::{Mutex, RwLock};
use reqwest::Url;

use super::{
    Error as JobError, Found, Progress, Provider,
    budget::spoken,
    flight::Flights,
    index::{self, Builder, Entry, Index},
    job::Job,
    request::SearchRequest,
    upstream::{Failure, Upstream},
};
use crate::config::Timeouts;

/// The most that one answer may weigh: the largest boards of companies have a few thousand postings.
const MAX_BYTES: usize = 32 << 20;

/// Requests to one board at a time, where its pages do not depend on each other.
const AT_ONCE: usize = 4;

/// How long a board is left alone after it failed.
const PAUSE: Duration = Duration::from_mins(1);

/// Memory for postings on their way into the index: the least that tantivy takes.
const WRITER_BYTES: usize = 15_000_000;

/// What differs between boards.
pub(super) trait Feed: std::fmt::Debug + Send + Sync {
    /// Its name in settings, metrics and ids.
    fn name(&self) -> &'static str;

    /// Its name for people.
    fn title(&self) -> &'static str;

    /// What its terms ask to be said.
    fn credit(&self) -> &'static str;

    /// How long its postings are kept before they are asked for again.
    fn lasting(&self) -> Duration;

    /// Where its pages are.
    fn pages(&self) -> Vec<Url>;

    /// Whether pages are there whatever the others say.
    fn pages_are_apart(&self) -> bool {
        false
    }

    /// Reads page number `page`.
    fn parse(&self, page: usize, body: &[u8]) -> Result<Page, serde_json::Error>;
}

/// A page of a feed.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// Whether there are no more.
    pub(super) last: bool,
}

/// Why a board has nothing to show.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{board} {}", told(*.failure))]
pub struct Error {
    board: &'static str,
    failure: Failure,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self.failure {
            Failure::Status(429) => "limited",
            Failure::Status(300..=399) => "redirected",
            Failure::Status(500..) => "unwell",
            Failure::Status(_) => "refused",
            Failure::Unreachable => "unreachable",
            Failure::Slow => "slow",
            Failure::Garbled => "garbled",
            Failure::NoTrust => "no_trust",
        }
    }
}

fn told(failure: Failure) -> String {
    match failure {
        Failure::Status(429) => "asks for fewer requests (HTTP 429). Try again in some minutes.".to_owned(),
        Failure::Status(status @ 300..=399) => {
            format!(
                "answered with a redirect (HTTP {status}), which is not followed. Check its base URL in the settings."
            )
        }
        Failure::Status(404) => "has nothing at this address (HTTP 404). Check its settings.".to_owned(),
        Failure::Status(status @ 500..) => {
            format!("has a problem of its own (HTTP {status}). Try again in a few minutes.")
        }
        Failure::Status(status) => format!("refused the request (HTTP {status})."),
        Failure::Unreachable => "could not be reached. Check the network.".to_owned(),
        Failure::Slow => "took too long to answer. Try again in a moment.".to_owned(),
        Failure::Garbled => {
            "answered something that could not be understood. If it stays, its format has changed.".to_owned()
        }
        Failure::NoTrust => {
            "could not be checked for its identity: the server found no CA certificates. Install \
                             ca-certificates, or set SSL_CERT_FILE."
                .to_owned()
        }
    }
}

/// Another try may fare better.
fn is_passing(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Status(500..) | Failure::Unreachable | Failure::Slow
    )
}

/// A board's postings at some time.
#[derive(Debug)]
struct Stock {
    index: Index,
    fetched: Instant,
    /// Pages that could not be had.
    missing: usize,
}

/// A board, as a provider.
#[derive(Debug, Clone)]
pub(super) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    feed: Box<dyn Feed>,
    upstream: Upstream,
    timeouts: Timeouts,
    stock: RwLock<Option<Arc<Stock>>>,
    generation: AtomicU64,
    /// When it failed last, and how, since it last worked.
    failed: Mutex<Option<(Instant, Error)>>,
    refreshing: AtomicBool,
    fetches: Flights<(), Result<Arc<Stock>, Error>>,
}

impl Board {
    /// Fetches nothing yet.
    pub(super) fn new(feed: impl Feed + 'static, upstream: Upstream, timeouts: Timeouts) -> Self {
        Self(Arc::new(Inner {
            feed: Box::new(feed),
            upstream,
            timeouts,
            stock: RwLock::default(),
            generation: AtomicU64::default(),
            failed: Mutex::default(),
            refreshing: AtomicBool::default(),
            fetches: Flights::default(),
        }))
    }

    /// The postings: those that are there, even if they are due to be fetched again, which then happens meanwhile.
    async fn stock(&self, progress: &dyn Progress) -> Result<Arc<Stock>, Error> {
        let inner = &self.0;
        let stock = inner.stock.read().clone();
        if let Some(stock) = stock {
            if stock.fetched.elapsed() >= inner.feed.lasting() {
                self.refresh();
            }
            return Ok(stock);
        }
        if let Some(error) = inner.failed_lately() {
            return Err(error);
        }
        self.fetch(progress).await
    }

    /// Fetches the postings, once for everybody who waits for them.
    async fn fetch(&self, progress: &dyn Progress) -> Result<Arc<Stock>, Error> {
        let inner = self.0.clone();
        let work = |pages| async move { inner.fetch(pages).await }.boxed();
        self.0.fetches.join((), progress, work).await.0
    }

    /// Fetches them in a task of its own, unless that happens already, or failed a short while ago.
    fn refresh(&self) {
        if self.0.failed_lately().is_some() || self.0.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let board = self.clone();
        tokio::spawn(async move {
            if let Err(error) = board.fetch(&()).await {
                tracing::warn!(
                    board = board.0.feed.name(),
                    cause = error.category(),
                    "a job board was not read again"
                );
            }
            board.0.refreshing.store(false, Ordering::Release);
        });
    }

    async fn find(&self, request: &SearchRequest, progress: &dyn Progress) -> Result<Found, JobError> {
        let stock = self.stock(progress).await?;
        let hits = stock
            .index
            .search(request)
            .map_err(|error| self.0.index_failed(&error))?;
        let feed = &self.0.feed;
        let mut notes = Vec::new();
        match &request.place {
            _ if hits.jobs.is_empty() => {
                notes.push(format!(
                    "None of {}'s {} postings fits.",
                    feed.title(),
                    stock.index.count()
                ));
            }
            Some(place) if hits.elsewhere => {
                notes.push(format!(
                    "{} has nothing fitting in {place}; its postings are elsewhere.",
                    feed.title()
                ));
            }
            _ => {}
        }
        if !hits.jobs.is_empty() {
            notes.push(feed.credit().to_owned());
        }
        if stock.missing > 0 {
            notes.push(format!("A part of {} could not be read.", feed.title()));
        }
        let age = stock.fetched.elapsed();
        if age >= feed.lasting() * 2 {
            notes.push(format!("{}'s postings are {} old.", feed.title(), spoken(age)));
        }
        Ok(Found::new(hits.jobs, feed.name()).noting(&notes))
    }
}

impl Inner {
    fn failed_lately(&self) -> Option<Error> {
        let failed = self.failed.lock();
        let (at, error) = failed.as_ref()?;
        (at.elapsed() < PAUSE).then(|| error.clone())
    }

    fn error(&self, failure: Failure) -> Error {
        let board = self.feed.title();
        Error { board, failure }
    }

    fn index_failed(&self, error: &index::Error) -> Error {
        tracing::error!(board = self.feed.name(), %error, "a job board's postings cannot be indexed or searched");
        self.error(Failure::Garbled)
    }

    async fn fetch(self: Arc<Self>, progress: impl Progress) -> Result<Arc<Stock>, Error> {
        let result = self.fetch_pages(progress).await;
        match &result {
            Ok(stock) => {
                *self.failed.lock() = None;
                if self.stock.write().replace(stock.clone()).is_some() {
                    self.generation.fetch_add(1, Ordering::Release);
                }
            }
            Err(error) => *self.failed.lock() = Some((Instant::now(), error.clone())),
        }
        result
    }

    async fn fetch_pages(self: &Arc<Self>, progress: impl Progress) -> Result<Arc<Stock>, Error> {
        let urls = self.feed.pages();
        let (total, apart) = (urls.len(), self.feed.pages_are_apart());
        let deadline = tokio::time::Instant::now() + self.timeouts.total;
        let mut pages = stream::iter(urls.into_iter().enumerate())
            .map(|(number, url)| async move { (number, self.page(url).await) })
            .buffer_unordered(if apart { AT_ONCE } else { 1 });
        let (mut entries, mut missing, mut failure) = (Vec::new(), 0, None);
        for done in 1..=total {
            let Ok(Some((number, body))) = tokio::time::timeout_at(deadline, pages.next()).await else {
                missing += 1 + total - done;
                failure = Some(Failure::Slow);
                break;
            };
            let page = match body {
                Ok(body) => self.clone().read(number, body).await,
                Err(failure) => Err(failure),
            };
            match page {
                Ok(page) => {
                    entries.extend(page.entries);
                    progress.pages(done, total);
                    if page.last && !apart {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        board = self.feed.name(),
                        page = number + 1,
                        cause = self.error(error).category(),
                        "a page of a job board cannot be read"
                    );
                    missing += 1;
                    failure = Some(error);
                    if !apart {
                        break;
                    }
                }
            }
        }
        match failure {
            Some(failure) if entries.is_empty() => Err(self.error(failure)),
            _ => self.clone().shelve(entries, missing).await,
        }
    }

    async fn page(&self, url: Url) -> Result<Bytes, Failure> {
        let client = self.upstream.client().await?;
        let attempt = || {
            let request = client.get(url.clone()).header("Accept", "application/json");
            self.upstream.send(self.feed.name(), request, MAX_BYTES)
        };
        self.upstream
            .retry(self.feed.name(), attempt, |&failure| is_passing(failure))
            .await
    }

    /// Parses a page elsewhere: turning a thousand descriptions of HTML into text takes a while.
    async fn read(self: Arc<Self>, number: usize, body: Bytes) -> Result<Page, Failure> {
        let read = move || self.feed.parse(number, &body);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(_)) | Err(_) => Err(Failure::Garbled),
        }
    }

    async fn shelve(self: Arc<Self>, mut entries: Vec<Entry>, missing: usize) -> Result<Arc<Stock>, Error> {
        let inner = self.clone();
        let build = move || {
            // Among equal hits, the newest come first.
            entries.sort_by(|one, other| other.job.posted_at.cmp(&one.job.posted_at));
            let mut builder = Builder::new(WRITER_BYTES)?;
            for entry in &entries {
                builder.add(entry)?;
            }
            builder.finish()
        };
        match tokio::task::spawn_blocking(build).await {
            Ok(Ok(index)) => Ok(Arc::new(Stock {
                index,
                fetched: Instant::now(),
                missing,
            })),
            Ok(Err(error)) => Err(inner.index_failed(&error)),
            Err(_) => Err(inner.error(Failure::Garbled)),
        }
    }
}

impl Provider for Board {
    fn name(&self) -> &'static str {
        self.0.feed.name()
    }

    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        progress: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, JobError>> {
        self.find(request, progress).boxed()
    }

    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, JobError>> {
        async move {
            let ours = job_id
                .strip_prefix(self.name())
                .is_some_and(|rest| rest.starts_with(':'));
            if !ours {
                return Ok(None);
            }
            let stock = self.stock(&()).await?;
            Ok(stock
                .index
                .posting(job_id)
                .map_err(|error| self.0.index_failed(&error))?)
        }
        .boxed()
    }
}

/// A link that a person may click on.
fn link(url: Option<String>) -> Option<String> {
    url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))
        .filter(|url| url.len() <= 2_000)
        .map(|url| super::job::clean(&url))
}

#[cfg(test)]
mod tests;
