//! JSearch on RapidAPI: real postings, for a key.
//!
//! The key goes out in one header, marked as sensitive, and nowhere else: redirects are refused, and errors
//! are told without the request that they came from.

mod client;
mod wire;

use backon::{ExponentialBuilder, Retryable as _};
use futures::{FutureExt as _, future::BoxFuture};
use reqwest::{StatusCode, Url, header::HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;

use super::{
    Error as JobError, Found, Progress, Provider, job::Job, key::Key, place::Place, request::SearchRequest,
};
use crate::config::{JobSettings, Timeouts};

/// Tries, the first included.
const TRIES: usize = 3;

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
            Self::NoTrust => "no_trust",
        }
    }

    /// Whether another try may fare better. Limits are not asked about again: each try counts against them.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Unwell(_) | Self::Unreachable | Self::Slow)
    }
}

/// The provider.
#[derive(Debug)]
pub struct JSearch {
    base_url: Url,
    host: String,
    key: Key,
    timeouts: Timeouts,
    // Made on first use: reading the CA certificates takes longer than the rest of the start.
    client: OnceCell<reqwest::Client>,
}

impl JSearch {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(settings: &JobSettings, key: Key) -> Self {
        Self {
            base_url: settings.base_url.clone(),
            host: settings.rapidapi_host.clone(),
            key,
            timeouts: settings.timeouts.clone(),
            client: OnceCell::new(),
        }
    }

    async fn find(&self, request: &SearchRequest) -> Result<Found, Error> {
        let key = key_header(&self.key.get().ok_or(Error::NoKey)?)?;
        let url = self.url(request)?;
        let retries = ExponentialBuilder::default()
            .with_min_delay(self.timeouts.backoff)
            .with_max_times(TRIES - 1)
            .with_jitter();
        let tries = (|| self.attempt(url.clone(), key.clone()))
            .retry(retries)
            .when(Error::is_passing)
            .notify(|error, wait| tracing::debug!(cause = error.category(), ?wait, "asking JSearch again"));
        let answer = tokio::time::timeout(self.timeouts.total, tries)
            .await
            .map_err(|_| Error::Slow)??;
        let jobs: Vec<Job> = answer
            .data
            .into_iter()
            .filter_map(wire::Posting::into_job)
            .take(request.jobs)
            .collect();
        let note = jobs.is_empty().then(|| {
            "Nothing was posted for this in the last week. Try a broader role, or a larger place.".to_owned()
        });
        Ok(Found {
            jobs,
            source: self.name(),
            note,
        })
    }

    fn url(&self, request: &SearchRequest) -> Result<Url, Error> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Unreachable)?
            .pop_if_empty()
            .push("search");
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
        pairs.append_pair("num_pages", &request.pages.to_string());
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

    async fn attempt(&self, url: Url, key: HeaderValue) -> Result<wire::Answer, Error> {
        let client = self
            .client
            .get_or_try_init(|| client::build(&self.timeouts))
            .await?;
        let call = async {
            let sent = client
                .get(url)
                .header("X-RapidAPI-Key", key)
                .header("X-RapidAPI-Host", &self.host)
                .send()
                .await
                .map_err(|error| client::failure(&error))?;
            match sent.status() {
                StatusCode::OK => {}
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(Error::Unauthorized(sent.status().as_u16()));
                }
                StatusCode::TOO_MANY_REQUESTS => return Err(Error::Limited),
                status if status.is_redirection() => return Err(Error::Redirected(status.as_u16())),
                status if status.is_server_error() => return Err(Error::Unwell(status.as_u16())),
                status => return Err(Error::Refused(status.as_u16())),
            }
            let body = client::read(sent).await?;
            serde_json::from_slice(&body).map_err(|_| Error::Garbled)
        };
        tokio::time::timeout(self.timeouts.attempt, call)
            .await
            .map_err(|_| Error::Slow)?
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
        "jsearch"
    }

    fn search<'a>(
        &'a self,
        request: &'a SearchRequest,
        _: &'a dyn Progress,
    ) -> BoxFuture<'a, Result<Found, JobError>> {
        async move { Ok(self.find(request).await?) }.boxed()
    }

    fn posting<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Job>, JobError>> {
        // JSearch has no such request that costs nothing.
        futures::future::ready(Ok(None)).boxed()
    }
}

#[cfg(test)]
mod tests;
