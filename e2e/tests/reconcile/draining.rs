//! Pods that were asked to stop and serve on: seen, limited in number, and no brake on a delete.

use iam_mcp_crds::{DrainingPod, McpServer};
use iam_mcp_e2e::{
    fake_pods::RunningPod,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::DeleteParams;
use ring::hmac;
use serde_json::json;

/// Grace of a pod that may drain for five minutes.
const GRACE: u32 = 330;

async fn draining(sandbox: &Sandbox) -> Vec<DrainingPod> {
    let server: McpServer = sandbox.api().get(NAME).await.expect("the server");
    server
        .status
        .map(|status| status.draining_pods)
        .unwrap_or_default()
}

/// Waits until the status shows these pods with these sessions, and gives them.
async fn shows(sandbox: &Sandbox, wanted: &[(&RunningPod, i32)]) -> Vec<DrainingPod> {
    eventually(SOON, "the draining pods in the status", || async {
        let pods = draining(sandbox).await;
        let seen = pods.iter().map(|pod| (pod.name.as_str(), pod.sessions));
        when(
            seen.eq(wanted
                .iter()
                .map(|(pod, sessions)| (pod.name.as_str(), *sessions))),
            &pods,
        )?;
        Ok(pods)
    })
    .await
}

async fn gauge(sandbox: &Sandbox) -> u64 {
    sandbox
        .operator()
        .metrics()
        .await
        .sum("mcp_operator_draining_pods", &[])
}

async fn grace(sandbox: &Sandbox, pod: &RunningPod) -> Option<i64> {
    let pod = sandbox.pod(&pod.name).await?;
    pod.metadata.deletion_grace_period_seconds
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// What proves to `pod` that whoever asks has the session key.
async fn mac(sandbox: &Sandbox, pod: &RunningPod, until: &str) -> String {
    let secret: Secret = sandbox.api().get("jobs-keys").await.expect("the keys");
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let key = sign(&secret.data.expect("data")["session-key"].0, b"iam-mcp drain key");
    hex(sign(
        key.as_ref(),
        format!("iam-mcp drain\n{}\n{until}", pod.uid).as_bytes(),
    )
    .as_ref())
}

/// What the pod was told last, checked for its proof: seconds from now until its end.
async fn told(sandbox: &Sandbox, pod: &RunningPod) -> i64 {
    let drain = pod.server.says().drains.last().expect("it was told").clone();
    assert_eq!(drain["mac"], mac(sandbox, pod, &drain["until"]).await);
    drain["until"].parse::<i64>().expect("seconds") - Timestamp::now().as_second()
}

#[tokio::test]
async fn a_draining_pod_is_seen_from_its_first_second_to_its_last_session() {
    let sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 90).await;
    let pod = &pods[0];
    let began = Timestamp::now().as_second();
    sandbox.stop_pod(pod, GRACE).await;
    let shown = shows(&sandbox, &[(pod, 64)]).await;
    let until = shown[0].until.0.as_second() - began;
    assert!((299..310).contains(&until), "it drains for 300 s, not {until}");
    let note = [pod.name.as_str(), "64 or more open sessions"];
    sandbox.event(NAME, "DrainStarted", &note).await;
    assert_eq!(gauge(&sandbox).await, 1);

    // The same power of two: polled every two seconds, and nothing is written.
    pod.server.say(|says| says.sessions = 70);
    sandbox.settle(NAME).await;
    let writes = sandbox.operator().writes().await;
    pod.server.asked_again().await;
    pod.server.asked_again().await;
    assert_eq!(sandbox.operator().writes().await, writes);

    pod.server.say(|says| says.sessions = 5);
    shows(&sandbox, &[(pod, 4)]).await;
    pod.server.say(|says| says.sessions = 0);
    shows(&sandbox, &[]).await;
    sandbox.event(NAME, "DrainEnded", &[&pod.name]).await;
    assert_eq!(gauge(&sandbox).await, 0);
    sandbox.end_pod(pod).await;
    sandbox.quiet().await;
    assert_eq!(sandbox.events(NAME, "DrainEnded").await.len(), 1);
    assert_eq!(sandbox.events(NAME, "DrainStarted").await.len(), 1);
}

#[tokio::test]
async fn a_new_operator_goes_on_where_the_last_one_stood() {
    let mut sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 2})).await;
    let pods = sandbox.run_pods(NAME, 2, |_, says| says.sessions = 8).await;
    sandbox.stop_pod(&pods[0], GRACE).await;
    shows(&sandbox, &[(&pods[0], 8)]).await;
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    pods[0].server.asked_again().await;
    sandbox.quiet().await;
    shows(&sandbox, &[(&pods[0], 8)]).await;
    assert_eq!(sandbox.events(NAME, "DrainStarted").await.len(), 1, "told once");
    sandbox.end_pod(&pods[0]).await;
    shows(&sandbox, &[]).await;
    sandbox.event(NAME, "DrainEnded", &[&pods[0].name]).await;
}

