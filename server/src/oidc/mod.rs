//! Tokens of an identity provider (`AUTH=oidc`): this server is an OAuth 2.1 resource server, and asks nobody but
//! the issuer for its keys.
//!
//! A token is a JWT that the issuer signed with one of its [`keys`], for this server's audience, and that has not
//! expired ([`claims`]). What was found good is remembered for a while ([`verified`]), so that a signature is
//! checked once and not for each message. The cryptography is [`ring`]'s ([`signatures`]).

mod claims;
mod issuer;
mod keys;
mod signatures;
mod verified;

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde::Deserialize;

use self::{
    claims::Claims,
    keys::{KeySet, Keys},
    verified::{Remembered, Verified},
};
use crate::{config::OidcSettings, http::principal::Principal, metrics::Metrics};

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 30;

/// Keys that are tried for a token that does not name its own.
const UNNAMED: usize = 4;

/// What a token may say it is (RFC 8725, section 3.11: one of another kind must not pass for an access token).
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No JWT, or one of a kind that is no access token.
    #[error("it is no JWT as access tokens are")]
    NoJwt,
    /// `none`, a shared secret, or one that is not known.
    #[error("its algorithm is none that is taken here")]
    Algorithm,
    /// The issuer has no such key.
    #[error("its issuer has no such key")]
    Key,
    /// Somebody else's, or something was changed.
    #[error("its signature is not right")]
    Signature,
    /// `exp`.
    #[error("it has expired")]
    Expired,
    /// `nbf`.
    #[error("it is not valid yet")]
    Early,
    /// `aud`.
    #[error("it was made for another server")]
    Audience,
    /// `iss`.
    #[error("it is of another issuer")]
    Issuer,
    /// One that is needed is missing, or is not what it should be.
    #[error("a claim is missing that it needs")]
    Claims,
    /// Good, but it does not allow what is needed.
    #[error("it lacks a scope that is needed here")]
    Scope,
    /// Whether it is good cannot be told now.
    #[error("its issuer cannot be asked for its keys")]
    Unavailable,
}

impl Fault {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::NoJwt => "no_jwt",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Claims => "claims",
            Self::Scope => "scope",
            Self::Unavailable => "issuer_away",
        }
    }
}

/// What is checked of tokens.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    keys: Keys,
    remembered: Remembered,
}

/// A token's first part, as far as it is looked at. Keys that tokens bring along (`jwk`, `jku`, `x5u`, `x5c`) are
/// not: whoever forges the one forges the other.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Oidc {
    /// Takes the tokens that the settings say. A task asks for the issuer's keys, now and whenever they are old,
    /// until this is dropped.
    #[must_use]
    pub fn new(settings: &OidcSettings, metrics: Metrics) -> Self {
        signatures::install();
        Self {
            settings: settings.clone(),
            keys: Keys::new(settings, metrics),
            remembered: Remembered::new(),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn owner(&self, token: &str) -> Result<Principal, Fault> {
        let keys = self.keys.current().await.ok_or(Fault::Unavailable)?;
        let digest = verified::digest(token);
        let verified = if let Some(known) = self.remembered.find(&digest, &keys) {
            known
        } else {
            let found = self.examine(token, keys).await?;
            self.remembered.keep(digest, found);
            found
        };
        if verified.allowed {
            Ok(verified.owner)
        } else {
            Err(Fault::Scope)
        }
    }

    async fn examine(&self, token: &str, mut keys: Arc<KeySet>) -> Result<Verified, Fault> {
        let (head, algorithm) = head(token)?;
        if !keys.fits(head.kid.as_deref(), algorithm) {
            keys = self.keys.asked_again(&keys).await.ok_or(Fault::Unavailable)?;
        }
        self.verify(token, &head, algorithm, &keys)
    }

    fn verify(
        &self,
        token: &str,
        head: &Head,
        algorithm: Algorithm,
        keys: &Arc<KeySet>,
    ) -> Result<Verified, Fault> {
        let validation = self.validation(algorithm);
        let mut fault = Fault::Key;
        for key in keys.fitting(head.kid.as_deref(), algorithm).take(UNNAMED) {
            match jsonwebtoken::decode::<Claims>(token, key, &validation) {
                Ok(decoded) => {
                    let claims = decoded.claims;
                    if claims.iss != self.settings.issuer {
                        return Err(Fault::Issuer);
                    }
                    let subject = claims.text(&self.settings.principal_claim).ok_or(Fault::Claims)?;
                    return Ok(Verified {
                        owner: Principal::of_issuer(&claims.iss, subject),
                        allowed: claims.allows(&self.settings.scopes),
                        expires: claims.exp,
                        keys: keys.number(),
                    });
                }
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => fault = Fault::Signature,
                    ErrorKind::ExpiredSignature => return Err(Fault::Expired),
                    ErrorKind::ImmatureSignature => return Err(Fault::Early),
                    ErrorKind::InvalidAudience => return Err(Fault::Audience),
                    ErrorKind::InvalidIssuer => return Err(Fault::Issuer),
                    ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
                        return Err(Fault::Algorithm);
                    }
                    ErrorKind::MissingRequiredClaim(_)
                    | ErrorKind::InvalidClaimFormat(_)
                    | ErrorKind::Json(_) => {
                        return Err(Fault::Claims);
                    }
                    _ => return Err(Fault::NoJwt),
                },
            }
        }
        Err(fault)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_audience(&self.settings.audiences);
        validation.set_issuer(&[&self.settings.issuer]);
        validation
    }
}

