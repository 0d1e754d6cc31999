//! The wire, as clients see it; a change here is a change for them.

use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test]
async fn tools_list() {
    let server = TestServer::start(&[]).await;
    let answer = server.ask("tools/list", json!({})).await;
    let text = answer.to_string();
    for unportable in ["\"format\"", "\"null\"", "$ref"] {
        assert!(!text.contains(unportable), "{unportable}");
    }
    insta::assert_json_snapshot!(answer);
}

#[tokio::test]
async fn prompts_list() {
    let server = TestServer::start(&[]).await;
    insta::assert_json_snapshot!(server.ask("prompts/list", json!({})).await);
}

#[tokio::test]
async fn a_search() {
    let server = TestServer::start(&[]).await;
    let arguments = json!({ "role": "Rust engineer", "city": "Berlin", "country": "DE", "num_jobs": 1 });
    let answer = server
        .ask(
            "tools/call",
            json!({ "name": "search_jobs", "arguments": arguments }),
        )
        .await;
    // Samples are dated within the last weeks.
    let date = answer["result"]["structuredContent"]["jobs"][0]["posted_at"]
        .as_str()
        .expect("a date");
    let stable = answer.to_string().replace(date, "[date]");
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(&stable).expect("JSON"));
}