#[tokio::test]
async fn too_many_draining_pods_cut_those_that_began_first() {
    let sandbox = Sandbox::new("draining").await;
    sandbox
        .serve(NAME, json!({"replicas": 3, "sessions": {"maxDrainingPods": 2}}))
        .await;
    let pods = sandbox.run_pods(NAME, 3, |_, says| says.sessions = 8).await;
    for (number, pod) in pods.iter().enumerate() {
        sandbox.stop_pod(pod, GRACE).await;
        // In the order of their seconds, which is as exact as the API server notes them.
        let second = Timestamp::now().as_second();
        eventually(SOON, "it to be shown, and another second", || async {
            let shown = draining(&sandbox).await.len();
            when(shown > number && Timestamp::now().as_second() > second, shown)
        })
        .await;
    }
    let note = sandbox
        .event(NAME, "DrainCut", &[&pods[0].name, "2 pods", "8 open sessions"])
        .await;
    assert!(!note.contains(&pods[1].name), "{note}");
    let left = told(&sandbox, &pods[0]).await;
    assert!((0..=5).contains(&left), "{left} s are left");
    eventually(SOON, "its end in the status", || async {
        let shown = draining(&sandbox).await;
        let until = shown[0].until.0.as_second() - Timestamp::now().as_second();
        when(until <= 5, shown)
    })
    .await;
    for pod in &pods {
        pod.server.asked_again().await;
    }
    let told: Vec<_> = pods.iter().map(|pod| pod.server.says().drains.len()).collect();
    assert_eq!(
        told,
        [1, 0, 0],
        "each pod is told once, and the others not at all"
    );
    let metrics = sandbox.operator().metrics().await;
    assert_eq!(metrics.sum("mcp_operator_drains_cut_total", &[]), 1);
    assert_eq!(
        grace(&sandbox, &pods[0]).await,
        Some(i64::from(GRACE)),
        "the pod ends by itself"
    );
}

/// Waits until a pod's grace was shortened, and checks that it was the operator.
async fn is_shortened(sandbox: &Sandbox, pod: &RunningPod) {
    eventually(SOON, "a grace of 30 s", || async {
        let grace = grace(sandbox, pod).await;
        when(grace == Some(30), grace)
    })
    .await;
}

#[tokio::test]
async fn a_deleted_server_does_not_wait_for_its_sessions() {
    let sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    sandbox.serve("stays", json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 8).await;
    let others = sandbox.run_pods("stays", 1, |_, says| says.sessions = 8).await;
    for pod in [&pods[0], &others[0]] {
        sandbox.stop_pod(pod, GRACE).await;
    }
    shows(&sandbox, &[(&pods[0], 8)]).await;
    sandbox
        .api::<McpServer>()
        .delete(NAME, &DeleteParams::background())
        .await
        .unwrap();
    is_shortened(&sandbox, &pods[0]).await;
    others[0].server.asked_again().await;
    assert_eq!(
        grace(&sandbox, &others[0]).await,
        Some(i64::from(GRACE)),
        "another server's pod"
    );
    let metrics = sandbox.operator().metrics().await;
    let deletes = metrics.sum(
        "mcp_operator_api_writes_total",
        &["kind=\"Pod\"", "verb=\"delete\""],
    );
    assert_eq!(deletes, 1, "once");
}

#[tokio::test]
async fn a_delete_in_the_foreground_does_not_wait_either() {
    let sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 8).await;
    sandbox.stop_pod(&pods[0], GRACE).await;
    shows(&sandbox, &[(&pods[0], 8)]).await;
    sandbox
        .api::<McpServer>()
        .delete(NAME, &DeleteParams::foreground())
        .await
        .unwrap();
    is_shortened(&sandbox, &pods[0]).await;
}

/// Where the Secret outlives the server, the pods are told too, and end their sessions cleanly.
#[tokio::test]
async fn a_pod_of_a_deleted_server_is_told_while_there_is_a_key_to_prove_it() {
    let sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 8).await;
    sandbox
        .kubectl(&["delete", "mcps", NAME, "--cascade=orphan"])
        .await;
    // Nobody asked it to stop.
    sandbox.quiet().await;
    assert_eq!(grace(&sandbox, &pods[0]).await, None);
    sandbox.stop_pod(&pods[0], GRACE).await;
    is_shortened(&sandbox, &pods[0]).await;
    let left = told(&sandbox, &pods[0]).await;
    assert!((0..=10).contains(&left), "{left} s are left");
}

#[tokio::test]
async fn a_delete_while_no_operator_runs_is_made_up_for() {
    let mut sandbox = Sandbox::new("draining").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, says| says.sessions = 8).await;
    sandbox.stop_pod(&pods[0], GRACE).await;
    sandbox.stop_operator().await;
    sandbox
        .api::<McpServer>()
        .delete(NAME, &DeleteParams::background())
        .await
        .unwrap();
    // A pod that somebody runs without a server, and that has our label all the same.
    let foreign = json!({
        "metadata": {"name": "foreign", "labels": {"app": "nobody", "app.kubernetes.io/managed-by": "iam-mcp-operator"}},
        "spec": {"containers": [{"name": "a", "image": "example.com/a:1"}]},
    });
    sandbox.create::<Pod>(foreign).await;
    let foreign = sandbox.run_pods("nobody", 1, |_, says| says.sessions = 8).await;
    sandbox.start_operator().await;
    is_shortened(&sandbox, &pods[0]).await;
    let stays = sandbox
        .pod(&foreign[0].name)
        .await
        .expect("it was not ours to delete");
    assert_eq!(stays.metadata.deletion_timestamp, None);
    sandbox.end_pod(&foreign[0]).await;
}
