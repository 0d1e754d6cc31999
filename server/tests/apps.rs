//! MCP Apps, as far as the server speaks it. What a person sees is tested in a browser, by ops/cards.

use serde_json::{Value, json};

use crate::support::{TestServer, initialize, request};

const PAGE: &str = "ui://iam-mcp-server/job-cards.html";
const MIME_TYPE: &str = "text/html;profile=mcp-app";

/// What a host does before it shows anything: it follows the tool to the page.
#[tokio::test]
async fn a_host_finds_the_cards_by_the_tool_and_reads_them() {
    let server = TestServer::start(&[]).await;
    let told = server.post("/mcp", &initialize(1, "2025-11-25")).send().await;
    let told: Value = told.expect("answered").json().await.expect("JSON");
    let settings = &told["result"]["capabilities"]["extensions"]["io.modelcontextprotocol/ui"];
    assert_eq!(settings["mimeTypes"], json!([MIME_TYPE]), "{told}");
    assert!(told["result"]["capabilities"]["resources"].is_object(), "{told}");

    let tools = server.ask("tools/list", json!({})).await;
    let tools = tools["result"]["tools"].as_array().expect("tools");
    let tool = tools.iter().find(|tool| tool["name"] == "search_jobs");
    let meta = &tool.expect("the tool")["_meta"];
    assert_eq!(meta["ui"]["resourceUri"], PAGE);
    assert_eq!(meta["ui/resourceUri"], PAGE);

    let listed = server.ask("resources/list", json!({})).await;
    let resources = listed["result"]["resources"].as_array().expect("resources");
    let resource = resources.iter().find(|resource| resource["uri"] == PAGE);
    let resource = resource.expect("the page is listed");
    assert_eq!(resource["mimeType"], MIME_TYPE);

    let read = server.ask("resources/read", json!({ "uri": PAGE })).await;
    let content = &read["result"]["contents"][0];
    assert_eq!(
        (&content["uri"], &content["mimeType"]),
        (&json!(PAGE), &json!(MIME_TYPE))
    );
    let page = content["text"].as_str().expect("HTML");
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert_eq!(resource["size"], page.len());
    for meta in [&content["_meta"]["ui"], &resource["_meta"]["ui"]] {
        for domains in [
            "connectDomains",
            "resourceDomains",
            "frameDomains",
            "baseUriDomains",
        ] {
            assert_eq!(meta["csp"][domains], json!([]), "{domains}");
        }
        assert_eq!(meta["permissions"], json!({}));
    }
}

#[tokio::test]
async fn the_cards_may_be_kept_by_anybody_for_a_day() {
    let server = TestServer::start(&[]).await;
    let read = json!({
        "uri": PAGE,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {
                "extensions": { "io.modelcontextprotocol/ui": { "mimeTypes": [MIME_TYPE] } }
            },
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        }
    });
    let answer = server
        .post("/mcp", &request(1, "resources/read", read))
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "resources/read")
        .header("Mcp-Name", PAGE)
        .send()
        .await
        .expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    let result = &answer["result"];
    assert_eq!(
        (&result["ttlMs"], &result["cacheScope"]),
        (&json!(86_400_000), &json!("public")),
        "{answer}"
    );
}
