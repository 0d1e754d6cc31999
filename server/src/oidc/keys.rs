//! An issuer's keys: read when the server starts, again every few minutes, and once more when a token names one
//! that is not known. While the issuer is away, those that are known count on, for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use parking_lot::RwLock;
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::task::AbortOnDropHandle;

use super::{
    issuer::{self, Error},
    signatures,
};
use crate::{config::OidcSettings, metrics::Metrics};

/// Keys of one issuer that are looked at.
const MAX: usize = 64;

/// How soon the issuer is asked again after it did not answer; twice as late each time, to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The keys that an issuer had at some time.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    number: u64,
    keys: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl KeySet {
    /// Changes with the keys.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The keys that a token can be checked with.
    pub(super) fn fitting(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &DecodingKey> {
        let named = move |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let fits = move |key: &&Key| key.algorithms.contains(&algorithm);
        self.keys
            .iter()
            .filter(named)
            .filter(fits)
            .map(|key| &key.decoding)
    }

    /// Whether there is any.
    pub(super) fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.fitting(id, algorithm).next().is_some()
    }

    #[cfg(test)]
    pub(super) fn numbered(number: u64) -> Self {
        Self {
            number,
            keys: Vec::new(),
        }
    }
}

/// Reads what an issuer sent; `None` if that is no set of keys. A key that is not understood is left out: issuers
/// publish keys for other uses too.
pub(super) fn parse(sent: &[u8]) -> Option<Vec<Key>> {
    #[derive(Deserialize)]
    struct Sent {
        keys: Vec<serde_json::Value>,
    }
    let sent: Sent = serde_json::from_slice(sent).ok()?;
    Some(sent.keys.into_iter().take(MAX).filter_map(key).collect())
}

fn key(sent: serde_json::Value) -> Option<Key> {
    let named = sent
        .get("alg")
        .and_then(serde_json::Value::as_str)
        .map(str::to_owned);
    let jwk: Jwk = serde_json::from_value(sent).ok()?;
    let common = &jwk.common;
    let signs = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
        && common
            .key_operations
            .as_ref()
            .is_none_or(|all| all.contains(&KeyOperations::Verify));
    let algorithms: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        // Shared secrets among them.
        _ => &[],
    };
    let mut algorithms = algorithms.to_vec();
    if let Some(named) = named {
        let named = signatures::algorithm(&named);
        algorithms.retain(|algorithm| Some(*algorithm) == named);
    }
    if !signs || algorithms.is_empty() {
        return None;
    }
    Some(Key {
        decoding: DecodingKey::from_jwk(&jwk).ok()?,
        id: jwk.common.key_id,
        algorithms,
    })
}

/// The keys at this moment, and the task that keeps them fresh.
#[derive(Debug)]
pub(super) struct Keys {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    settings: OidcSettings,
    metrics: Metrics,
    client: OnceCell<reqwest::Client>,
    state: RwLock<State>,
    /// Held by whoever asks the issuer, so that many who miss the same key ask once.
    asking: Mutex<()>,
    /// How often tokens that name an unknown key may have the issuer asked: anybody can make those.
    unknown: Option<DefaultDirectRateLimiter>,
}

#[derive(Debug, Default, Clone)]
struct State {
    set: Option<Arc<KeySet>>,
    /// When it was read last.
    read: Option<Instant>,
    /// As it was sent, to see whether it changed.
    sent: bytes::Bytes,
    /// How often the issuer was asked, with whatever success.
    asked: u64,
    /// Whether the last time failed, so that it is said once.
    failing: bool,
}

impl Keys {
    /// Begins to ask.
    pub(super) fn new(settings: &OidcSettings, metrics: Metrics) -> Self {
        let three = std::num::NonZeroU32::MIN.saturating_add(2);
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            metrics,
            client: OnceCell::new(),
            state: RwLock::default(),
            asking: Mutex::default(),
            unknown: Quota::with_period(settings.keys.unknown)
                .map(|quota| RateLimiter::direct(quota.allow_burst(three))),
        });
        let keeper = tokio::spawn(keep(Arc::clone(&shared)));
        Self {
            shared,
            _keeper: AbortOnDropHandle::new(keeper),
        }
    }

    /// The keys, if there are any that may still be believed.
    pub(super) async fn current(&self) -> Option<Arc<KeySet>> {
        let asked = {
            let state = self.shared.state.read();
            if let Some(set) = self.shared.believed(&state) {
                return Some(set);
            }
            state.asked
        };
        self.shared.ask_for_more(asked).await;
        self.shared.believed(&self.shared.state.read())
    }

    /// The keys, once more from the issuer if these are still the last, as a token needs one that is not among them.
    pub(super) async fn asked_again(&self, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let asked = {
            let state = self.shared.state.read();
            state
                .set
                .as_ref()
                .is_some_and(|set| Arc::ptr_eq(set, seen))
                .then_some(state.asked)
        };
        if let Some(asked) = asked {
            self.shared.ask_for_more(asked).await;
        }
        self.shared.believed(&self.shared.state.read())
    }
}

