//! The way to the API server breaks and comes back: whatever was missed meanwhile is made up for.

use std::time::Duration;

use iam_mcp_e2e::{
    api_proxy::{ApiProxy, Way},
    fleet::Fleet,
    identity::{self, Identity},
    operator::Operator,
    poll::{SOON, eventually},
    sandbox::Sandbox,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::api::DeleteParams;
use serde_json::json;

/// How long the API server is away.
const OUTAGE: Duration = Duration::from_secs(30);
/// Until all is made up for: the pauses between tries have grown meanwhile, to 30 s for a watch.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// A sandbox, a way to its API server that can break, and who goes that way.
async fn place(subject: &str) -> (Sandbox, ApiProxy, Identity) {
    let sandbox = Sandbox::without_operator(subject).await;
    let proxy = ApiProxy::start(&identity::api_server()).await;
    let identity = Identity::through(&sandbox.client, sandbox.namespace(), "operator", &proxy).await;
    (sandbox, proxy, identity)
}

async fn in_order(fleet: &Fleet<'_>, within: Duration) {
    eventually(within, "all servers to be in order", || fleet.in_order()).await;
}

/// What people do while the operator sees nothing: everything that a watch would tell.
async fn much_happens(sandbox: &Sandbox, fleet: &mut Fleet<'_>) {
    for name in ["s000", "s001", "s002"] {
        fleet.change(name, "image:2").await;
    }
    let services = sandbox.api::<Service>();
    services.delete("s003", &DeleteParams::default()).await.unwrap();
    let edited = json!({"spec": {"template": {"spec": {"serviceAccountName": "default"}}}});
    sandbox.patch::<Deployment>("s004", "a-person", edited).await;
    fleet.remove("s005").await;
    fleet.remove("s006").await;
    fleet.add("s006", "image:3").await;
    fleet.add("late", "image:4").await;
}

#[tokio::test]
async fn thirty_seconds_without_an_api_server() {
    let (sandbox, proxy, identity) = place("outage").await;
    let mut operator = Operator::start_with(sandbox.namespace(), &identity.arguments()).await;
    let mut fleet = Fleet::new(&sandbox, 8, "image:1").await;
    in_order(&fleet, SOON).await;

    proxy.set(Way::Gone);
    much_happens(&sandbox, &mut fleet).await;
    // Not a wait for something: it is how long the fault lasts.
    tokio::time::sleep(OUTAGE).await;
    assert!(operator.runs(), "it goes on trying");
    assert_eq!(operator.get("/livez").await.map(|(status, _)| status), Some(200));

    proxy.set(Way::Open);
    in_order(&fleet, AFTERWARDS).await;
    let edited = sandbox.api::<Deployment>().get("s004").await.unwrap();
    let account = edited
        .spec
        .and_then(|spec| spec.template.spec?.service_account_name);
    assert_eq!(account.as_deref(), Some("s004"), "the edit was undone");
}

#[tokio::test]
async fn a_leader_that_hears_nothing_stops_and_the_next_one_makes_up_for_it() {
    let (sandbox, proxy, identity) = place("silence").await;
    let namespace = sandbox.namespace();
    let arguments = [
        &identity.arguments()[..],
        &[
            "--leader-elect",
            "--lease-namespace",
            namespace,
            "--identity",
            "pod",
        ],
    ]
    .concat();
    let mut operator = Operator::start_with(namespace, &arguments).await;
    let mut fleet = Fleet::new(&sandbox, 8, "image:1").await;
    in_order(&fleet, SOON).await;

    proxy.set(Way::Silent);
    much_happens(&sandbox, &mut fleet).await;
    // 7 s without a renewal, of which the last may be 2 s old.
    let status = operator.ended(Duration::from_secs(12)).await;
    assert_eq!(status.code(), Some(1), "a leader that cannot renew stops");
    // As the kubelet does. It finds nobody who answers, and waits.
    let mut operator = Operator::spawn(namespace, &arguments, &[]);
    tokio::time::sleep(OUTAGE / 2).await;
    assert!(operator.runs(), "it goes on trying");

    proxy.set(Way::Open);
    in_order(&fleet, AFTERWARDS).await;
}

#[tokio::test]
async fn watches_that_are_cut_again_and_again() {
    /// Times that all connections are cut, and the pause between.
    const CUTS: u32 = 30;
    const EVERY: Duration = Duration::from_millis(500);
    let (sandbox, proxy, identity) = place("cut").await;
    let mut operator = Operator::start_with(sandbox.namespace(), &identity.arguments()).await;
    let mut fleet = Fleet::new(&sandbox, 8, "image:1").await;
    in_order(&fleet, SOON).await;
    let before = proxy.connections();

    let cutting = async {
        for _ in 0..CUTS {
            tokio::time::sleep(EVERY).await;
            proxy.cut();
        }
    };
    let happening = async {
        much_happens(&sandbox, &mut fleet).await;
        for round in 0..20 {
            fleet.change_all(&format!("image:1{round}")).await;
        }
    };
    tokio::join!(cutting, happening);
    in_order(&fleet, AFTERWARDS).await;
    assert!(operator.runs());
    let made = proxy.connections() - before;
    assert!(
        made > u64::from(CUTS),
        "only {made} connections had to be made anew"
    );
    let errors = operator
        .metrics()
        .await
        .sum("mcp_operator_watch_errors_total", &[]);
    assert!(errors > 0, "no watch noticed");
}

#[tokio::test]
async fn a_slow_api_server_costs_time_and_nothing_else() {
    /// On every request, as with an etcd that waits for a disk. Only of this operator: the cluster's etcd is that of all
    /// tests.
    const LATER: Duration = Duration::from_millis(500);
    let (sandbox, proxy, identity) = place("slow").await;
    let namespace = sandbox.namespace();
    let arguments = [
        &identity.arguments()[..],
        &[
            "--leader-elect",
            "--lease-namespace",
            namespace,
            "--identity",
            "pod",
        ],
    ]
    .concat();
    let mut operator = Operator::start_with(namespace, &arguments).await;
    proxy.set(Way::Slow(LATER));
    let mut fleet = Fleet::new(&sandbox, 10, "image:1").await;
    in_order(&fleet, AFTERWARDS).await;
    fleet.change_all("image:2").await;
    in_order(&fleet, AFTERWARDS).await;
    assert!(operator.runs(), "the Lease was renewed in time");
    let metrics = operator.metrics().await;
    let failed = metrics.of("mcp_operator_reconciliations_total");
    assert!(
        failed.iter().all(|(outcome, _)| outcome.contains("\"ok\"")),
        "none took too long: {failed:?}"
    );
    assert_eq!(metrics.sum("mcp_operator_leader", &[]), 1);
}
