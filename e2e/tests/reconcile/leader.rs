//! Two operators and one Lease: one acts, and the other takes over.

use std::time::{Duration, Instant};

use iam_mcp_e2e::{
    operator::Operator,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use serde_json::json;

const LEASE: &str = "iam-mcp-operator";

async fn candidate(sandbox: &Sandbox, identity: &str) -> Operator {
    let namespace = sandbox.namespace();
    let more = [
        "--leader-elect",
        "--lease-namespace",
        namespace,
        "--identity",
        identity,
    ];
    Operator::start_with(namespace, &more).await
}

async fn leads(operator: &Operator, within: Duration) -> Duration {
    let start = Instant::now();
    eventually(within, "it to lead", || async {
        let leader = operator.metrics().await.sum("mcp_operator_leader", &[]);
        when(leader == 1, leader)
    })
    .await;
    start.elapsed()
}

async fn holder(sandbox: &Sandbox) -> String {
    let lease = sandbox.api::<Lease>().get(LEASE).await.unwrap();
    lease.spec.and_then(|s| s.holder_identity).unwrap_or_default()
}

#[tokio::test]
async fn one_acts_and_a_clean_stop_hands_over_at_once() {
    let sandbox = Sandbox::without_operator("leader").await;
    let first = candidate(&sandbox, "first").await;
    leads(&first, SOON).await;
    let second = candidate(&sandbox, "second").await;
    sandbox.submit("one", json!({})).await;
    sandbox
        .child::<Deployment>("one", "the leader to act", |_| true)
        .await;
    assert_eq!(holder(&sandbox).await, "first");
    assert!(first.writes().await > 0);
    let idle = (
        second.metrics().await.sum("mcp_operator_leader", &[]),
        second.writes().await,
        second.passes().await,
    );
    assert_eq!(idle, (0, 0, 0), "leads, writes, passes of the standby");

    let (_, status) = first.stop().await;
    assert_eq!(status.code(), Some(0));
    let took = leads(&second, SOON).await;
    println!("handed over in {} ms", took.as_millis());
    assert!(
        took < Duration::from_secs(1),
        "a Lease that was given up is taken at once: {took:?}"
    );
    assert_eq!(holder(&sandbox).await, "second");
    sandbox.submit("two", json!({})).await;
    sandbox
        .child::<Deployment>("two", "the new leader to act", |_| true)
        .await;
    let metrics = second.metrics().await;
    assert_eq!(metrics.sum("mcp_operator_drift_repaired_total", &[]), 0);
}

#[tokio::test]
async fn the_lease_of_a_killed_leader_runs_out() {
    let sandbox = Sandbox::without_operator("leader").await;
    let mut first = candidate(&sandbox, "first").await;
    leads(&first, SOON).await;
    let second = candidate(&sandbox, "second").await;
    first.signal("KILL");
    first.ended(SOON).await;
    let took = leads(&second, SOON).await;
    println!("taken over in {} ms", took.as_millis());
    assert!(
        took > Duration::from_secs(5),
        "before the Lease ran out two could act: {took:?}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    sandbox.submit("one", json!({})).await;
    sandbox
        .child::<Deployment>("one", "the new leader to act", |_| true)
        .await;
}

#[tokio::test]
async fn a_leader_that_lost_its_lease_stops() {
    let sandbox = Sandbox::without_operator("leader").await;
    let mut first = candidate(&sandbox, "first").await;
    leads(&first, SOON).await;
    sandbox
        .patch::<Lease>(LEASE, "a-thief", json!({"spec": {"holderIdentity": "thief"}}))
        .await;
    let status = first.ended(SOON).await;
    assert_eq!(status.code(), Some(1), "so that its pod starts anew");
    assert_eq!(
        holder(&sandbox).await,
        "thief",
        "it does not give up what is not its own"
    );
}
