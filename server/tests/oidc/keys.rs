//! The issuer's keys: rotated, away, and found.

use std::time::Duration;

use axum::{
    body::Body,
    http::StatusCode as Code,
    response::{IntoResponse as _, Response as Answer},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Guarded, but, send};
use crate::support::{
    error_of,
    issuer::{Issuer, Key},
};

/// The issuer's description of itself, and its keys.
const DESCRIPTION: &str = "/realm/.well-known/openid-configuration";
const KEYS: &str = "/realm/keys";

#[tokio::test]
async fn a_rotated_key_counts_at_once_and_the_old_one_no_more() {
    let (old, new) = (Key::new("old", "ES256"), Key::new("new", "ES256"));
    let guarded = Guarded::start(&[&old], &[]).await;
    let claims = guarded.issuer.claims("alice");
    let (by_old, by_new) = (old.token(&claims), new.token(&claims));
    assert_eq!(guarded.ping(&by_old).await, StatusCode::OK);
    guarded.issuer.rotate(&[&old, &new]);
    // Many come with the new key at once, and none of them is refused.
    let pings = futures::future::join_all((0..20).map(|_| guarded.ping(&by_new)));
    assert!(pings.await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(guarded.issuer.asked(KEYS), 2, "asked once more, for all of them");
    assert_eq!(guarded.ping(&by_old).await, StatusCode::OK);
    // The old one is taken away: noticed when the keys are read again, here for a token of yet another.
    let newest = Key::new("newest", "EdDSA");
    guarded.issuer.rotate(&[&new, &newest]);
    assert_eq!(guarded.ping(&newest.token(&claims)).await, StatusCode::OK);
    assert_eq!(guarded.ping(&by_old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(guarded.ping(&by_new).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_is_taken_away_counts_until_the_keys_are_read_again() {
    let (old, new) = (Key::new("old", "ES256"), Key::new("new", "ES256"));
    let issuer = Issuer::start(&[&old]).await;
    let guarded = Guarded::with(issuer, &[], |times| times.refresh = Duration::from_millis(20)).await;
    let token = old.token(&guarded.issuer.claims("alice"));
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
    guarded.issuer.rotate(&[&new]);
    guarded.until_ping(&token, StatusCode::UNAUTHORIZED).await;
}

/// Anybody can make tokens of unknown keys.
#[tokio::test]
async fn tokens_of_unknown_keys_do_not_have_the_issuer_asked_each_time() {
    let key = Key::new("a", "ES256");
    let issuer = Issuer::start(&[&key]).await;
    let guarded = Guarded::with(issuer, &[], |times| times.unknown = Duration::from_hours(1)).await;
    let claims = guarded.issuer.claims("alice");
    for number in 0..50 {
        let unknown = json!({ "alg": "ES256", "kid": number.to_string() });
        assert_eq!(
            guarded.ping(&key.sign(&unknown, &claims)).await,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(guarded.issuer.asked(KEYS), 4, "at the start, and three times");
    assert_eq!(guarded.ping(&key.token(&claims)).await, StatusCode::OK);
}

#[tokio::test]
async fn while_the_issuer_is_away_its_last_keys_count() {
    let key = Key::new("a", "ES256");
    let issuer = Issuer::start(&[&key]).await;
    let mut guarded = Guarded::with(issuer, &[], |times| times.refresh = Duration::from_millis(20)).await;
    let token = key.token(&guarded.issuer.claims("alice"));
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
    guarded.issuer.stop().await;
    let failed = "iam_mcp_oidc_key_refreshes_total{outcome=\"unreachable\"} 3";
    guarded.server.until_metric(failed).await;
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
    let new = key.token(&guarded.issuer.claims("bob"));
    assert_eq!(
        guarded.ping(&new).await,
        StatusCode::OK,
        "not only what is remembered"
    );
    // An issuer that says it has no keys is no better than one that is away.
    guarded.issuer.publish(KEYS, json!({ "keys": [] }));
    guarded.issuer.start_again().await;
    guarded
        .server
        .until_metric("iam_mcp_oidc_key_refreshes_total{outcome=\"no_keys\"} 3")
        .await;
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
}

#[tokio::test]
async fn its_last_keys_count_for_some_time_only() {
    let key = Key::new("a", "ES256");
    let issuer = Issuer::start(&[&key]).await;
    let mut guarded = Guarded::with(issuer, &[], |times| {
        times.refresh = Duration::from_millis(20);
        times.stale = Duration::from_secs(1);
    })
    .await;
    let token = key.token(&guarded.issuer.claims("alice"));
    guarded.until_ping(&token, StatusCode::OK).await;
    guarded.issuer.stop().await;
    guarded.until_ping(&token, StatusCode::SERVICE_UNAVAILABLE).await;
    guarded.issuer.start_again().await;
    guarded.until_ping(&token, StatusCode::OK).await;
}

/// 503 and not 401: no other token would help, and clients throw away what is 401.
#[tokio::test]
async fn without_any_keys_nobody_is_served_until_there_are() {
    let key = Key::new("a", "ES256");
    let mut issuer = Issuer::start(&[&key]).await;
    issuer.stop().await;
    let mut guarded = Guarded::with(issuer, &[], |times| times.refresh = Duration::from_millis(20)).await;
    let token = key.token(&guarded.issuer.claims("alice"));
    let refused = send(guarded.request("POST", "/mcp").bearer_auth(&token)).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, _, message) = error_of(refused).await;
    assert_eq!(status, 503, "{message}");
    assert!(message.contains("cannot be asked for its keys"), "{message}");
    let without = send(guarded.request("POST", "/mcp")).await;
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    assert!(guarded.counted("issuer_away").await > 0);
    guarded.issuer.start_again().await;
    guarded.until_ping(&token, StatusCode::OK).await;
}

/// What an issuer can answer that must not be believed.
#[tokio::test]
async fn what_is_wrong_with_an_issuers_answer_is_counted_and_nothing_is_believed() {
    type Break = fn(&Issuer);
    fn large() -> Answer {
        " ".repeat(300 << 10).into_response()
    }
    fn describe(issuer: &Issuer, change: Value) {
        let url = &issuer.url;
        let described = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        issuer.publish(DESCRIPTION, but(described, change));
    }
    fn endless() -> Answer {
        Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>()).into_response()
    }
    let breaks: [(&str, Break); 10] = [
        // Good ones, had they been followed.
        ("redirected", |issuer| issuer.relocate(DESCRIPTION, "/elsewhere")),
        ("redirected", |issuer| issuer.relocate(KEYS, "/elsewhere")),
        ("slow", |issuer| issuer.instead(Some(endless))),
        ("too_large", |issuer| issuer.instead(Some(large))),
        ("garbled", |issuer| {
            issuer.instead(Some(|| "<html>".into_response()));
        }),
        ("status", |issuer| {
            issuer.instead(Some(|| Code::BAD_GATEWAY.into_response()));
        }),
        ("another_issuer", |issuer| {
            let like_it = format!("{}/", issuer.url);
            describe(issuer, json!({ "issuer": like_it }));
        }),
        ("insecure", |issuer| {
            describe(issuer, json!({ "jwks_uri": "http://192.0.2.1/keys" }));
        }),
        ("no_keys", |issuer| {
            issuer.publish(KEYS, json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }));
        }),
        ("status", |issuer| issuer.withdraw(KEYS)),
    ];
    let key = Key::new("a", "ES256");
    for (outcome, damage) in breaks {
        let issuer = Issuer::start(&[&key]).await;
        damage(&issuer);
        let guarded = Guarded::with(issuer, &[], |times| {
            if outcome == "slow" {
                times.answer = Duration::from_millis(200);
            }
        })
        .await;
        let token = key.token(&guarded.issuer.claims("alice"));
        assert_eq!(
            guarded.ping(&token).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "{outcome}"
        );
        let metrics = guarded.server.metrics().await;
        let counted = format!("iam_mcp_oidc_key_refreshes_total{{outcome=\"{outcome}\"}}");
        assert!(metrics.contains(&counted), "no {counted} in\n{metrics}");
    }
}

#[tokio::test]
async fn keys_are_found_where_issuers_have_them() {
    let key = Key::new("a", "ES256");
    // RFC 8414: the path comes after the well-known part.
    let issuer = Issuer::start(&[&key]).await;
    issuer.withdraw(DESCRIPTION);
    let described = json!({ "issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url) });
    issuer.publish("/.well-known/oauth-authorization-server/realm", described);
    let guarded = Guarded::with(issuer, &[], |_| {}).await;
    let token = key.token(&guarded.issuer.claims("alice"));
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
    // An issuer that does not describe itself at all.
    let issuer = Issuer::start(&[&key]).await;
    issuer.withdraw(DESCRIPTION);
    let keys = format!("{}/keys", issuer.url);
    let guarded = Guarded::with(issuer, &[("OIDC_JWKS_URL", &keys)], |_| {}).await;
    let token = key.token(&guarded.issuer.claims("alice"));
    assert_eq!(guarded.ping(&token).await, StatusCode::OK);
}
