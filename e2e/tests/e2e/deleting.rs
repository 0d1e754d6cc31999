//! Deleting an McpServer does not wait for its drain.

use std::time::{Duration, Instant};

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    pods::RunningPod,
    poll::{eventually, when},
    sandbox::Sandbox,
};
use kube::api::DeleteParams;
use serde_json::json;

use crate::{operator, pods, ready};

/// What is left of an hour's drain: the grace that the operator sets, and some for a busy machine.
const GONE: Duration = Duration::from_secs(75);

#[tokio::test]
async fn streams_end_cleanly_and_soon() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("deleting", &[]).await;
    let spec = json!({"replicas": 1, "sessions": {"drainSeconds": 3600}});
    sandbox.submit("jobs", spec).await;
    ready(&sandbox, "jobs").await;
    let mut session = RunningPod::all(&sandbox, "jobs").await[0].client.open_sse().await;
    let start = Instant::now();
    let servers = sandbox.api::<McpServer>();
    servers.delete("jobs", &DeleteParams::default()).await.unwrap();
    let last = tokio::time::timeout(GONE, session.last_words()).await;
    let last = last.expect("the stream ends");
    assert!(last.contains(": drain deadline"), "cut off, not ended: {last:?}");
    eventually(GONE, "the pods to go", || async {
        let pods = pods(&sandbox, "jobs").await;
        when(pods.is_empty(), pods)
    })
    .await;
    assert!(start.elapsed() < GONE, "{:?}", start.elapsed());
}
