//! Servers that ask for a token: where it comes from, and how the operator shows it.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::{Value, json};

use crate::health::{asked_again, asking, verified};

/// The Secret with the token that the operator made.
const TOKEN: &str = "jobs-token";

fn generated() -> Value {
    json!({"replicas": 1, "auth": {"bearer": {"generated": {}}}})
}

fn referenced() -> Value {
    json!({"replicas": 1, "auth": {"bearer": {"tokensSecretRef": {"name": "clients", "key": "list"}}}})
}

/// What stands in a Secret, as text.
pub(crate) fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(value.0.clone()).expect("text"))
}

#[tokio::test]
async fn a_token_is_made_once_and_is_the_servers() {
    let mut sandbox = Sandbox::new("access").await;
    let server = sandbox.serve(NAME, generated()).await;
    let secret: Secret = sandbox.api().get(TOKEN).await.unwrap();
    let token = text(&secret, "token").unwrap();
    assert!(
        token.starts_with("iam_") && token.len() == 47,
        "{} characters",
        token.len()
    );
    assert_eq!(text(&secret, "tokens").unwrap(), format!("generated {token}\n"));
    let owner = &secret.owner_references()[0];
    assert_eq!(
        (owner.uid.as_str(), owner.controller),
        (server.uid().unwrap().as_str(), Some(true))
    );
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let template = serde_json::to_string(&deployment.spec).unwrap();
    assert!(template.contains("AUTH_TOKENS_FILE") && !template.contains(&token));

    sandbox.passes(NAME, 2).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.looked_at(1).await;
    assert_eq!(sandbox.operator().writes().await, 0);
    let after: Secret = sandbox.api().get(TOKEN).await.unwrap();
    assert_eq!(after.resource_version(), secret.resource_version());

    // Gone, as after a leak: another one, at once.
    let params = DeleteParams::default();
    sandbox.api::<Secret>().delete(TOKEN, &params).await.unwrap();
    let new = sandbox
        .child::<Secret>(TOKEN, "a new token", |new| new.uid() != secret.uid())
        .await;
    assert_ne!(text(&new, "token").unwrap(), token);
}

#[tokio::test]
async fn an_edited_file_is_made_right_again() {
    let sandbox = Sandbox::new("access").await;
    sandbox.serve(NAME, generated()).await;
    let secret: Secret = sandbox.api().get(TOKEN).await.unwrap();
    let right = text(&secret, "tokens");
    let edit = json!({"stringData": {"tokens": "somebody 0123456789abcdef"}});
    sandbox.patch::<Secret>(TOKEN, "a-person", edit).await;
    sandbox
        .child::<Secret>(TOKEN, "the file as it was", |secret| {
            text(secret, "tokens") == right
        })
        .await;
}

#[tokio::test]
async fn a_secret_of_somebody_elses_is_not_taken() {
    let sandbox = Sandbox::new("access").await;
    sandbox
        .create::<Secret>(json!({"metadata": {"name": TOKEN}, "stringData": {"token": "mine"}}))
        .await;
    sandbox.submit(NAME, generated()).await;
    let why = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    assert!(why.contains(TOKEN), "{why}");
    let secret: Secret = sandbox.api().get(TOKEN).await.unwrap();
    assert_eq!(text(&secret, "token").unwrap(), "mine");
}

#[tokio::test]
async fn a_server_is_asked_with_the_token_that_was_made() {
    let sandbox = asking("access").await;
    sandbox.serve(NAME, generated()).await;
    let secret: Secret = sandbox.api().get(TOKEN).await.unwrap();
    let token = text(&secret, "token");
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.token.clone_from(&token))
        .await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;

    // A pod that does not know it yet is no outage.
    pods[0]
        .server
        .say(|says| says.mcp.token = Some("another".to_owned()));
    let why = verified(&sandbox, NAME, "Unknown", Reason::NotAuthorized).await;
    assert!(why.contains("refuses the token"), "{why}");
    pods[0].server.say(|says| says.mcp.token = token);
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
}

#[tokio::test]
async fn a_server_is_asked_with_a_token_of_the_secret_that_is_named() {
    let sandbox = asking("access").await;
    sandbox.submit(NAME, referenced()).await;
    let why = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretNotFound)
        .await;
    assert!(why.contains("spec.auth.bearer.tokensSecretRef"), "{why}");
    let token = "0123456789abcdef";
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.token = Some(token.to_owned()))
        .await;
    let why = verified(&sandbox, NAME, "Unknown", Reason::CredentialMissing).await;
    assert!(why.contains("clients does not exist"), "{why}");

    let list = format!("# people\nbad short\nalice {token}\n");
    let secret = json!({"metadata": {"name": "clients"}, "stringData": {"list": list}});
    sandbox.create::<Secret>(secret).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    asked_again(&pods[0]).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
}

#[tokio::test]
async fn an_issuers_server_is_unknown_and_not_broken() {
    let sandbox = asking("access").await;
    let oidc = json!({"oidc": {"issuer": "https://login.example.com", "audiences": ["jobs"]}});
    sandbox.serve(NAME, json!({"replicas": 1, "auth": oidc})).await;
    let _pods = sandbox
        .run_pods(NAME, 1, |_, says| {
            says.mcp.token = Some("of the issuer".to_owned());
        })
        .await;
    let why = verified(&sandbox, NAME, "Unknown", Reason::CredentialMissing).await;
    assert!(why.contains("only its issuer makes tokens"), "{why}");
}

#[tokio::test]
async fn a_new_token_is_shown_without_a_reconcile() {
    let sandbox = asking("access").await;
    let first = "0123456789abcdef";
    let secret = json!({"metadata": {"name": "clients"}, "stringData": {"list": first}});
    sandbox.create::<Secret>(secret).await;
    sandbox.serve(NAME, referenced()).await;
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.token = Some(first.to_owned()))
        .await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    let second = "fedcba9876543210";
    pods[0]
        .server
        .say(|says| says.mcp.token = Some(second.to_owned()));
    sandbox
        .patch::<Secret>("clients", "a-person", json!({"stringData": {"list": second}}))
        .await;
    asked_again(&pods[0]).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
}
