//! A change of the spec replaces pods, and one that cannot work leaves the old ones.

use std::time::Duration;

use iam_mcp_e2e::{
    poll::{eventually, when},
    sandbox::Sandbox,
};
use serde_json::json;

use crate::{operator, pods, ready};

#[tokio::test]
async fn a_rollout_replaces_pods_and_the_status_follows() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("rollout", &[]).await;
    sandbox.submit("jobs", json!({"replicas": 1})).await;
    ready(&sandbox, "jobs").await;
    let before = pods(&sandbox, "jobs").await;
    sandbox.change("jobs", json!({"logLevel": "DEBUG"})).await;
    sandbox
        .kubectl(&[
            "wait",
            "mcps/jobs",
            "--for=condition=Progressing=True",
            "--timeout=30s",
        ])
        .await;
    sandbox
        .kubectl(&[
            "wait",
            "mcps/jobs",
            "--for=condition=Progressing=False",
            "--timeout=120s",
        ])
        .await;
    ready(&sandbox, "jobs").await;
    let what = "the old pod to go";
    eventually(Duration::from_mins(1), what, || async {
        let now = pods(&sandbox, "jobs").await;
        when(now.len() == 1 && now.keys().ne(before.keys()), now)
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_told_and_the_old_pods_stay() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("image", &[]).await;
    sandbox.submit("jobs", json!({"replicas": 1})).await;
    ready(&sandbox, "jobs").await;
    let before = pods(&sandbox, "jobs").await;
    sandbox
        .change(
            "jobs",
            json!({"image": "localhost/absent:1", "imagePullPolicy": "Never"}),
        )
        .await;
    sandbox
        .kubectl(&[
            "wait",
            "mcps/jobs",
            "--for=condition=Progressing=True",
            "--timeout=30s",
        ])
        .await;
    eventually(
        Duration::from_mins(1),
        "a pod of the new template beside the old one",
        || async {
            let now = pods(&sandbox, "jobs").await;
            when(now.len() == 2, now)
        },
    )
    .await;
    let now = pods(&sandbox, "jobs").await;
    assert!(
        before.keys().all(|uid| now.contains_key(uid)),
        "the pod that serves stays: {before:?} {now:?}"
    );
    ready(&sandbox, "jobs").await;
}
