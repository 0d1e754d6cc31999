//! Asking an issuer where its keys are, and for them (`OpenID` Connect Discovery 1.0; RFC 8414).
//!
//! Its answers are bounded in time and size, and a redirect is not followed: it could lead anywhere, to somebody
//! else's keys too.

use bytes::{Bytes, BytesMut};
use reqwest::{Client, StatusCode, Url, header, redirect};
use serde::Deserialize;

use crate::config::{self, OidcSettings};

/// The most that an answer may weigh; a set of keys is a few kilobytes.
const MAX_BYTES: usize = 256 << 10;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "no CA certificates were found to check the issuer's identity with; install ca-certificates, or set SSL_CERT_FILE"
    )]
    NoTrust,
    #[error("{0} does not answer in time")]
    Slow(Url),
    #[error("{0} cannot be reached")]
    Unreachable(Url),
    #[error("{0} redirects, which is not followed")]
    Redirected(Url),
    #[error("{0} answers HTTP {1}")]
    Status(Url, StatusCode),
    #[error("{0} answers more than {max} KiB", max = MAX_BYTES >> 10)]
    TooLarge(Url),
    #[error("{0} answers something that is not what it should be")]
    Garbled(Url),
    /// RFC 8414, section 3.3: else one issuer could speak for another.
    #[error("{0} is about another issuer, {1:?}: OIDC_ISSUER must be exactly as the issuer writes it")]
    AnotherIssuer(Url, String),
    #[error("the issuer's keys are at {0:?}, which is not https")]
    Insecure(String),
    #[error("the issuer has no key for signatures that could be used")]
    NoKeys,
}

impl Error {
    /// A bounded name for metrics and logs.
    pub(super) fn category(&self) -> &'static str {
        match self {
            Self::NoTrust => "no_trust",
            Self::Slow(_) => "slow",
            Self::Unreachable(_) => "unreachable",
            Self::Redirected(_) => "redirected",
            Self::Status(..) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Garbled(_) => "garbled",
            Self::AnotherIssuer(..) => "another_issuer",
            Self::Insecure(_) => "insecure",
            Self::NoKeys => "no_keys",
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// The client; reading the CA certificates takes a moment.
pub(super) async fn client() -> Result<Client, Error> {
    let built = tokio::task::spawn_blocking(|| {
        // An error means that another part of the process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("iam-mcp-server/", env!("CARGO_PKG_VERSION")))
            .build()
    });
    match built.await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(_)) | Err(_) => Err(Error::NoTrust),
    }
}

/// The issuer's keys, as it sends them.
pub(super) async fn keys(client: &Client, settings: &OidcSettings) -> Result<Bytes, Error> {
    let at = match &settings.jwks_url {
        Some(set) => set.clone(),
        None => discover(client, settings).await?,
    };
    let url = config::secure_url(&at).map_err(|_| Error::Insecure(at))?;
    get(client, settings, url).await
}

/// Where the issuer says that its keys are.
async fn discover(client: &Client, settings: &OidcSettings) -> Result<String, Error> {
    let mut first = None;
    for url in places(&settings.issuer) {
        match describe(client, settings, url).await {
            Ok(at) => return Ok(at),
            // The first place is the usual one, and what is wrong there is what somebody wants to hear.
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(Error::NoKeys))
}

async fn describe(client: &Client, settings: &OidcSettings, url: Url) -> Result<String, Error> {
    let answer = get(client, settings, url.clone()).await?;
    let Ok(metadata) = serde_json::from_slice::<Metadata>(&answer) else {
        return Err(Error::Garbled(url));
    };
    if metadata.issuer != settings.issuer {
        return Err(Error::AnotherIssuer(url, metadata.issuer));
    }
    Ok(metadata.jwks_uri)
}

/// Behind the issuer's path (`OpenID`), and between its host and its path (RFC 8414, section 3.1).
fn places(issuer: &str) -> Vec<Url> {
    let Ok(issuer) = Url::parse(issuer) else {
        return Vec::new();
    };
    let path = issuer.path().trim_end_matches('/');
    [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ]
    .into_iter()
    .map(|path| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    })
    .collect()
}

async fn get(client: &Client, settings: &OidcSettings, url: Url) -> Result<Bytes, Error> {
    let failed = |error: &reqwest::Error| {
        if error.is_timeout() {
            Error::Slow(url.clone())
        } else {
            Error::Unreachable(url.clone())
        }
    };
    let asked = client
        .get(url.clone())
        .header(header::ACCEPT, "application/json")
        // To the end of the body.
        .timeout(settings.keys.answer);
    let mut answer = asked.send().await.map_err(|error| failed(&error))?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => return Err(Error::Redirected(url)),
        status => return Err(Error::Status(url, status)),
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Error::TooLarge(url));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_issuers_describe_themselves() {
        let all = |issuer| places(issuer).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(
            all("https://login.example.com"),
            [
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            all("https://login.example.com/realms/jobs/"),
            [
                "https://login.example.com/realms/jobs/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server/realms/jobs",
            ]
        );
    }
}
