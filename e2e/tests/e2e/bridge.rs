//! A program on stdin and stdout, served over HTTP by the bridge: this project's own image is the program.

use iam_mcp_e2e::{
    helm,
    mcp::{McpClient, call},
    port_forward::PortForward,
    sandbox::Sandbox,
    setting,
};
use serde_json::{Value, json};

use crate::{operator, pods, ready};

const NAME: &str = "files";

#[tokio::test]
async fn a_stdio_program_is_served_over_http() {
    let _operator = operator().await;
    let restricted = [("pod-security.kubernetes.io/enforce", "restricted")];
    let sandbox = Sandbox::namespace_only("bridge", &restricted).await;
    let spec = json!({
        "image": setting("E2E_SERVER_IMAGE"), "transport": "Stdio", "command": ["/iam-mcp-server", "stdio"], "replicas": 1,
        "env": [{"name": "SAVED_JOBS", "value": "off"}],
    });
    sandbox.submit(NAME, spec).await;
    ready(&sandbox, NAME).await;
    let started: Vec<i32> = pods(&sandbox, NAME).await.into_values().collect();
    assert_eq!(started, [0], "never restarted");

    let forward = PortForward::open(sandbox.namespace(), &format!("service/{NAME}"), 80).await;
    let client = McpClient::new(&forward.url);
    let (status, _) = client.get("/health").await.unwrap();
    assert_eq!(status, 200);
    let mut session = client.open_sse().await;
    let hello = json!({
        "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    session.request(1, "initialize", &hello).await;
    let tools = session.request(2, "tools/list", &json!({})).await;
    assert!(
        tools["tools"].as_array().is_some_and(|tools| !tools.is_empty()),
        "{tools}"
    );
    let (status, body) = client.post("/mcp", &call(1, "initialize", &hello)).await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(
        status == 200 && body["result"]["serverInfo"].is_object(),
        "{body}"
    );
    helm::assert_nothing_forbidden().await;
}
