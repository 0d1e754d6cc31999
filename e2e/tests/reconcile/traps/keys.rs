//! Traps about keys and Secrets.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use serde_json::json;

use crate::session_key::key;

/// Seen in others: a constant seals the sessions of every installation that nobody configured.
#[tokio::test]
async fn a_default_insecure_key() {
    let sandbox = Sandbox::new("keys").await;
    for name in ["one", "two"] {
        sandbox.submit(name, json!({})).await;
    }
    let mut keys = Vec::new();
    for name in ["one-keys", "two-keys"] {
        let secret = eventually(SOON, name, || async {
            sandbox.api::<Secret>().get(name).await.map_err(|e| e.to_string())
        });
        keys.push(key(&secret.await).unwrap());
    }
    assert_ne!(keys[0], keys[1]);
}

/// Seen in others: a pass phrase is stretched for each session, tens of milliseconds of a CPU. Here the key is random and of
/// full strength, so there is nothing to stretch.
#[tokio::test]
async fn an_expensive_kdf_per_session() {
    let sandbox = Sandbox::new("keys").await;
    sandbox.serve(NAME, json!({})).await;
    let secret: Secret = sandbox.api().get("jobs-keys").await.unwrap();
    let bytes = key(&secret).unwrap();
    assert_eq!(bytes.len(), 32, "256 bits");
    let distinct: std::collections::BTreeSet<u8> = bytes.iter().copied().collect();
    assert!(distinct.len() > 16, "32 random bytes, not a text: {distinct:?}");
}

/// Seen in others: pods go on with the old key until somebody restarts them.
#[tokio::test]
async fn a_changed_secret_never_reaches_the_pods() {
    let sandbox = Sandbox::new("rapidapi").await;
    let secret = json!({"metadata": {"name": "rapidapi"}, "stringData": {"token": "first"}});
    sandbox.create::<Secret>(secret).await;
    let reference = json!({"name": "rapidapi", "key": "token"});
    sandbox
        .serve(
            NAME,
            json!({"jobSearch": {"rapidApi": {"keySecretRef": reference}}}),
        )
        .await;
    let before: Deployment = sandbox.api().get(NAME).await.unwrap();
    let pod = before.spec.as_ref().unwrap().template.spec.clone().unwrap();
    let volumes = pod.volumes.unwrap_or_default();
    let volume = volumes.iter().find(|v| {
        v.secret
            .as_ref()
            .is_some_and(|s| s.secret_name.as_deref() == Some("rapidapi"))
    });
    let name = &volume
        .expect("the Secret is a volume, which the kubelet renews")
        .name;
    let mounts = pod.containers[0].volume_mounts.clone().unwrap_or_default();
    let mount = mounts
        .iter()
        .find(|mount| mount.name == *name)
        .expect("and mounted");
    assert_eq!(
        (&mount.sub_path, &mount.sub_path_expr),
        (&None, &None),
        "with a sub-path it would never be renewed"
    );
    let env = pod.containers[0].env.clone().unwrap_or_default();
    let pinned = env.iter().any(|v| {
        v.value_from
            .as_ref()
            .is_some_and(|from| from.secret_key_ref.is_some())
    });
    assert!(!pinned, "a variable would keep what it had at the start");

    sandbox
        .patch::<Secret>("rapidapi", "a-person", json!({"stringData": {"token": ""}}))
        .await;
    sandbox
        .change(NAME, json!({"jobSearch": {"provider": "JSearch"}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::SecretKeyNotFound)
        .await;
    let version = sandbox
        .api::<Deployment>()
        .get(NAME)
        .await
        .unwrap()
        .metadata
        .generation;
    sandbox
        .patch::<Secret>("rapidapi", "a-person", json!({"stringData": {"token": "second"}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    let after = sandbox
        .api::<Deployment>()
        .get(NAME)
        .await
        .unwrap()
        .metadata
        .generation;
    assert_eq!(after, version, "no pod is replaced for a key");
}
