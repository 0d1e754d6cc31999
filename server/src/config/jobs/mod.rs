//! Settings of the job search.

mod boards;
mod budget;
mod providers;

use std::{path::PathBuf, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

pub use self::{
    boards::BoardSettings,
    budget::{Budget, Period},
    providers::{ProviderChoice, ProviderName},
};
use super::source::Reader;

/// Where jobs come from, and how long that may take.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Which providers are asked.
    pub providers: ProviderChoice,
    /// Where JSearch is.
    pub base_url: Url,
    /// What JSearch is called in the `X-RapidAPI-Host` header.
    pub rapidapi_host: String,
    /// Where its key comes from.
    pub key: KeySource,
    /// Requests that the key may be used for; no limit, if unset.
    pub budget: Option<Budget>,
    /// The public job boards.
    pub boards: BoardSettings,
    /// The folder whose `*.jsonl` files are the user's own postings.
    pub catalogue: PathBuf,
    /// What is kept of earlier searches.
    pub cache: CacheSettings,
    /// Limits in time; only tests change them.
    pub timeouts: Timeouts,
}

/// What is kept of earlier searches.
#[derive(Debug, Clone, Copy)]
pub struct CacheSettings {
    /// How long an equal search gets the same answer; zero: it never does.
    pub lasting: Duration,
    /// Memory for answers, in bytes.
    pub bytes: u64,
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
        let providers = providers::read(reader);
        let rapidapi_host = reader.parse("RAPIDAPI_HOST", "jsearch.p.rapidapi.com".to_owned(), host);
        let default = format!("https://{rapidapi_host}");
        let greenhouse =
            matches!(&providers, ProviderChoice::These(names) if names.contains(&ProviderName::Greenhouse));
        Self {
            providers,
            base_url: base_url(reader, "RAPIDAPI_BASE_URL", &default),
            rapidapi_host,
            key: KeySource {
                file: reader.get("RAPIDAPI_KEY_FILE").map(PathBuf::from),
                value: reader.get("RAPIDAPI_KEY").map(SecretString::from),
            },
            budget: reader.parse("JSEARCH_BUDGET", Some(Budget::DEFAULT), budget::parse),
            boards: BoardSettings::read(reader, greenhouse),
            catalogue: PathBuf::from(reader.text("IAM_DATA_ROOT", "data")).join("catalogue"),
            cache: CacheSettings {
                lasting: Duration::from_secs(reader.parse("JOB_CACHE_SECONDS", 300, |text| {
                    number(text, 86_400, "seconds, from 0 (off) to 86400")
                })),
                bytes: (1 << 20)
                    * reader.parse("JOB_CACHE_MB", 32, |text| {
                        number(text, 4096, "megabytes, from 0 to 4096")
                    }),
            },
            timeouts: Timeouts::default(),
        }
    }
}

fn number(text: &str, max: u64, advice: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|&number| number <= max)
        .ok_or_else(|| format!("use {advice}"))
}

fn host(text: &str) -> Result<String, String> {
    let advice = || "use a host name without scheme or path, like jsearch.p.rapidapi.com".to_owned();
    let url = Url::parse(&format!("https://{text}")).map_err(|_| advice())?;
    let bare =
        url.path() == "/" && url.query().is_none() && url.username().is_empty() && !text.ends_with('/');
    if bare { Ok(text.to_owned()) } else { Err(advice()) }
}

/// The URL that a variable names. One with a password in it is refused without being shown.
fn base_url(reader: &mut Reader<'_>, variable: &'static str, default: &str) -> Url {
    let value = reader.get(variable);
    match url(value.as_deref().unwrap_or(default)) {
        Ok(url) => url,
        Err(advice) => {
            reader.reject(variable, value.filter(|value| !value.contains('@')), advice);
            fallback()
        }
    }
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none())
        .ok_or_else(|| {
            "use a URL like https://jsearch.p.rapidapi.com, without user, password or query".to_owned()
        })
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

    fn read(pairs: &[(&str, &str)]) -> Result<JobSettings, String> {
        let lookup = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        let settings = crate::config::Settings::read(lookup);
        settings
            .map(|settings| settings.jobs)
            .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn the_list_of_providers_wins_over_the_one() {
        use ProviderName::{Arbeitnow, Catalogue, JSearch};
        let choice = |pairs: &[_]| read(pairs).expect("valid").providers;
        assert_eq!(choice(&[]), ProviderChoice::Auto);
        assert_eq!(
            choice(&[("JOB_PROVIDER", "JSearch")]),
            ProviderChoice::These(vec![JSearch])
        );
        assert_eq!(
            choice(&[
                ("JOB_PROVIDER", "JSearch"),
                ("JOB_PROVIDERS", "arbeitnow, Catalog,arbeitnow")
            ]),
            ProviderChoice::These(vec![Arbeitnow, Catalogue])
        );
        for (bad, advice) in [
            ("jsearch,monster", "use some of jsearch"),
            (",", "at least one"),
            ("greenhouse", "GREENHOUSE_BOARDS"),
        ] {
            assert!(
                read(&[("JOB_PROVIDERS", bad)]).expect_err(bad).contains(advice),
                "{bad}"
            );
        }
        let invalid = read(&[
            ("JOB_PROVIDERS", "greenhouse"),
            ("GREENHOUSE_BOARDS", "../secrets"),
        ]);
        assert!(invalid.expect_err("a path").contains("GREENHOUSE_BOARDS"));
    }

    #[test]
    fn a_url_with_a_password_is_refused_and_not_shown() {
        let invalid = read(&[("REMOTIVE_BASE_URL", "https://me:s3cret@example.com")]).expect_err("refused");
        assert!(
            invalid.contains("REMOTIVE_BASE_URL") && !invalid.contains("s3cret"),
            "{invalid}"
        );
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
