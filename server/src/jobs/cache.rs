//! Answers of earlier searches, so that an equal one costs nothing, and no request of a paid key.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use moka::{Equivalent, sync::Cache};

use super::{Found, job::Job, request::SearchRequest};
use crate::config::CacheSettings;

/// How long postings are kept that only a paid request would bring back.
const POSTINGS: Duration = Duration::from_hours(1);

/// Memory for one of them beside its texts, in bytes, about.
const OVERHEAD: usize = 300;

/// What a search is the same as another by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Who is asked.
    asked: &'static str,
    /// Which postings they have.
    generation: u64,
    request: SearchRequest,
}

impl Key {
    pub(super) fn request(&self) -> &SearchRequest {
        &self.request
    }
}

/// The same, for looking it up without a copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRef<'a> {
    pub(super) asked: &'static str,
    pub(super) generation: u64,
    pub(super) request: &'a SearchRequest,
}

// As the derived one of `Key`.
impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked.hash(state);
        self.generation.hash(state);
        self.request.hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.asked == key.asked && self.generation == key.generation && *self.request == key.request
    }
}

impl KeyRef<'_> {
    pub(super) fn to_key(self) -> Key {
        Key {
            asked: self.asked,
            generation: self.generation,
            request: self.request.clone(),
        }
    }
}

/// What is known of an id: its posting, or that the provider knows none.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Option<Arc<Job>>);

/// The cache. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    searches: Option<Cache<Key, Found>>,
    /// By id.
    postings: Cache<Arc<str>, Known>,
}

impl Answers {
    pub(super) fn new(settings: CacheSettings) -> Self {
        let searches = (!settings.lasting.is_zero() && settings.bytes > 0).then(|| {
            Cache::builder()
                .time_to_live(settings.lasting)
                .max_capacity(settings.bytes)
                .weigher(|_, found: &Found| weight(found.jobs.iter()))
                .build()
        });
        let postings = Cache::builder()
            .time_to_live(POSTINGS)
            .max_capacity(settings.bytes)
            .weigher(|_, known: &Known| weight(known.0.iter().map(|job| &**job)))
            .build();
        Self { searches, postings }
    }

    /// The answer to an equal search, if it is not too long ago.
    pub(super) fn search(&self, key: KeyRef<'_>) -> Option<Found> {
        let mut found = self.searches.as_ref()?.get(&key)?;
        found.repeated = true;
        Some(found)
    }

    pub(super) fn keep_search(&self, key: Key, found: &Found) {
        if let Some(searches) = &self.searches {
            searches.insert(key, found.clone());
        }
    }

    /// What is known of the posting of this id: itself, or that there is none.
    pub(super) fn posting(&self, job_id: &str) -> Option<Known> {
        self.postings.get(job_id)
    }

    pub(super) fn keep_posting(&self, job_id: &str, job: Option<Job>) {
        self.postings.insert(job_id.into(), Known(job.map(Arc::new)));
    }
}

/// Memory that jobs take, about; twice, since their rendering is kept too.
fn weight<'a>(jobs: impl Iterator<Item = &'a Job>) -> u32 {
    let bytes: usize = jobs
        .map(|job| {
            let short = [
                &job.job_id,
                &job.title,
                &job.company,
                &job.location,
                &job.apply_link,
            ];
            OVERHEAD + job.description.len() + short.into_iter().map(String::len).sum::<usize>()
        })
        .sum();
    u32::try_from(2 * (bytes + OVERHEAD)).unwrap_or(u32::MAX)
}
