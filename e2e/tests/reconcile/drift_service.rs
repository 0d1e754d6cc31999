//! Edits of a Service, which cut traffic in ways that are easy to overlook.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};
use serde_json::{Value, json};

/// Edits the Service as `kubectl edit` does.
pub(crate) async fn edit(sandbox: &Sandbox, operations: Value) {
    let patch = operations.to_string();
    sandbox
        .kubectl(&[
            "patch",
            "service",
            NAME,
            "--field-manager=kubectl-edit",
            "--type=json",
            "--patch",
            &patch,
        ])
        .await;
}

pub(crate) async fn repaired(sandbox: &Sandbox) {
    let want = IntOrString::String("http".to_owned());
    sandbox
        .child::<Service>(NAME, "the ports to be put back", |service| {
            let ports = service
                .spec
                .as_ref()
                .and_then(|s| s.ports.clone())
                .unwrap_or_default();
            matches!(ports.as_slice(), [port] if port.port == 80 && port.target_port.as_ref() == Some(&want))
        })
        .await;
}

#[tokio::test]
async fn a_port_edited_while_no_operator_ran_is_put_back() {
    let mut sandbox = Sandbox::new("service").await;
    sandbox.serve(NAME, json!({})).await;
    sandbox.stop_operator().await;
    edit(
        &sandbox,
        json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 8081}]),
    )
    .await;
    sandbox.start_operator().await;
    repaired(&sandbox).await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
}

#[tokio::test]
async fn the_port_of_the_spec_can_change() {
    let sandbox = Sandbox::new("service").await;
    sandbox.serve(NAME, json!({})).await;
    let before = sandbox.api::<Service>().get(NAME).await.unwrap();
    sandbox
        .change(
            NAME,
            json!({"service": {"port": 8080, "sessionAffinity": "None"}}),
        )
        .await;
    let service = sandbox
        .child::<Service>(NAME, "the new port alone", |service| {
            let ports = service
                .spec
                .as_ref()
                .and_then(|s| s.ports.clone())
                .unwrap_or_default();
            matches!(ports.as_slice(), [port] if port.port == 8080)
        })
        .await;
    assert_eq!(service.metadata.uid, before.metadata.uid, "changed in place");
    assert_eq!(
        service.spec.as_ref().unwrap().session_affinity.as_deref(),
        Some("None")
    );
    assert_eq!(
        service.spec.unwrap().cluster_ip,
        before.spec.unwrap().cluster_ip,
        "clients keep their address"
    );
    eventually(SOON, "the URL with the port", || async {
        let server = sandbox.settle(NAME).await;
        let url = server.status.and_then(|s| s.url).unwrap_or_default();
        when(url.contains(":8080/mcp"), url)
    })
    .await;
    assert!(
        sandbox.events(NAME, "DriftRepaired").await.is_empty(),
        "a change of the spec is no drift"
    );
}
