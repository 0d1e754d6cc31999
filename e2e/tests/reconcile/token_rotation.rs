//! A new token, on demand and on a schedule: taken by every pod before clients are given it, and the old one taken as
//! long as they may show it. The same schedule for the session key.

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use ring::digest;
use serde_json::{Value, json};

use crate::access::text;

const TOKEN: &str = "jobs-token";

fn id(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, &[b"iam-mcp key id", token.as_bytes()].concat());
    let digits = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

/// `token`, `token-next`, `token-previous`, and the file that pods read.
async fn tokens(sandbox: &Sandbox) -> ([Option<String>; 3], String) {
    let secret: Secret = sandbox.api().get(TOKEN).await.expect("the Secret");
    let tokens = ["token", "token-next", "token-previous"].map(|key| text(&secret, key));
    (tokens, text(&secret, "tokens").expect("the file"))
}

/// Waits until tokens are there or not as `there` says, and gives them.
async fn become_(sandbox: &Sandbox, there: [bool; 3]) -> [Option<String>; 3] {
    eventually(SOON, &format!("tokens as in {there:?}"), || async {
        let (tokens, file) = tokens(sandbox).await;
        when(tokens.each_ref().map(Option::is_some) == there, there)?;
        // The file has exactly those, all of one principal.
        let lines = tokens
            .iter()
            .flatten()
            .map(|token| format!("generated {token}\n"));
        let lines = lines.collect::<Vec<_>>().concat();
        when(file == lines, "another file")?;
        Ok(tokens)
    })
    .await
}

async fn note(sandbox: &Sandbox, secret: &str, annotation: &str, ago: SignedDuration) {
    let patch = json!({"metadata": {"annotations": {annotation: Timestamp::now() - ago}}});
    sandbox.patch::<Secret>(secret, "a-person", patch).await;
}

fn spec(generated: &Value) -> Value {
    json!({"replicas": 2, "auth": {"bearer": {"generated": generated}}})
}

#[tokio::test]
async fn a_token_is_published_when_all_take_it_and_goes_after_a_week() {
    let sandbox = Sandbox::new("token").await;
    sandbox.serve(NAME, spec(&json!({}))).await;
    let ([old, ..], _) = tokens(&sandbox).await;
    let old_id = id(old.as_deref().unwrap());
    let pods = sandbox
        .run_pods(NAME, 2, |_, says| says.accepted_tokens = vec![old_id.clone()])
        .await;
    let wish = json!({"metadata": {"annotations": {"iam-mcp.dev/rotate-token": "1"}}});
    sandbox.patch::<McpServer>(NAME, "a-person", wish).await;
    let [shown, next, _] = become_(&sandbox, [true, true, false]).await;
    assert_eq!(shown, old, "clients are not given the new one yet");
    sandbox.event(NAME, "KeyRotationStarted", &["a new token"]).await;

    // One pod lags, as kubelets do.
    let both = vec![old_id, id(next.as_deref().unwrap())];
    pods[0].server.say(|says| says.accepted_tokens.clone_from(&both));
    for pod in &pods {
        pod.server.asked_again().await;
        pod.server.asked_again().await;
    }
    assert_eq!(
        tokens(&sandbox).await.0[0],
        old,
        "published before the second pod takes it"
    );
    pods[1].server.say(|says| says.accepted_tokens.clone_from(&both));
    let [shown, _, previous] = become_(&sandbox, [true, false, true]).await;
    assert_eq!((&shown, &previous), (&next, &old));
    sandbox.event(NAME, "KeyPromoted", &["for 7 days"]).await;

    // Nothing more is written there until the week is over.
    sandbox.quiet().await;
    let version = || async {
        sandbox
            .api::<Secret>()
            .get(TOKEN)
            .await
            .unwrap()
            .resource_version()
    };
    let before = version().await;
    sandbox.passes(NAME, 1).await;
    assert_eq!(version().await, before);
    note(
        &sandbox,
        TOKEN,
        "iam-mcp.dev/token-since",
        SignedDuration::from_hours(7 * 24 + 1),
    )
    .await;
    assert_eq!(become_(&sandbox, [true, false, false]).await[0], next);
    sandbox.event(NAME, "KeyRetired", &["token"]).await;
}

#[tokio::test]
async fn a_token_that_is_old_enough_is_followed_by_another() {
    let sandbox = Sandbox::new("token").await;
    sandbox.serve(NAME, spec(&json!({"rotateEvery": "720h"}))).await;
    note(
        &sandbox,
        TOKEN,
        "iam-mcp.dev/token-made",
        SignedDuration::from_hours(719),
    )
    .await;
    sandbox.passes(NAME, 1).await;
    assert!(tokens(&sandbox).await.0[1].is_none(), "an hour is left");
    note(
        &sandbox,
        TOKEN,
        "iam-mcp.dev/token-made",
        SignedDuration::from_hours(721),
    )
    .await;
    // No pod runs, so none has to take it first.
    become_(&sandbox, [true, false, true]).await;
    note(
        &sandbox,
        TOKEN,
        "iam-mcp.dev/token-since",
        SignedDuration::from_hours(7 * 24 + 1),
    )
    .await;
    let [last, ..] = become_(&sandbox, [true, false, false]).await;
    sandbox.passes(NAME, 1).await;
    assert_eq!(tokens(&sandbox).await.0[0], last, "it is new, and rests");
}

#[tokio::test]
async fn a_session_key_that_is_old_enough_is_followed_by_another() {
    let sandbox = Sandbox::new("token").await;
    let every = json!({"replicas": 0, "sessions": {"rotateKeyEvery": "192h"}});
    sandbox.serve(NAME, every).await;
    let key = |secret: &Secret| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get("session-key"))
            .cloned()
    };
    let old = key(&sandbox.api::<Secret>().get("jobs-keys").await.unwrap());
    note(
        &sandbox,
        "jobs-keys",
        "iam-mcp.dev/session-key-made",
        SignedDuration::from_hours(193),
    )
    .await;
    let new = sandbox
        .child::<Secret>("jobs-keys", "another key", |secret| key(secret) != old)
        .await;
    let made = new.annotations().get("iam-mcp.dev/session-key-made").unwrap();
    let age = Timestamp::now().duration_since(made.parse().unwrap());
    assert!(age < SignedDuration::from_hours(1), "{made}");
}
