//! Settings of AUTH=oidc.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;

use super::source::Reader;

/// What is read with AUTH=oidc only.
pub(super) const VARIABLES: [&str; 5] = [
    "OIDC_ISSUER",
    "OIDC_AUDIENCE",
    "OIDC_JWKS_URL",
    "OIDC_SCOPES",
    "OIDC_PRINCIPAL_CLAIM",
];

/// Whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Who made them, exactly as they say in `iss`.
    pub issuer: String,
    /// For whom they must be made: one of these.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are; `None` to ask the issuer.
    pub jwks_url: Option<String>,
    /// What they must allow, all of it.
    pub scopes: Vec<Scope>,
    /// The claim that says whose they are.
    pub principal_claim: String,
    /// How long keys are kept.
    pub keys: KeyTimes,
}

/// A scope, or any one of several: where one includes another, issuers seldom name both in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Vec<String>);

impl Scope {
    /// The one that clients are told to ask for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Whether `granted` is enough.
    #[must_use]
    pub fn is_in<'a>(&self, mut granted: impl Iterator<Item = &'a str>) -> bool {
        granted.any(|scope| self.0.iter().any(|wanted| wanted == scope))
    }
}

/// How long an issuer's keys are kept. No variable sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// When they are asked for again.
    pub refresh: Duration,
    /// How long they count while the issuer does not answer.
    pub stale: Duration,
    /// For a key that is not known, they are asked for at once, three times; then again once in this time.
    pub unknown: Duration,
    /// How long the issuer may take for one answer.
    pub answer: Duration,
}

impl Default for KeyTimes {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(10),
            stale: Duration::from_hours(24),
            unknown: Duration::from_secs(10),
            answer: Duration::from_secs(5),
        }
    }
}

impl OidcSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let issuer = reader.parse("OIDC_ISSUER", String::new(), issuer);
        if issuer.is_empty() && reader.get("OIDC_ISSUER").is_none() {
            reader.reject(
                "OIDC_ISSUER",
                None,
                "AUTH=oidc needs the issuer of the tokens, such as https://login.example.com/realm",
            );
        }
        let audiences = reader
            .list("OIDC_AUDIENCE", |item| Ok(item.to_owned()))
            .unwrap_or_default();
        if audiences.is_empty() {
            reader.reject(
                "OIDC_AUDIENCE",
                None,
                "AUTH=oidc needs what the tokens for this server say in aud, such as https://mcp.example.com/mcp: tokens for others must not be taken",
            );
        }
        Self {
            issuer,
            audiences,
            jwks_url: reader.parse("OIDC_JWKS_URL", None, |text| {
                url(text).map(|url| Some(url.into()))
            }),
            scopes: reader.parse("OIDC_SCOPES", Vec::new(), scopes),
            principal_claim: reader.text("OIDC_PRINCIPAL_CLAIM", "sub"),
            keys: KeyTimes::default(),
        }
    }
}

/// Compared as it stands, so it is kept as it stands.
fn issuer(text: &str) -> Result<String, String> {
    let url = url(text)?;
    if url.query().is_some() {
        return Err("an issuer has no query".to_owned());
    }
    Ok(text.to_owned())
}

/// An address that can be trusted to be who it says: https, or this machine.
///
/// # Errors
/// What would be right.
pub fn url(text: &str) -> Result<Url, String> {
    let advice = || "use an https address; http is for this machine only".to_owned();
    let url = Url::parse(text).map_err(|_| advice())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let secure = match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    };
    if plain && secure { Ok(url) } else { Err(advice()) }
}

