//! `verify: Gate`: a pod takes traffic only after the operator has spoken MCP with that very pod.

use iam_mcp_crds::Reason;
use iam_mcp_e2e::{
    fake_mcp::Speaks,
    fake_pods::RunningPod,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::core::v1::PodCondition;
use serde_json::json;

use crate::health::{asking, verified};

const GATE: &str = "iam-mcp.dev/verified";

async fn gate(sandbox: &Sandbox, pod: &RunningPod) -> Option<PodCondition> {
    let status = sandbox.pod(&pod.name).await?.status?;
    status
        .conditions?
        .into_iter()
        .find(|condition| condition.type_ == GATE)
}

async fn becomes(sandbox: &Sandbox, pod: &RunningPod, status: &str, container: &str) {
    let what = format!("the gate to be {status} for {container}");
    eventually(SOON, &what, || async {
        let gate = gate(sandbox, pod).await;
        let is = |gate: &PodCondition| {
            gate.status == status && gate.message.as_deref().unwrap_or_default().contains(container)
        };
        when(gate.as_ref().is_some_and(is), &gate)
    })
    .await;
}

/// What the kubelet says of the server's container.
async fn container(sandbox: &Sandbox, pod: &RunningPod, id: &str, ready: bool) {
    let status = |ready: bool| if ready { "True" } else { "False" };
    sandbox
        .say_of_pod(
            &pod.name,
            json!({
                "containerStatuses": [{
                    "name": NAME, "containerID": id, "ready": ready, "started": true, "image": "a", "imageID": "a", "restartCount": 0,
                }],
                "conditions": [
                    {"type": "ContainersReady", "status": status(ready)}, {"type": "Ready", "status": "False"},
                ],
            }),
        )
        .await;
}

#[tokio::test]
async fn a_gate_opens_for_a_container_that_speaks_and_for_no_other() {
    let mut sandbox = asking("gate").await;
    sandbox
        .serve(NAME, json!({"replicas": 1, "verify": "Gate"}))
        .await;
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.speaks = Speaks::Broken(500))
        .await;
    let pod = &pods[0];
    let spec = sandbox.pod(&pod.name).await.unwrap().spec.unwrap();
    assert_eq!(spec.readiness_gates.unwrap()[0].condition_type, GATE);
    container(&sandbox, pod, "fake://one", true).await;

    let message = verified(&sandbox, NAME, "False", Reason::ProtocolFailed).await;
    assert!(
        message.contains(&pod.name) && message.contains("500"),
        "{message}"
    );
    assert_eq!(gate(&sandbox, pod).await, None);

    pod.server.say(|says| says.mcp.speaks = Speaks::Modern);
    becomes(&sandbox, pod, "True", "fake://one").await;
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    sandbox.say_of_pod(&pod.name, ready).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    let conditions = sandbox
        .pod(&pod.name)
        .await
        .unwrap()
        .status
        .unwrap()
        .conditions
        .unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition.type_ == "ContainersReady"),
        "others' conditions stay"
    );

    // The container restarts, with a server that does not speak.
    pod.server.say(|says| says.mcp.speaks = Speaks::Broken(500));
    container(&sandbox, pod, "fake://two", true).await;
    becomes(&sandbox, pod, "False", "fake://two").await;
    pod.server.say(|says| says.mcp.speaks = Speaks::Modern);
    becomes(&sandbox, pod, "True", "fake://two").await;

    // While no operator runs nothing opens; the next one makes up for it, and leaves open what is.
    sandbox.stop_operator().await;
    container(&sandbox, pod, "fake://three", true).await;
    sandbox
        .start_operator_with(&["--protocol-health-interval", "0"])
        .await;
    becomes(&sandbox, pod, "True", "fake://three").await;
    let written = || async {
        let labels = ["kind=\"Pod\"", "verb=\"patch_status\""];
        sandbox
            .operator()
            .metrics()
            .await
            .sum("mcp_operator_api_writes_total", &labels)
    };
    assert_eq!(written().await, 2, "shut for the one and opened for the other");
    sandbox.quiet().await;
    assert_eq!(written().await, 2);
}

#[tokio::test]
async fn a_pod_without_a_gate_is_left_alone() {
    let sandbox = asking("gate").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let pods = sandbox.run_pods(NAME, 1, |_, _| {}).await;
    container(&sandbox, &pods[0], "fake://one", true).await;
    sandbox
        .serve("gated", json!({"replicas": 1, "verify": "Gate"}))
        .await;
    let gated = sandbox
        .run_pods("gated", 1, |_, says| says.mcp.speaks = Speaks::Unauthorized)
        .await;
    let status = json!({
        "containerStatuses": [{
            "name": "gated", "containerID": "fake://g", "ready": true, "started": true, "image": "a", "imageID": "a", "restartCount": 0,
        }],
        "conditions": [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}],
    });
    sandbox.say_of_pod(&gated[0].name, status).await;
    // It checks credentials, and so it serves.
    becomes(&sandbox, &gated[0], "True", "fake://g").await;
    assert_eq!(gate(&sandbox, &pods[0]).await, None);
}
