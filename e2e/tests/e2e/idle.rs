//! When nothing happens the operator writes nothing but its Lease.

use std::time::Duration;

use iam_mcp_e2e::{audit, helm, poll::steady, sandbox::Sandbox};
use jiff::Timestamp;
use serde_json::json;

use crate::{operator, ready};

/// How long is looked.
const IDLE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_minute_without_change_is_a_minute_without_writes() {
    let _operator = operator().await;
    let sandbox = Sandbox::namespace_only("idle", &[]).await;
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 1});
    sandbox.submit("plain", json!({"replicas": 1})).await;
    // The status of its HPA changes all the time.
    sandbox
        .submit(
            "full",
            json!({"autoscaling": autoscaling, "ingress": {"host": "jobs.example.com"}}),
        )
        .await;
    for name in ["plain", "full"] {
        ready(&sandbox, name).await;
    }
    let user = format!("system:serviceaccount:{}:{}", helm::NAMESPACE, helm::RELEASE);
    let begin = Timestamp::UNIX_EPOCH;
    let ours = |since: Timestamp| {
        let all = audit::writes(&user, since).into_iter();
        all.filter(|line| line.contains(sandbox.namespace()))
            .collect::<Vec<_>>()
    };
    steady(
        Duration::from_mins(1),
        Duration::from_secs(3),
        "writes of the operator",
        || async { ours(begin).len() },
    )
    .await;
    assert!(
        ours(begin).len() >= 10,
        "the audit log shows what made the servers: {:?}",
        ours(begin)
    );

    let start = Timestamp::now();
    tokio::time::sleep(IDLE).await;
    assert_eq!(ours(start), Vec::<String>::new(), "writes in an idle minute");
    let leases = audit::writes(&user, start)
        .into_iter()
        .filter(|line| line.contains(" leases "))
        .count();
    assert!(
        leases >= 10,
        "it renewed its Lease {leases} times, so it was there"
    );
    helm::assert_nothing_forbidden().await;
}
