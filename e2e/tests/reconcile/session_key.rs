//! The Secret `NAME-keys`: made once, completed, and else left alone.

use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;

const KEYS: &str = "jobs-keys";

pub(crate) fn key(secret: &Secret) -> Option<Vec<u8>> {
    secret
        .data
        .as_ref()?
        .get("session-key")
        .map(|bytes| bytes.0.clone())
}

#[tokio::test]
async fn keys_are_written_once() {
    let mut sandbox = Sandbox::new("keys").await;
    sandbox.serve(NAME, json!({})).await;
    let first: Secret = sandbox.api().get(KEYS).await.unwrap();
    sandbox.passes(NAME, 3).await;
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    let last: Secret = sandbox.api().get(KEYS).await.unwrap();
    assert_eq!(last.resource_version(), first.resource_version());
}

#[tokio::test]
async fn a_deleted_secret_is_made_anew() {
    let sandbox = Sandbox::new("keys").await;
    sandbox.serve(NAME, json!({})).await;
    let first: Secret = sandbox.api().get(KEYS).await.unwrap();
    sandbox
        .api::<Secret>()
        .delete(KEYS, &DeleteParams::default())
        .await
        .unwrap();
    let second = sandbox
        .child::<Secret>(KEYS, "a new Secret", |secret| secret.uid() != first.uid())
        .await;
    assert_eq!(key(&second).unwrap().len(), 32);
    assert_ne!(key(&second), key(&first), "a new key, not a constant");
}

#[tokio::test]
async fn a_missing_key_is_added_beside_what_is_there() {
    let sandbox = Sandbox::new("keys").await;
    sandbox.serve(NAME, json!({})).await;
    let patch = json!({"data": {"session-key": null, "mine": "bWluZQ=="}});
    sandbox.patch::<Secret>(KEYS, "a-person", patch).await;
    let secret = sandbox
        .child::<Secret>(KEYS, "the key to be added", |secret| key(secret).is_some())
        .await;
    assert_eq!(key(&secret).unwrap().len(), 32);
    assert_eq!(
        secret.data.unwrap()["mine"].0,
        b"mine",
        "a key of somebody else stays"
    );
}
