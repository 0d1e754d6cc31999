//! The cost of deleting a pod follows its open sessions, and is written when that changes it.

use iam_mcp_e2e::{
    fake_pods::RunningPod,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use kube::ResourceExt as _;
use serde_json::json;

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

async fn cost(sandbox: &Sandbox, pod: &RunningPod) -> Option<String> {
    let pod = sandbox.pod(&pod.name).await.expect("the pod");
    pod.annotations().get(COST).cloned()
}

async fn becomes(sandbox: &Sandbox, pod: &RunningPod, wanted: &str) {
    eventually(SOON, &format!("the cost {wanted} on {}", pod.name), || async {
        let cost = cost(sandbox, pod).await;
        when(cost.as_deref() == Some(wanted), cost)
    })
    .await;
}

async fn written(sandbox: &Sandbox) -> u64 {
    let metrics = sandbox.operator().metrics().await;
    metrics.sum(
        "mcp_operator_api_writes_total",
        &["kind=\"Pod\"", "verb=\"patch_cost\""],
    )
}

#[tokio::test]
async fn pods_rank_by_their_sessions_and_each_change_is_one_write() {
    let sandbox = Sandbox::new("cost").await;
    sandbox.serve(NAME, json!({"replicas": 4})).await;
    let sessions = [0, 20, 90, 400];
    let pods = sandbox
        .run_pods(NAME, 4, |number, says| says.sessions = sessions[number])
        .await;
    for (pod, wanted) in pods[1..].iter().zip(["16", "64", "256"]) {
        becomes(&sandbox, pod, wanted).await;
    }
    assert_eq!(
        cost(&sandbox, &pods[0]).await,
        None,
        "an empty pod needs no annotation"
    );
    assert_eq!(written(&sandbox).await, 3);

    // The same power of two, and an empty pod that stays so.
    pods[1].server.say(|says| says.sessions = 31);
    pods[1].server.asked_again().await;
    sandbox.quiet().await;
    assert_eq!(
        written(&sandbox).await,
        3,
        "nothing changed that a scale-down would see"
    );

    pods[1].server.say(|says| says.sessions = 0);
    pods[0].server.say(|says| says.sessions = 1);
    becomes(&sandbox, &pods[1], "0").await;
    becomes(&sandbox, &pods[0], "1").await;
    assert_eq!(written(&sandbox).await, 5);
    let pod = sandbox.pod(&pods[0].name).await.unwrap();
    let ours = pod
        .managed_fields()
        .iter()
        .filter(|f| f.manager.as_deref() == Some(iam_mcp_e2e::OPERATOR));
    assert_eq!(ours.count(), 1, "the operator's own field manager");
}

#[tokio::test]
async fn a_lone_pod_is_left_in_peace() {
    let sandbox = Sandbox::new("cost").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let lone = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 20).await;
    sandbox.serve("two", json!({"replicas": 2})).await;
    let two = sandbox.run_pods("two", 2, |_, says| says.sessions = 20).await;
    // By then the lone pod would have been asked too.
    for pod in &two {
        becomes(&sandbox, pod, "16").await;
    }
    two[0].server.asked_again().await;
    assert_eq!(lone[0].server.says().asked, 0);
    assert_eq!(cost(&sandbox, &lone[0]).await, None);
}

#[tokio::test]
async fn polls_and_costs_cause_no_reconcile() {
    let mut sandbox = Sandbox::new("cost").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let pods = sandbox
        .run_pods(NAME, 2, |number, says| {
            says.sessions = 20 * u32::try_from(number).unwrap();
        })
        .await;
    becomes(&sandbox, &pods[1], "16").await;
    sandbox.settle(NAME).await;
    let before = (
        sandbox.operator().writes().await,
        sandbox.operator().passes().await,
    );
    for _ in 0..2 {
        pods[1].server.asked_again().await;
    }
    let after = (
        sandbox.operator().writes().await,
        sandbox.operator().passes().await,
    );
    assert_eq!(after, before, "writes and passes");

    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    for pod in &pods {
        pod.server.asked_again().await;
    }
    sandbox.quiet().await;
    assert_eq!(
        sandbox.operator().writes().await,
        0,
        "a new operator finds all as it should be"
    );
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_counted_and_stops_nobody() {
    let sandbox = Sandbox::new("cost").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let mut pods = sandbox.run_pods(NAME, 2, |_, says| says.sessions = 8).await;
    let dumb = pods.remove(0);
    drop(dumb.server);
    becomes(&sandbox, &pods[0], "8").await;
    eventually(SOON, "a poll that failed", || async {
        let metrics = sandbox.operator().metrics().await;
        let failed = metrics.sum("mcp_operator_pod_polls_total", &["outcome=\"unreachable\""]);
        when(failed > 0, metrics.of("mcp_operator_pod_polls"))
    })
    .await;
}
