//! From an `McpServer` to a job found, as a person with curl goes.

use iam_mcp_e2e::{
    helm,
    mcp::{McpClient, call},
    port_forward::PortForward,
    sandbox::Sandbox,
};
use serde_json::{Value, json};

use crate::{operator, pods, ready};

/// The name that the seed's commands have.
const NAME: &str = "iam-mcp-server";

fn jobs(result: &Value) -> &Vec<Value> {
    assert_ne!(result["isError"], true, "{result}");
    result["structuredContent"]["jobs"]
        .as_array()
        .unwrap_or_else(|| panic!("{result}"))
}

#[tokio::test]
async fn a_client_finds_a_job() {
    let _operator = operator().await;
    let restricted = [("pod-security.kubernetes.io/enforce", "restricted")];
    let sandbox = Sandbox::namespace_only("path", &restricted).await;
    sandbox
        .submit(
            NAME,
            json!({"replicas": 2, "jobSearch": {"provider": "Catalogue"}}),
        )
        .await;
    let start = std::time::Instant::now();
    ready(&sandbox, NAME).await;
    println!("2 pods ready after {:.1} s", start.elapsed().as_secs_f32());
    assert_eq!(
        pods(&sandbox, NAME).await.into_values().collect::<Vec<_>>(),
        [0, 0],
        "two pods, never restarted"
    );
    let row = sandbox.kubectl(&["get", "mcps", NAME, "--no-headers"]).await;
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(columns[..4], [NAME, "True", "PodsReady", "2/2"], "{row}");
    sandbox.event(NAME, "Ready", &["2 of 2 pods"]).await;

    let forward = PortForward::open(sandbox.namespace(), &format!("service/{NAME}"), 80).await;
    let client = McpClient::new(&forward.url);
    let (status, body) = client.get("/health").await.unwrap();
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"status":"healthy","service":"iam-mcp-server"}"#)
    );
    the_older_transport(&client).await;
    streamable_http(&client).await;
    helm::assert_nothing_forbidden().await;
}

/// The seed's curl flow, message by message.
async fn the_older_transport(client: &McpClient) {
    let mut session = client.open_sse().await;
    assert!(
        session.path.starts_with("/messages/?session_id="),
        "{}",
        session.path
    );
    let capabilities = json!({"prompts": {}, "tools": {}});
    let info = json!({"name": "test-client", "version": "1.0.0"});
    let params = json!({"protocolVersion": "0.1.0", "capabilities": capabilities, "clientInfo": info});
    let hello = session.request(1, "initialize", &params).await;
    assert!(
        hello["protocolVersion"].is_string() && hello["serverInfo"]["name"].is_string(),
        "{hello}"
    );
    let accepted = session
        .send(
            &json!({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"capabilities": {}}}),
        )
        .await;
    assert_eq!(accepted, "Accepted");
    let prompts = session.request(2, "prompts/list", &json!({})).await;
    assert_eq!(prompts["prompts"].as_array().map(Vec::len), Some(5), "{prompts}");
    let tools = session.request(3, "tools/list", &json!({})).await;
    assert_eq!(tools["tools"][0]["name"], "search_jobs", "{tools}");
    let arguments = json!({"query": "Python developer", "location": "San Francisco, CA", "num_pages": 1});
    let result = session
        .request(
            4,
            "tools/call",
            &json!({"name": "search_jobs", "arguments": arguments}),
        )
        .await;
    assert!(!jobs(&result).is_empty(), "{result}");
    for field in [
        "job_id",
        "title",
        "company",
        "location",
        "description",
        "apply_link",
    ] {
        assert!(jobs(&result)[0][field].is_string(), "{field} of {result}");
    }
    assert!(
        result["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("Apply: ")),
        "{result}"
    );
}

async fn streamable_http(client: &McpClient) {
    let found = client.search("Rust developer").await.unwrap();
    assert!(!jobs(&found).is_empty(), "{found}");
    let (status, body) = client
        .post("/mcp", &call(7, "tools/list", &json!({})))
        .await
        .unwrap();
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("search_jobs"), "{body}");
    let (status, _) = client.get("/mcp").await.unwrap();
    assert_eq!(status, 405);
}
