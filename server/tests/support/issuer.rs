//! An identity provider on loopback: its description, its keys, and the tokens it makes.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use rsa::{Generate as _, PrivateKey, pkcs8::EncodePrivateKey as _, traits::PublicKeyParts as _};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A key for signatures, made now.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) alg: &'static str,
    pair: Pair,
    public: Value,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(&'static RsaKeyPair, &'static dyn signature::RsaEncoding),
    Shared(hmac::Key),
}

/// Made once: it takes seconds without optimisation.
fn rsa() -> &'static (RsaKeyPair, Value) {
    static RSA: OnceLock<(RsaKeyPair, Value)> = OnceLock::new();
    RSA.get_or_init(|| {
        let private = PrivateKey::generate();
        let public = json!({
            "kty": "RSA",
            "n": BASE64.encode(private.n_bytes()),
            "e": BASE64.encode(private.e_bytes()),
        });
        let written = private.to_pkcs8_der().expect("PKCS #8");
        (RsaKeyPair::from_pkcs8(written.as_bytes()).expect("a key"), public)
    })
}

impl Key {
    pub(crate) fn new(kid: &str, alg: &'static str) -> Self {
        let random = SystemRandom::new();
        let (pair, mut public) = match alg {
            "ES256" | "ES384" => {
                let (signing, crv) = match alg {
                    "ES256" => (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
                    _ => (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
                };
                let written = EcdsaKeyPair::generate_pkcs8(signing, &random).expect("made");
                let pair = EcdsaKeyPair::from_pkcs8(signing, written.as_ref(), &random).expect("a key");
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                let public = json!({ "kty": "EC", "crv": crv, "x": BASE64.encode(x), "y": BASE64.encode(y) });
                (Pair::Ec(pair), public)
            }
            "EdDSA" => {
                let written = Ed25519KeyPair::generate_pkcs8(&random).expect("made");
                let pair = Ed25519KeyPair::from_pkcs8(written.as_ref()).expect("a key");
                let x = BASE64.encode(pair.public_key());
                (Pair::Ed(pair), json!({ "kty": "OKP", "crv": "Ed25519", "x": x }))
            }
            _ => {
                let encoding: &dyn signature::RsaEncoding = match alg {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => panic!("no algorithm: {alg}"),
                };
                let (pair, public) = rsa();
                (Pair::Rsa(pair, encoding), public.clone())
            }
        };
        public["kid"] = kid.into();
        public["use"] = "sig".into();
        Self {
            kid: kid.to_owned(),
            alg,
            pair,
            public,
        }
    }

    /// Whoever has the public key has this one: what confuses a checker that takes both for the same.
    pub(crate) fn shared(kid: &str, secret: &[u8]) -> Self {
        Self {
            kid: kid.to_owned(),
            alg: "HS256",
            pair: Pair::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret)),
            public: Value::Null,
        }
    }

    /// As it is published.
    pub(crate) fn public(&self) -> Value {
        self.public.clone()
    }

    /// A token with this head and these claims.
    pub(crate) fn sign(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let text = format!("{}.{}", part(head), part(claims));
        let (bytes, random) = (text.as_bytes(), SystemRandom::new());
        let signed = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, bytes).expect("signed").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(bytes).as_ref().to_vec(),
            Pair::Shared(key) => hmac::sign(key, bytes).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, bytes, &mut signed).expect("signed");
                signed
            }
        };
        format!("{text}.{}", BASE64.encode(signed))
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(
            &json!({ "alg": self.alg, "kid": self.kid, "typ": "at+jwt" }),
            claims,
        )
    }
}

/// Seconds since 1970, and so many more.
pub(crate) fn seconds(more: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time") + more
}

/// The provider.
pub(crate) struct Issuer {
    pub(crate) url: String,
    address: SocketAddr,
    state: Arc<Mutex<Published>>,
    serving: Option<JoinHandle<()>>,
}

/// What it publishes; tests change it.
pub(crate) struct Published {
    /// By path.
    answers: Vec<(String, Value)>,
    /// What is elsewhere, by path, and where.
    moved: Vec<(String, String)>,
    /// What it answers to everything, if not that.
    pub(crate) instead: Option<fn() -> Response>,
    /// How often it was asked, by path.
    pub(crate) asked: Vec<String>,
}

impl Issuer {
    /// One at a path of its own, as large providers have them for each customer.
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let url = format!("http://{address}/realm");
        let described = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let state = Published {
            answers: vec![("/realm/.well-known/openid-configuration".to_owned(), described)],
            moved: Vec::new(),
            instead: None,
            asked: Vec::new(),
        };
        let mut issuer = Self {
            url,
            address,
            state: Arc::new(Mutex::new(state)),
            serving: None,
        };
        issuer.rotate(keys);
        issuer.serve(listener);
        issuer
    }

    fn serve(&mut self, listener: TcpListener) {
        let app = Router::new().fallback(answer).with_state(Arc::clone(&self.state));
        self.serving = Some(tokio::spawn(async {
            axum::serve(listener, app).await.expect("serves");
        }));
    }

    /// Nobody is there any more.
    pub(crate) async fn stop(&mut self) {
        let serving = self.serving.take().expect("serving");
        serving.abort();
        let _ = serving.await;
    }

    /// It is there again, at the same address.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.serve(listener);
    }

    /// Publishes these keys, and no others.
    pub(crate) fn rotate(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        self.publish("/realm/keys", json!({ "keys": keys }));
    }

    /// Publishes something.
    pub(crate) fn publish(&self, path: &str, answer: Value) {
        let mut state = self.state.lock();
        state.answers.retain(|(known, _)| known != path);
        state.answers.push((path.to_owned(), answer));
    }

    /// Has it at another path, to which the first one redirects.
    pub(crate) fn relocate(&self, path: &str, to: &str) {
        let mut state = self.state.lock();
        for (known, _) in &mut state.answers {
            if known == path {
                to.clone_into(known);
            }
        }
        state.moved.push((path.to_owned(), to.to_owned()));
    }

    /// Publishes it no more.
    pub(crate) fn withdraw(&self, path: &str) {
        self.state.lock().answers.retain(|(known, _)| known != path);
    }

    /// Answers this to everything.
    pub(crate) fn instead(&self, answer: Option<fn() -> Response>) {
        self.state.lock().instead = answer;
    }

    /// How often this was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state
            .lock()
            .asked
            .iter()
            .filter(|asked| *asked == path)
            .count()
    }

    /// What a good token says.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        json!({
            "iss": self.url,
            "sub": subject,
            "aud": AUDIENCE,
            "iat": seconds(0),
            "exp": seconds(300),
        })
    }
}

/// For whom good tokens are made.
pub(crate) const AUDIENCE: &str = "https://mcp.example.com/mcp";

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn answer(State(state): State<Arc<Mutex<Published>>>, uri: Uri) -> Response {
    let mut state = state.lock();
    state.asked.push(uri.path().to_owned());
    // Else an issuer that was stopped would live on in connections that are kept.
    let close = [(header::CONNECTION, "close")];
    if let Some(instead) = state.instead {
        return (close, instead()).into_response();
    }
    if let Some((_, to)) = state.moved.iter().find(|(path, _)| path == uri.path()) {
        return (StatusCode::FOUND, close, [(header::LOCATION, to.clone())]).into_response();
    }
    let found = state.answers.iter().find(|(path, _)| path == uri.path());
    match found {
        Some((_, answer)) => (close, Json(answer.clone())).into_response(),
        None => (StatusCode::NOT_FOUND, close).into_response(),
    }
}