impl Shared {
    fn believed(&self, state: &State) -> Option<Arc<KeySet>> {
        let read = state.read?;
        (read.elapsed() <= self.settings.keys.stale).then(|| state.set.clone())?
    }

    /// Asks, unless somebody has since `asked` was read, or it would be too often.
    async fn ask_for_more(&self, asked: u64) {
        let _one = self.asking.lock().await;
        let anew = self.state.read().asked != asked;
        if !anew && self.unknown.as_ref().is_some_and(|limit| limit.check().is_ok()) {
            self.ask().await;
        }
    }

    /// Asks, and says whether there was an answer. Only with `asking` held.
    async fn ask(&self) -> bool {
        let outcome = self.fetch().await;
        let mut state = self.state.write();
        state.asked += 1;
        let label = match outcome {
            Ok((keys, sent)) => {
                state.read = Some(Instant::now());
                state.failing = false;
                if state.set.is_none() || state.sent != sent {
                    let number = state.set.as_ref().map_or(0, |set| set.number) + 1;
                    tracing::info!(
                        keys = keys.len(),
                        issuer = self.settings.issuer,
                        "the issuer's keys were read"
                    );
                    state.set = Some(Arc::new(KeySet { number, keys }));
                    state.sent = sent;
                }
                "ok"
            }
            Err(error) => {
                if !state.failing {
                    state.failing = true;
                    let keys = state.set.as_ref().map_or(0, |set| set.keys.len());
                    tracing::warn!(%error, keys, "the issuer's keys cannot be read; those that are known count on");
                }
                error.category()
            }
        };
        let outcome = vec![("outcome", label)];
        self.metrics.access.key_refreshes.get_or_create(&outcome).inc();
        label == "ok"
    }

    async fn fetch(&self) -> Result<(Vec<Key>, bytes::Bytes), Error> {
        let client = self.client.get_or_try_init(issuer::client).await?;
        let sent = issuer::keys(client, &self.settings).await?;
        // An issuer that has none at all is in trouble, and what is known must not be forgotten for it.
        match parse(&sent) {
            Some(keys) if !keys.is_empty() => Ok((keys, sent)),
            _ => Err(Error::NoKeys),
        }
    }
}

async fn keep(keys: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let answered = {
            let _one = keys.asking.lock().await;
            keys.ask().await
        };
        if answered {
            pause = FIRST_PAUSE;
            tokio::time::sleep(keys.settings.keys.refresh).await;
        } else {
            tokio::time::sleep(pause.min(keys.settings.keys.refresh)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fitting(sent: &Value, id: Option<&str>, algorithm: Algorithm) -> usize {
        let keys = parse(sent.to_string().as_bytes()).expect("a set");
        KeySet { number: 0, keys }.fitting(id, algorithm).count()
    }

    fn rsa(more: &Value) -> Value {
        let mut key = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        key.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        key
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        for (more, algorithm, expected) in [
            (json!({}), Algorithm::RS256, 1),
            (json!({}), Algorithm::PS512, 1),
            (json!({}), Algorithm::ES256, 0),
            (json!({}), Algorithm::HS256, 0),
            (json!({ "alg": "RS256" }), Algorithm::RS256, 1),
            (json!({ "alg": "RS256" }), Algorithm::RS512, 0),
            (json!({ "alg": "HS256" }), Algorithm::RS256, 0),
            (json!({ "alg": "RSA-OAEP" }), Algorithm::RS256, 0),
            (json!({ "use": "sig" }), Algorithm::RS256, 1),
            (json!({ "use": "enc" }), Algorithm::RS256, 0),
            (json!({ "key_ops": ["verify"] }), Algorithm::RS256, 1),
            (json!({ "key_ops": ["encrypt"] }), Algorithm::RS256, 0),
        ] {
            let set = json!({ "keys": [rsa(&more)] });
            assert_eq!(fitting(&set, None, algorithm), expected, "{more} {algorithm:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_the_rest_counts() {
        let set = json!({ "keys": [
            7,
            { "kty": "oct", "k": "c2VjcmV0", "kid": "a" },
            { "kty": "NEW", "x": "y", "kid": "a" },
            { "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "a" },
            { "kty": "RSA", "kid": "a" },
            rsa(&json!({ "kid": "a" })),
            rsa(&json!({ "kid": "b" })),
        ]});
        assert_eq!(fitting(&set, Some("a"), Algorithm::RS256), 1);
        assert_eq!(fitting(&set, None, Algorithm::RS256), 2);
        assert_eq!(fitting(&set, Some("c"), Algorithm::RS256), 0);
        assert_eq!(fitting(&set, Some("a"), Algorithm::HS256), 0);
    }

    #[test]
    fn there_is_a_cap() {
        let set = json!({ "keys": vec![rsa(&json!({})); 1000] });
        assert_eq!(fitting(&set, None, Algorithm::RS256), MAX);
        assert!(parse(b"{}").is_none() && parse(b"<html>").is_none());
    }
}
