//! What the operator sets so that open sessions survive the end of their pod.

use iam_mcp_e2e::{sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodSpec};
use serde_json::json;

fn pod(deployment: &Deployment) -> PodSpec {
    let spec = deployment.spec.as_ref().and_then(|s| s.template.spec.clone());
    spec.unwrap_or_default()
}

/// The grace period, and the settings of the server that belong to it.
fn drain(deployment: &Deployment) -> (Option<i64>, Option<String>, Option<String>) {
    let pod = pod(deployment);
    let env = pod.containers[0].env.clone().unwrap_or_default();
    let value = |name: &str| env.iter().find(|v| v.name == name).and_then(|v| v.value.clone());
    (
        pod.termination_grace_period_seconds,
        value("DRAIN_SECONDS"),
        value("DRAIN_IDLE_SECONDS"),
    )
}

#[tokio::test]
async fn grace_period_and_setting_change_in_one_write() {
    let sandbox = Sandbox::new("sessions").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let before: Deployment = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(drain(&before), (Some(330), Some("300".to_owned()), None));

    let sessions = json!({"drainSeconds": 3600, "drainIdleSeconds": 600});
    sandbox.change(NAME, json!({"sessions": sessions})).await;
    sandbox.settle(NAME).await;
    let after: Deployment = sandbox.api().get(NAME).await.unwrap();
    let longer = (Some(3630), Some("3600".to_owned()), Some("600".to_owned()));
    assert_eq!(drain(&after), longer);
    assert_eq!(
        after.metadata.generation,
        before.metadata.generation.map(|g| g + 1),
        "pods are replaced once"
    );

    sandbox.change(NAME, json!({"sessions": null})).await;
    sandbox
        .child::<Deployment>(NAME, "the defaults again", |d| drain(d) == drain(&before))
        .await;
}

#[tokio::test]
async fn a_pod_knows_itself_and_has_a_door_for_the_others() {
    let sandbox = Sandbox::new("sessions").await;
    sandbox.serve(NAME, json!({})).await;
    let container = pod(&sandbox.api().get(NAME).await.unwrap()).containers.remove(0);
    let ports = container.ports.unwrap_or_default();
    let peer = ports.iter().find(|p| p.name.as_deref() == Some("peer")).unwrap();
    let env = container.env.unwrap_or_default();
    let variable = |name: &str| env.iter().find(|v| v.name == name).unwrap();
    assert_eq!(
        variable("PEER_PORT").value.as_deref(),
        Some(peer.container_port.to_string().as_str())
    );
    for (name, path) in [("POD_IP", "status.podIP"), ("POD_UID", "metadata.uid")] {
        let source = variable(name)
            .value_from
            .as_ref()
            .and_then(|v| v.field_ref.as_ref());
        assert_eq!(source.map(|f| f.field_path.as_str()), Some(path), "{name}");
    }
}