/// Reads what an issuer and one of its tokens may say, for tests of the parsers: the algorithms that either names.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(sent: &[u8], token: &str) -> Vec<String> {
    let keys = keys::parse(sent).unwrap_or_default();
    let of_keys = keys.into_iter().flat_map(|key| key.algorithms);
    let of_token = head(token).ok().map(|(_, algorithm)| algorithm);
    of_keys
        .chain(of_token)
        .map(|algorithm| format!("{algorithm:?}"))
        .collect()
}

fn head(token: &str) -> Result<(Head, Algorithm), Fault> {
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::NoJwt);
    };
    let json = BASE64_URL_SAFE_NO_PAD.decode(first).map_err(|_| Fault::NoJwt)?;
    let head: Head = serde_json::from_slice(&json).map_err(|_| Fault::NoJwt)?;
    // RFC 7515, section 4.1.11: what is said to be critical must be understood, and nothing of it is.
    if head.crit.is_some() {
        return Err(Fault::NoJwt);
    }
    if let Some(kind) = &head.typ
        && !TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known))
    {
        return Err(Fault::NoJwt);
    }
    let algorithm = signatures::algorithm(&head.alg).ok_or(Fault::Algorithm)?;
    Ok((head, algorithm))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn algorithm_of(head_json: &str) -> Result<Algorithm, Fault> {
        let first = BASE64_URL_SAFE_NO_PAD.encode(head_json);
        head(&format!("{first}.e30.AA")).map(|(_, algorithm)| algorithm)
    }

    #[test]
    fn heads() {
        for (json, expected) in [
            (r#"{"alg":"ES256"}"#, Ok(Algorithm::ES256)),
            (
                r#"{"alg":"RS256","typ":"AT+JWT","kid":"a"}"#,
                Ok(Algorithm::RS256),
            ),
            (
                r#"{"alg":"RS256","typ":"application/at+jwt"}"#,
                Ok(Algorithm::RS256),
            ),
            (r#"{"alg":"HS256"}"#, Err(Fault::Algorithm)),
            (r#"{"alg":"none"}"#, Err(Fault::Algorithm)),
            (r#"{"alg":"ES256","alg":"none"}"#, Err(Fault::NoJwt)),
            (r#"{"alg":["ES256"]}"#, Err(Fault::NoJwt)),
            (r#"{"typ":"JWT"}"#, Err(Fault::NoJwt)),
            (r#"{"alg":"ES256","typ":"id+jwt"}"#, Err(Fault::NoJwt)),
            (r#"{"alg":"ES256","crit":["b64"]}"#, Err(Fault::NoJwt)),
            (r#"{"alg":"ES256","kid":7}"#, Err(Fault::NoJwt)),
            ("[]", Err(Fault::NoJwt)),
            ("", Err(Fault::NoJwt)),
        ] {
            assert_eq!(algorithm_of(json), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_token(text in "[ -~]{0,200}") {
            prop_assert!(head(&text).is_err());
        }

        #[test]
        fn nothing_but_what_is_named_is_an_algorithm(name in "[A-Za-z0-9]{0,6}") {
            let found = algorithm_of(&format!(r#"{{"alg":"{name}"}}"#));
            prop_assert_eq!(found.is_ok(), signatures::algorithm(&name).is_some());
            prop_assert!(found.is_err() || !name.starts_with("HS"));
        }
    }
}
