//! A new session key on demand: accepted by every pod before it seals, and the old one kept as long as it may
//! be needed.

use std::time::Duration;

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    fake_pods::RunningPod,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use ring::digest;
use serde_json::json;

const KEYS: &str = "jobs-keys";
const ANNOTATION: &str = "iam-mcp.dev/rotate-session-key";

fn id(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, &[b"iam-mcp key id", key].concat());
    digest.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// Ids of `session-key`, `session-key-next` and `session-key-previous`.
async fn keys(sandbox: &Sandbox) -> [Option<String>; 3] {
    let secret: Secret = sandbox.api().get(KEYS).await.expect("the Secret");
    let data = secret.data.expect("data");
    ["session-key", "session-key-next", "session-key-previous"]
        .map(|name| data.get(name).map(|key| id(&key.0)))
}

async fn wish(sandbox: &Sandbox, value: &str) {
    let patch = json!({"metadata": {"annotations": {ANNOTATION: value}}});
    sandbox.patch::<McpServer>(NAME, "a-person", patch).await;
}

/// Waits until keys are there or not as `there` says, and gives their ids.
async fn become_(sandbox: &Sandbox, within: Duration, there: [bool; 3]) -> [Option<String>; 3] {
    eventually(within, &format!("keys as in {there:?}"), || async {
        let keys = keys(sandbox).await;
        when(keys.each_ref().map(Option::is_some) == there, &keys)?;
        Ok(keys)
    })
    .await
}

/// Lets a pod take up the keys as they are now.
async fn take_up(sandbox: &Sandbox, pod: &RunningPod) {
    let keys = keys(sandbox).await;
    pod.server.say(|says| {
        says.sealing_key = keys[0].clone().unwrap_or_default();
        says.accepted_keys = keys.into_iter().flatten().collect();
    });
}

#[tokio::test]
async fn a_key_is_promoted_when_all_accept_it_and_retired_when_none_needs_it() {
    let sandbox = Sandbox::new("rotate").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let pods = sandbox.run_pods(NAME, 2, |_, says| says.sessions = 8).await;
    for pod in &pods {
        take_up(&sandbox, pod).await;
    }
    let [old, ..] = keys(&sandbox).await;
    wish(&sandbox, "1").await;
    let [sealing, next, _] = become_(&sandbox, SOON, [true, true, false]).await;
    assert_eq!(sealing, old, "the new key does not seal yet");
    sandbox
        .event(NAME, "KeyRotationStarted", &["every running pod"])
        .await;

    // One pod lags, as kubelets do.
    take_up(&sandbox, &pods[0]).await;
    for pod in &pods {
        pod.server.asked_again().await;
        pod.server.asked_again().await;
    }
    assert_eq!(
        keys(&sandbox).await[0],
        old,
        "promoted before the second pod accepts it"
    );
    take_up(&sandbox, &pods[1]).await;
    let [sealing, _, previous] = become_(&sandbox, SOON, [true, false, true]).await;
    assert_eq!((&sealing, &previous), (&next, &old));
    sandbox.event(NAME, "KeyPromoted", &[]).await;

    for pod in &pods {
        take_up(&sandbox, pod).await;
        pod.server.asked_again().await;
    }
    sandbox.quiet().await;
    let writes = sandbox.operator().writes().await;
    pods[0].server.asked_again().await;
    assert_eq!(
        sandbox.operator().writes().await,
        writes,
        "waiting writes nothing"
    );
    assert_eq!(
        keys(&sandbox).await[2],
        old,
        "the pods have sessions that the old key sealed"
    );

    // A week and an hour later, by the note on the Secret.
    let past = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(7 * 24 + 1);
    let patch = json!({"metadata": {"annotations": {"iam-mcp.dev/session-key-since": past}}});
    sandbox.patch::<Secret>(KEYS, "a-person", patch).await;
    assert_eq!(become_(&sandbox, SOON, [true, false, false]).await[0], next);
    sandbox.event(NAME, "KeyRetired", &[]).await;

    // The same wish again is none.
    sandbox.settle(NAME).await;
    let before: Secret = sandbox.api().get(KEYS).await.unwrap();
    sandbox.passes(NAME, 2).await;
    let after: Secret = sandbox.api().get(KEYS).await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version());
}

#[tokio::test]
async fn a_rotation_survives_a_new_operator_and_a_lone_pod() {
    let mut sandbox = Sandbox::new("rotate").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, _| ()).await;
    take_up(&sandbox, &pods[0]).await;
    wish(&sandbox, "1").await;
    let [_, next, _] = become_(&sandbox, SOON, [true, true, false]).await;
    sandbox.stop_operator().await;
    take_up(&sandbox, &pods[0]).await;
    sandbox.start_operator().await;
    assert_eq!(become_(&sandbox, SOON, [true, false, true]).await[0], next);
}

#[tokio::test]
async fn without_pods_a_rotation_goes_through_by_itself() {
    let sandbox = Sandbox::new("rotate").await;
    sandbox.serve(NAME, json!({"replicas": 0})).await;
    let [old, ..] = keys(&sandbox).await;
    wish(&sandbox, "1").await;
    become_(&sandbox, SOON, [true, false, true]).await;
    let [new, ..] = become_(&sandbox, Duration::from_mins(2), [true, false, false]).await;
    assert_ne!(new, old);
}

#[tokio::test]
async fn a_wish_that_comes_with_the_server_makes_one_key() {
    let sandbox = Sandbox::new("rotate").await;
    let mut server = iam_mcp_e2e::servers::server(NAME, json!({"replicas": 0}));
    server
        .annotations_mut()
        .insert(ANNOTATION.to_owned(), "1".to_owned());
    let created = sandbox
        .api()
        .create(&kube::api::PostParams::default(), &server)
        .await;
    created.expect("the API server takes the McpServer");
    sandbox.settle(NAME).await;
    sandbox.passes(NAME, 1).await;
    let keys = keys(&sandbox).await;
    assert_eq!(keys.each_ref().map(Option::is_some), [true, false, false]);
    assert!(sandbox.events(NAME, "KeyRotationStarted").await.is_empty());
}
