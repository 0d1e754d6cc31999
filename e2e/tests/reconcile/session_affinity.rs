//! `service.sessionAffinity: Auto` follows from what the server answers.

use iam_mcp_crds::{McpServer, Reason};
use iam_mcp_e2e::{
    fake_mcp::Speaks,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::health::{asked_again, asking, verified};

async fn chosen(sandbox: &Sandbox, value: &str, part: &str) {
    let what = format!("sessionAffinity {value} because {part}");
    eventually(SOON, &what, || async {
        let service: Service = sandbox.api().get(NAME).await.map_err(|error| error.to_string())?;
        let live = service.spec.and_then(|spec| spec.session_affinity);
        let server: McpServer = sandbox.api().get(NAME).await.map_err(|error| error.to_string())?;
        let told = server.status.and_then(|status| status.session_affinity);
        let says = told
            .as_ref()
            .is_some_and(|told| told.value == value && told.reason.contains(part));
        when(says && live.as_deref() == Some(value), (live, told))
    })
    .await;
}

#[tokio::test]
async fn a_server_without_sessions_needs_no_affinity_and_the_choice_does_not_flap() {
    let mut sandbox = asking("affinity").await;
    sandbox
        .serve(
            NAME,
            json!({"replicas": 1, "service": {"sessionAffinity": "Auto"}}),
        )
        .await;
    chosen(&sandbox, "ClientIP", "not known yet").await;
    let pods = sandbox
        .run_pods(NAME, 1, |_, says| says.mcp.speaks = Speaks::Both)
        .await;
    chosen(&sandbox, "None", "no session ids").await;
    assert!(
        pods[0].server.says().mcp.count("initialize") > 0,
        "it was asked in the older era too"
    );

    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox
        .start_operator_with(&["--protocol-health-interval", "3"])
        .await;
    asked_again(&pods[0]).await;
    sandbox.quiet().await;
    assert_eq!(
        sandbox.operator().writes().await,
        0,
        "a new operator knows it from the status"
    );

    // Two kinds of pods that take turns: it stays at what is safe.
    pods[0]
        .server
        .say(|says| says.mcp.speaks = Speaks::Legacy { sessions: true });
    chosen(&sandbox, "ClientIP", "only the pod").await;
    let service: Service = sandbox.api().get(NAME).await.unwrap();
    let version = service.metadata.resource_version;
    for speaks in [Speaks::Both, Speaks::Legacy { sessions: true }, Speaks::Both] {
        pods[0].server.say(|says| says.mcp.speaks = speaks);
        asked_again(&pods[0]).await;
    }
    let service: Service = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(service.metadata.resource_version, version);
    chosen(&sandbox, "None", "no session ids").await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
}
