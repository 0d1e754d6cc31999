//! Settings of the job search.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

use super::source::Reader;

/// Where jobs come from, and how long that may take.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Which provider is asked.
    pub provider: ProviderChoice,
    /// Where JSearch is.
    pub base_url: Url,
    /// What JSearch is called in the `X-RapidAPI-Host` header.
    pub rapidapi_host: String,
    /// Where its key comes from.
    pub key: KeySource,
    /// Limits in time; only tests change them.
    pub timeouts: Timeouts,
}

/// Which provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderChoice {
    /// JSearch if there is a key at the moment of the call, else the catalogue.
    Auto,
    /// JSearch, and an error without a key.
    JSearch,
    /// The embedded samples.
    Catalogue,
}

/// Where a key comes from.
#[derive(Debug, Clone, Default)]
pub struct KeySource {
    /// A file that is read again when it changes; wins when it is there and not empty.
    pub file: Option<PathBuf>,
    /// The key itself.
    pub value: Option<SecretString>,
}

/// How long a search may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Duration,
    /// For one try.
    pub attempt: Duration,
    /// For everything, retries included.
    pub total: Duration,
    /// Before the first retry; doubled for each further one, with jitter.
    pub backoff: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            // Short enough that a try that hangs leaves time for a second one.
            attempt: Duration::from_secs(12),
            // Desktop clients give a tool 30 s or more; an answer that says what is wrong must come earlier.
            total: Duration::from_secs(25),
            backoff: Duration::from_millis(250),
        }
    }
}

impl JobSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let rapidapi_host = reader.parse("RAPIDAPI_HOST", "jsearch.p.rapidapi.com".to_owned(), host);
        let default = format!("https://{rapidapi_host}");
        let base_url = reader.get("RAPIDAPI_BASE_URL");
        let base_url = match url(base_url.as_deref().unwrap_or(&default)) {
            Ok(url) => url,
            Err(advice) => {
                reader.reject("RAPIDAPI_BASE_URL", base_url, advice);
                fallback()
            }
        };
        Self {
            provider: reader.parse("JOB_PROVIDER", ProviderChoice::Auto, provider),
            base_url,
            rapidapi_host,
            key: KeySource {
                file: reader.get("RAPIDAPI_KEY_FILE").map(PathBuf::from),
                value: reader.get("RAPIDAPI_KEY").map(SecretString::from),
            },
            timeouts: Timeouts::default(),
        }
    }
}

fn provider(text: &str) -> Result<ProviderChoice, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(ProviderChoice::Auto),
        "jsearch" => Ok(ProviderChoice::JSearch),
        "catalogue" | "catalog" => Ok(ProviderChoice::Catalogue),
        _ => Err("use Auto, JSearch or Catalogue".to_owned()),
    }
}

fn host(text: &str) -> Result<String, String> {
    let advice = || "use a host name without scheme or path, like jsearch.p.rapidapi.com".to_owned();
    let url = Url::parse(&format!("https://{text}")).map_err(|_| advice())?;
    let bare =
        url.path() == "/" && url.query().is_none() && url.username().is_empty() && !text.ends_with('/');
    if bare { Ok(text.to_owned()) } else { Err(advice()) }
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "use a URL like https://jsearch.p.rapidapi.com".to_owned())
}

/// Stands in for a base URL that was rejected; the settings that hold it are never used.
#[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
fn fallback() -> Url {
    Url::parse("https://jsearch.p.rapidapi.com").expect("a valid URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_follows_the_host() {
        let settings = crate::config::Settings::read(|name| {
            (name == "RAPIDAPI_HOST").then(|| "jobs.example.com".to_owned())
        })
        .expect("valid");
        assert_eq!(settings.jobs.base_url.as_str(), "https://jobs.example.com/");
        assert_eq!(fallback().scheme(), "https");
    }

    #[test]
    fn hosts_are_bare() {
        assert!(host("jsearch.p.rapidapi.com").is_ok());
        for bad in ["https://jsearch.p.rapidapi.com", "a/b", "a b", "user@host"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_shown_by_debug() {
        let key = KeySource {
            file: None,
            value: Some(SecretString::from("s3cret")),
        };
        assert!(!format!("{key:?}").contains("s3cret"));
    }
}
