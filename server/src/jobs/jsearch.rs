//! JSearch on RapidAPI: real postings, for a key.
//!
//! The key goes out in one header, marked as sensitive, and nowhere else: redirects are refused, and errors
//! are told without the request that they came from.

mod wire;

use std::{collections::HashSet, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use super::{
    Error as JobError, Found, Progress, Provider,
    budget::{Spending, Spent, spoken},
    job::Job,
    key::Key,
    place::Place,
    request::{PAGE_SIZE, SearchRequest},
    upstream::{Failure, TRIES, Upstream},
};
use crate::config::{JobSettings, Period};

/// The name of this provider.
const NAME: &str = "jsearch";

/// The most that an answer may weigh: ten pages with long descriptions are about 1 MB.
const MAX_BYTES: usize = 8 << 20;

/// Why JSearch found nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error(
        "JSearch needs a RapidAPI key: set RAPIDAPI_KEY (or RAPIDAPI_KEY_FILE), or JOB_PROVIDER=Catalogue for samples. \
             Keys are made at https://rapidapi.com, with a subscription to the JSearch API."
    )]
    NoKey,
    /// It has characters that no key has.
    #[error(
        "The RapidAPI key has characters that no key has. Check RAPIDAPI_KEY, or the file that RAPIDAPI_KEY_FILE names."
    )]
    OddKey,
    /// 401 or 403.
    #[error(
        "JSearch did not accept the RapidAPI key (HTTP {0}). Check the key, and that its account is subscribed to the JSearch API."
    )]
    Unauthorized(u16),
    /// 429.
    #[error(
        "The RapidAPI plan's limit of JSearch requests is used up for now (HTTP 429). Wait, or choose a larger plan."
    )]
    Limited,
    /// 3xx; following it would send the key somewhere else.
    #[error(
        "JSearch answered with a redirect (HTTP {0}), which is not followed, so that the key stays where it belongs. Check RAPIDAPI_BASE_URL and RAPIDAPI_HOST."
    )]
    Redirected(u16),
    /// Another 4xx.
    #[error("JSearch refused the search (HTTP {0}). Try other words for the role or the place.")]
    Refused(u16),
    /// 5xx.
    #[error("JSearch has a problem of its own (HTTP {0}), after {TRIES} tries. Try again in a few minutes.")]
    Unwell(u16),
    /// No connection.
    #[error("JSearch could not be reached. Check the network, RAPIDAPI_HOST and RAPIDAPI_BASE_URL.")]
    Unreachable,
    /// No answer in time.
    #[error("JSearch took too long to answer. Try again in a moment.")]
    Slow,
    /// An answer that is not what JSearch documents.
    #[error(
        "JSearch answered something that could not be understood. Try again; if it stays, its format has changed."
    )]
    Garbled,
    /// Our own limit of requests.
    #[error(
        "The budget of {requests} JSearch requests {} is spent; there will be more in {}. Searches of the last few minutes are still answered. \
             JSEARCH_BUDGET sets it.", each(*.period), spoken(*.wait)
    )]
    Spent {
        /// Requests in a period.
        requests: u32,
        /// The period.
        period: Period,
        /// Until there will be more.
        wait: Duration,
    },
    /// TLS could not be set up.
    #[error(
        "The server found no CA certificates to check JSearch's identity with. Install ca-certificates, or set SSL_CERT_FILE."
    )]
    NoTrust,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::OddKey => "odd_key",
            Self::Unauthorized(_) => "unauthorized",
            Self::Limited => "limited",
            Self::Redirected(_) => "redirected",
            Self::Refused(_) => "refused",
            Self::Unwell(_) => "unwell",
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Garbled => "garbled",
            Self::Spent { .. } => "budget_spent",
            Self::NoTrust => "no_trust",
        }
    }

    /// Whether another try may fare better. Limits are not asked about again: each try counts against them.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unwell(_) | Self::Unreachable | Self::Slow)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(status @ (401 | 403)) => Self::Unauthorized(status),
            Failure::Status(429) => Self::Limited,
            Failure::Status(status @ 300..=399) => Self::Redirected(status),
            Failure::Status(status @ 500..) => Self::Unwell(status),
            Failure::Status(status) => Self::Refused(status),
            Failure::Unreachable => Self::Unreachable,
            Failure::Slow => Self::Slow,
            Failure::Garbled => Self::Garbled,
            Failure::NoTrust => Self::NoTrust,
        }
    }
}

impl From<Spent> for Error {
    fn from(spent: Spent) -> Self {
        Self::Spent {
            requests: spent.budget.requests,
            period: spent.budget.period,
            wait: spent.wait,
        }
    }
}

/// As in "100 requests an hour".
fn each(period: Period) -> String {
    let article = if period == Period::Hour { "an" } else { "a" };
    format!("{article} {}", period.name())
}

/// The provider.
#[derive(Debug)]
pub struct JSearch {
    base_url: Url,
    host: String,
    key: Key,
    total: Duration,
    upstream: Upstream,
    spending: Spending,
}