/// Whether a host's name is this machine's.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// RFC 6749, section 3.3: visible ASCII but for quotes and backslashes.
fn scopes(text: &str) -> Result<Vec<Scope>, String> {
    let plain = |scope: &str| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    text.split([' ', ',', '\t'])
        .filter(|scope| !scope.is_empty())
        .map(|scope| {
            let any: Vec<_> = scope.split('|').map(str::to_owned).collect();
            if any.iter().all(|scope| plain(scope)) {
                Ok(Scope(any))
            } else {
                Err(format!("{scope:?} is no scope; separate scopes with spaces, and with | where one of several is enough"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthSettings, Settings};

    const ISSUER: (&str, &str) = ("OIDC_ISSUER", "https://login.example.com/realm/");
    const AUDIENCE: (&str, &str) = ("OIDC_AUDIENCE", "https://mcp.example.com/mcp, jobs");

    fn read(pairs: &[(&str, &str)]) -> Result<OidcSettings, String> {
        let settings = Settings::read(|name| {
            let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        });
        match settings.map(|settings| settings.http.auth) {
            Ok(AuthSettings::Oidc(oidc)) => Ok(oidc),
            Ok(other) => Err(format!("{other:?}")),
            Err(invalid) => Err(invalid.to_string()),
        }
    }

    #[test]
    fn an_issuer_and_an_audience_are_enough() {
        let oidc = read(&[("AUTH", "OIDC"), ISSUER, AUDIENCE]).expect("valid");
        assert_eq!(
            oidc.issuer, "https://login.example.com/realm/",
            "as it stands in tokens"
        );
        assert_eq!(oidc.audiences, ["https://mcp.example.com/mcp", "jobs"]);
        assert_eq!((oidc.jwks_url, oidc.principal_claim.as_str()), (None, "sub"));
        let scopes = ("OIDC_SCOPES", "jobs:read|jobs:admin, mcp");
        let oidc = read(&[("AUTH", "oidc"), ISSUER, AUDIENCE, scopes]).expect("valid");
        let names: Vec<_> = oidc.scopes.iter().map(Scope::name).collect();
        assert_eq!(names, ["jobs:read", "mcp"]);
        assert!(oidc.scopes[0].is_in(["x", "jobs:admin"].into_iter()));
        assert!(!oidc.scopes[0].is_in(["jobs:re", "jobs"].into_iter()));
    }

    #[test]
    fn what_is_missing_or_unsafe_is_said() {
        let oidc = ("AUTH", "oidc");
        for (pairs, advice) in [
            (vec![oidc, AUDIENCE], "OIDC_ISSUER: AUTH=oidc needs"),
            (vec![oidc, ISSUER], "OIDC_AUDIENCE: AUTH=oidc needs"),
            (
                vec![oidc, AUDIENCE, ("OIDC_ISSUER", "http://login.example.com")],
                "use an https address",
            ),
            (
                vec![oidc, AUDIENCE, ("OIDC_ISSUER", "http://127.0.0.1.example")],
                "use an https address",
            ),
            (
                vec![oidc, AUDIENCE, ("OIDC_ISSUER", "login.example.com")],
                "use an https address",
            ),
            (vec![oidc, AUDIENCE, ("OIDC_ISSUER", "https://a/?b")], "no query"),
            (
                vec![oidc, AUDIENCE, ISSUER, ("OIDC_JWKS_URL", "http://keys.example")],
                "OIDC_JWKS_URL",
            ),
            (vec![oidc, AUDIENCE, ISSUER, ("OIDC_SCOPES", "a|")], "is no scope"),
            (
                vec![oidc, AUDIENCE, ISSUER, ("AUTH_TOKENS_FILE", "/x")],
                "AUTH_TOKENS_FILE",
            ),
            (vec![ISSUER], "OIDC_ISSUER"),
            (vec![("AUTH", "none"), AUDIENCE], "with AUTH=oidc only"),
        ] {
            let told = read(&pairs).expect_err(advice);
            assert!(told.contains(advice), "{advice}: {told}");
        }
    }

    #[test]
    fn loopback_may_do_without_tls() {
        for good in [
            "http://127.0.0.1:8080",
            "http://localhost/realm",
            "http://[::1]:1",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1",
            "http://localhost.example",
            "https://me@a",
            "https://a/#b",
            "file:///a",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
