//! Tokens that must be refused.

use serde_json::{Value, json};

use super::but;
use crate::support::issuer::{Issuer, Key, seconds};

/// A token that must be refused, and the cause that is counted for it.
pub(super) struct Bad {
    pub(super) what: &'static str,
    pub(super) token: String,
    pub(super) cause: &'static str,
}

/// All of them, made with the issuer's own keys where nothing else is said.
pub(super) fn bad_tokens(issuer: &Issuer, ec: &Key, rsa: &Key) -> Vec<Bad> {
    let mut bad = Vec::new();
    let mut add = |what, cause, token| bad.push(Bad { what, token, cause });
    bad_claims(issuer, ec, &mut add);
    bad_signatures(issuer, ec, rsa, &mut add);
    bad_forms(issuer, ec, &mut add);
    bad
}

type Add<'a> = &'a mut dyn FnMut(&'static str, &'static str, String);

fn named(alg: &str, key: &Key) -> Value {
    json!({ "alg": alg, "kid": key.kid })
}

fn bad_claims(issuer: &Issuer, ec: &Key, add: Add<'_>) {
    let good = issuer.claims("alice");
    for (what, cause, change) in [
        (
            "for another audience",
            "audience",
            json!({ "aud": "https://other.example/mcp" }),
        ),
        (
            "for several others",
            "audience",
            json!({ "aud": ["https://other.example", "https://mcp.example.com"] }),
        ),
        ("for nobody in particular", "claims", json!({ "aud": null })),
        ("expired", "expired", json!({ "exp": seconds(-31) })),
        ("that never ends", "claims", json!({ "exp": null })),
        ("that ends some day", "claims", json!({ "exp": "tomorrow" })),
        ("not valid yet", "early", json!({ "nbf": seconds(120) })),
        (
            "of another issuer",
            "issuer",
            json!({ "iss": "https://login.example.com" }),
        ),
        (
            "of an issuer like ours",
            "issuer",
            json!({ "iss": format!("{}/", issuer.url) }),
        ),
        ("of no issuer", "claims", json!({ "iss": null })),
        (
            "of two issuers",
            "claims",
            json!({ "iss": [issuer.url, "https://login.example.com"] }),
        ),
        ("of nobody", "claims", json!({ "sub": null })),
        ("of an empty name", "claims", json!({ "sub": "" })),
    ] {
        add(what, cause, ec.token(&but(good.clone(), change)));
    }
}

fn bad_signatures(issuer: &Issuer, ec: &Key, rsa: &Key, add: Add<'_>) {
    let good = issuer.claims("alice");
    let foreign = Key::new(&ec.kid, "ES256");
    add("signed by a foreign key", "signature", foreign.token(&good));
    let unnamed = json!({ "alg": "ES256" });
    add(
        "signed by a foreign key that is not named",
        "signature",
        foreign.sign(&unnamed, &good),
    );
    let brought = json!({ "alg": "ES256", "kid": "brought", "jwk": foreign.public(), "jku": issuer.url });
    add("that brings its key along", "key", foreign.sign(&brought, &good));
    add(
        "of an unknown key",
        "key",
        Key::new("unknown", "ES256").token(&good),
    );
    add(
        "of another kind of key",
        "key",
        ec.sign(&named("RS256", ec), &good),
    );
    for (what, secret) in [
        ("HS256 with the public key", rsa.public()["n"].to_string()),
        ("HS256 with the public key as a JWK", rsa.public().to_string()),
        ("HS256 with nothing", String::new()),
    ] {
        let shared = Key::shared(&rsa.kid, secret.as_bytes());
        add(what, "algorithm", shared.token(&good));
        // What says RS256 is checked as that.
        add(
            "HS256 that says RS256",
            "signature",
            shared.sign(&named("RS256", rsa), &good),
        );
    }
    for alg in ["none", "None", "ES512", ""] {
        let token = ec.sign(&named(alg, ec), &good);
        let unsigned = token.rsplit_once('.').map(|(text, _)| format!("{text}."));
        add("of an algorithm that is none", "algorithm", token.clone());
        add("that is not signed", "algorithm", unsigned.expect("two dots"));
    }
}

fn bad_forms(issuer: &Issuer, ec: &Key, add: Add<'_>) {
    let good = issuer.claims("alice");
    let token = ec.token(&good);
    let (text, signature) = token.rsplit_once('.').expect("two dots");
    let (head, _) = text.split_once('.').expect("a dot");
    let (_, eve) = ec
        .token(&issuer.claims("eve"))
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a dot");
    let (eve, _) = eve.split_once('.').expect("a dot");
    add(
        "with somebody else's claims",
        "signature",
        format!("{head}.{eve}.{signature}"),
    );
    add("without a signature", "signature", format!("{text}."));
    add("of four parts", "no_jwt", format!("{token}.{signature}"));
    add("that is none", "no_jwt", "opaque-token-0123456789".to_owned());
    add(
        "with half a head",
        "no_jwt",
        format!("{}.{eve}.{signature}", &head[..head.len() / 2]),
    );
    for (what, change) in [
        ("for a logout", json!({ "typ": "logout+jwt" })),
        ("with something critical", json!({ "crit": ["exp"], "exp": 1 })),
    ] {
        add(what, "no_jwt", ec.sign(&but(named("ES256", ec), change), &good));
    }
}
