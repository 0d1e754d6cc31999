//! Measurements of the job search: its providers, its cache and its catalogue.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Labels;

/// How searches are answered. Clones share them.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    /// Searches that a provider was asked for, by `provider` and `outcome`.
    pub calls: Family<Labels, Counter>,
    /// HTTP requests to a provider, retries included, by `provider`.
    pub requests: Family<Labels, Counter>,
    /// Searches and postings answered from the cache. Kept apart, as looking a label up costs more than the rest.
    pub hits: Counter,
    /// Those that were not in the cache.
    pub misses: Counter,
    /// Those that waited for an equal one in flight.
    pub joined: Counter,
    /// Postings of the catalogue.
    postings: Gauge,
    /// Lines of the catalogue's files that are no postings.
    bad_lines: Gauge,
    cache: Family<Labels, Counter>,
}

impl Default for JobMetrics {
    fn default() -> Self {
        let cache = Family::<Labels, Counter>::default();
        let outcome = |outcome| cache.get_or_create_owned(&vec![("outcome", outcome)]);
        Self {
            calls: Family::default(),
            requests: Family::default(),
            hits: outcome("hit"),
            misses: outcome("miss"),
            joined: outcome("joined"),
            postings: Gauge::default(),
            bad_lines: Gauge::default(),
            cache,
        }
    }
}

impl JobMetrics {
    /// What the catalogue holds now.
    pub fn catalogue(&self, postings: usize, bad_lines: u64) {
        self.postings.set(i64::try_from(postings).unwrap_or(i64::MAX));
        self.bad_lines.set(i64::try_from(bad_lines).unwrap_or(i64::MAX));
    }

    /// Counts a request to a provider.
    pub fn request(&self, provider: &'static str) {
        self.requests.get_or_create(&vec![("provider", provider)]).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "provider_calls",
            "Searches and postings that job providers were asked for",
            self.calls.clone(),
        );
        registry.register(
            "provider_requests",
            "HTTP requests to job providers, retries included",
            self.requests.clone(),
        );
        registry.register(
            "job_cache",
            "Searches and postings by where the answer came from: the cache (hit), an equal one in flight (joined), \
             a provider (miss)",
            self.cache.clone(),
        );
        registry.register(
            "catalogue_postings",
            "Postings in the catalogue",
            self.postings.clone(),
        );
        registry.register(
            "catalogue_bad_lines",
            "Lines of the catalogue's files that are no postings",
            self.bad_lines.clone(),
        );
    }
}