impl JSearch {
    /// Connects to nothing yet.
    #[must_use]
    pub(super) fn new(settings: &JobSettings, key: Key, upstream: Upstream) -> Self {
        Self {
            base_url: settings.base_url.clone(),
            host: settings.rapidapi_host.clone(),
            key,
            total: settings.timeouts.total,
            upstream,
            spending: Spending::new(settings.budget),
        }
    }

    /// Asks for a page after another until there are enough jobs, since every page is a request that is paid for.
    async fn find(&self, request: &SearchRequest, progress: &dyn Progress) -> Result<Found, Error> {
        let deadline = Instant::now() + self.total;
        let (mut jobs, mut ids, mut failed) = (Vec::new(), HashSet::new(), None);
        for page in 1..=request.pages {
            let postings = match self.get(self.search_url(request, page)?, deadline).await {
                Ok(answer) => answer.data,
                Err(error) if page == 1 => return Err(error),
                Err(error) => {
                    failed = Some((page - 1, error));
                    break;
                }
            };
            let is_last = postings.len() < PAGE_SIZE;
            let new = postings.into_iter().filter_map(wire::Posting::into_job);
            jobs.extend(new.filter(|job| ids.insert(job.job_id.clone())));
            progress.pages(page, request.pages);
            if is_last || jobs.len() >= request.jobs {
                break;
            }
        }
        jobs.truncate(request.jobs);
        let mut notes = Vec::new();
        if jobs.is_empty() {
            notes.push(
                "Nothing was posted for this in the last week. Try a broader role, or a larger place."
                    .to_owned(),
            );
        }
        let partial = failed.is_some();
        if let Some((pages, error)) = failed {
            tracing::warn!(
                cause = error.category(),
                pages,
                of = request.pages,
                "JSearch's pages end early"
            );
            let pages = if pages == 1 {
                "page".to_owned()
            } else {
                format!("{pages} pages")
            };
            notes.push(format!("These are from the first {pages} only. {error}"));
        }
        let mut found = Found::new(jobs, NAME).noting(&notes);
        found.partial = partial;
        Ok(found)
    }

    /// One posting by its id.
    async fn details(&self, job_id: &str) -> Result<Option<Job>, Error> {
        let mut url = self.url("job-details")?;
        url.query_pairs_mut().append_pair("job_id", job_id);
        match self.get(url, Instant::now() + self.total).await {
            Ok(answer) => {
                let mut jobs = answer.data.into_iter().filter_map(wire::Posting::into_job);
                Ok(jobs.find(|job| job.job_id == job_id))
            }
            // It tells unknown ids in either way.
            Err(Error::Refused(400 | 404)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks, up to three times, within the budget and until the deadline.
    async fn get(&self, url: Url, deadline: Instant) -> Result<wire::Answer, Error> {
        let key = key_header(&self.key.get().ok_or(Error::NoKey)?)?;
        let attempt = || self.attempt(url.clone(), key.clone());
        let tries = self.upstream.retry(NAME, attempt, Error::is_passing);
        timeout_at(deadline, tries).await.map_err(|_| Error::Slow)?
    }

    async fn attempt(&self, url: Url, key: HeaderValue) -> Result<wire::Answer, Error> {
        let client = self.upstream.client().await?;
        self.spending.take()?;
        let request = client
            .get(url)
            .header("X-RapidAPI-Key", key)
            .header("X-RapidAPI-Host", &self.host);
        let body = self.upstream.send(NAME, request, MAX_BYTES).await?;
        serde_json::from_slice(&body).map_err(|_| Error::Garbled)
    }

    fn url(&self, endpoint: &str) -> Result<Url, Error> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Unreachable)?
            .pop_if_empty()
            .push(endpoint);
        Ok(url)
    }

    fn search_url(&self, request: &SearchRequest, page: usize) -> Result<Url, Error> {
        let mut url = self.url("search")?;
        let mut query = request.role.clone();
        match &request.place {
            None => {}
            Some(Place::City { city, .. }) => query.extend([" in ", city]),
            Some(Place::Country(country)) => query.extend([" in ", country.name]),
            Some(Place::Remote) => query.push_str(" remote"),
            Some(Place::Text { text, .. }) => query.extend([" in ", text]),
        }
        if let Some(platform) = request.platform {
            query.extend([" via ", platform.name()]);
        }
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("query", &query);
        pairs.append_pair("page", &page.to_string());
        pairs.append_pair("num_pages", "1");
        pairs.append_pair("date_posted", "week");
        if let Some(country) = request.place.as_ref().and_then(Place::country) {
            pairs.append_pair("country", &country.code.to_lowercase());
        }
        if request.place == Some(Place::Remote) {
            pairs.append_pair("work_from_home", "true");
        }
        drop(pairs);
        Ok(url)
    }
}

/// The key as a header, which `Debug` does not show.
fn key_header(key: &SecretString) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| Error::OddKey)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Provider for JSearch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        progress: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, JobError>> {
        async move { Ok(self.find(request, progress).await?) }.boxed()
    }

    fn posting<'a>(&'a self, job_id: &'a str) -> BoxFuture<'a, Result<Option<Job>, JobError>> {
        async move { Ok(self.details(job_id).await?) }.boxed()
    }

    fn postings_cost(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
