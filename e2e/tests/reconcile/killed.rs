//! An operator that is killed at any step: the next one goes on where it was, with nothing doubled and nothing lost.

use std::time::Duration;

use iam_mcp_e2e::{audit, fleet::Fleet, operator::Operator, poll::eventually, sandbox::Sandbox};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{ResourceExt as _, api::ListParams};

const SERVERS: usize = 100;
const KILLS: u64 = 50;
/// A new change of all servers after so many kills.
const KILLS_A_CHANGE: u64 = 10;

#[tokio::test]
async fn killed_at_any_step() {
    let sandbox = Sandbox::without_operator("killed").await;
    let namespace = sandbox.namespace();
    // The same name again, as a pod's container has after a restart.
    let arguments = [
        "--leader-elect",
        "--lease-namespace",
        namespace,
        "--identity",
        "pod",
    ];
    let mut fleet = Fleet::new(&sandbox, SERVERS, "image:0").await;
    let mut at_work = 0;
    for kill in 0..KILLS {
        if kill > 0 && kill % KILLS_A_CHANGE == 0 {
            fleet
                .change_all(&format!("image:{}", kill / KILLS_A_CHANGE))
                .await;
        }
        // 1 to 61, in an order that looks like none.
        let after = 1 + kill * 37 % 61;
        let mut operator = Operator::spawn(namespace, &arguments, &[]);
        let sent = operator.killed_after(after, SERVERS as u64).await;
        at_work += u64::from(sent >= after);
    }
    println!("{at_work} of {KILLS} were killed at work");
    assert!(at_work > KILLS * 4 / 5, "{at_work}");

    let operator = Operator::start_with(namespace, &arguments).await;
    eventually(Duration::from_mins(1), "all servers to be in order", || {
        fleet.in_order()
    })
    .await;
    let metrics = operator.metrics().await;
    let outcomes = metrics.of("mcp_operator_reconciliations_total");
    assert!(
        outcomes.iter().all(|(outcome, _)| outcome.contains("\"ok\"")),
        "{outcomes:?}"
    );

    let changes = i64::try_from(KILLS / KILLS_A_CHANGE).unwrap();
    let deployments = sandbox
        .api::<Deployment>()
        .list(&ListParams::default())
        .await
        .unwrap();
    for deployment in deployments {
        let generation = deployment.metadata.generation.unwrap_or_default();
        assert!(
            generation <= changes,
            "{} was changed {generation} times, the spec {changes} times",
            deployment.name_any()
        );
    }
    // What is never deleted cannot have been made twice; and a Secret that is never changed has the key that it began with.
    for write in audit::writes_in(namespace) {
        assert_ne!(write.verb, "delete", "nothing was there to be deleted: {write}");
        let is_change = ["patch", "update"].contains(&&*write.verb);
        assert!(
            !(write.resource == "secrets" && is_change),
            "a key was changed: {write}"
        );
    }
    let lease = sandbox.api::<Lease>().get("iam-mcp-operator").await.unwrap();
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    assert_eq!(holder.as_deref(), Some("pod"));
}
