//! `POST /mcp` by clients of the initialize era.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestServer, error_of, initialize, notification, request, search};

#[tokio::test]
async fn initialize_is_answered_with_the_clients_version_or_the_newest_that_has_it() {
    let server = TestServer::start(&[]).await;
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("0.1.0", "2025-11-25"),
    ] {
        let answer = server
            .post("/mcp", &initialize(1, asked))
            .send()
            .await
            .expect("answered");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["result"]["protocolVersion"], answered, "{asked}");
    }
    let message = notification("notifications/initialized", json!({}));
    let answer = server.post("/mcp", &message).send().await.expect("answered");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_search_without_any_session() {
    let server = TestServer::start(&[]).await;
    let call = search(
        7,
        json!({ "role": "rust engineer", "city": "Berlin", "country": "Germany", "num_jobs": 2 }),
    );
    // A session id that some other server gave is ignored.
    let answer = server
        .post("/mcp", &call)
        .header("Mcp-Session-Id", "elsewhere")
        .send()
        .await
        .expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["id"], 7);
    let jobs = answer["result"]["structuredContent"]["jobs"]
        .as_array()
        .expect("jobs");
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0]["location"], "Berlin, Germany");
    assert_eq!(jobs[0]["sample"], true);
}

#[tokio::test]
async fn plain_http_clients_need_no_special_accept_header() {
    let server = TestServer::start(&[]).await;
    let plain = server
        .client
        .post(server.url("/mcp"))
        .json(&request(1, "tools/list", json!({})));
    assert_eq!(plain.send().await.expect("answered").status(), StatusCode::OK);
}

#[tokio::test]
async fn malformed_input_is_a_4xx_with_a_json_rpc_error() {
    let server = TestServer::start(&[]).await;
    for (body, status, code) in [
        ("{", 400, -32700),
        ("", 400, -32700),
        ("\u{0}", 400, -32700),
        ("[]", 400, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, -32600),
        ("null", 400, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
    ] {
        let sent = server
            .client
            .post(server.url("/mcp"))
            .header("Content-Type", "application/json")
            .body(body);
        let (got, error, message) = error_of(sent.send().await.expect("answered")).await;
        assert_eq!((got, error), (status, code), "{body:?}: {message}");
    }
    let text = server
        .client
        .post(server.url("/mcp"))
        .header("Content-Type", "text/plain")
        .body("{}");
    assert_eq!(error_of(text.send().await.expect("answered")).await.0, 415);
    let html = server
        .client
        .post(server.url("/mcp"))
        .header("Accept", "text/html")
        .json(&json!({}));
    assert_eq!(error_of(html.send().await.expect("answered")).await.0, 406);
}

#[tokio::test]
async fn what_the_server_does_not_have_is_said_as_the_protocol_says() {
    let server = TestServer::start(&[]).await;
    let read = server
        .ask("resources/read", json!({ "uri": "ui://no/such/page" }))
        .await;
    assert_eq!(read["error"]["code"], -32002);
    assert_eq!(
        server.ask("no/such/method", json!({})).await["error"]["code"],
        -32601
    );
    let call = server
        .ask("tools/call", json!({ "name": "no_such_tool", "arguments": {} }))
        .await;
    assert_eq!(call["error"]["code"], -32602);
    let prompt = server
        .ask(
            "prompts/get",
            json!({ "name": "generate_resume", "arguments": {} }),
        )
        .await;
    assert_eq!(prompt["error"]["code"], -32602);
    assert!(
        prompt["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("save_directory"))
    );
}

/// SEP-1303: the model must see what was wrong, so it is a result and no protocol error.
#[tokio::test]
async fn must_6_9_bad_arguments_are_tool_errors_in_plain_words() {
    let server = TestServer::start(&[]).await;
    for (arguments, words) in [
        (json!({}), "role is missing"),
        (json!({ "role": "nurse", "city": "Berlin" }), "add country"),
        (json!({ "role": "nurse", "country": "Atlantis" }), "ISO 3166-1"),
        (json!({ "role": "nurse", "num_jobs": 0 }), "from 1 to 20"),
        (
            json!({ "role": "nurse", "platform": "monster" }),
            "linkedin, indeed or glassdoor",
        ),
        (json!({ "role": ["nurse"] }), "role must be text"),
    ] {
        let call = json!({ "name": "search_jobs", "arguments": arguments });
        let answer = server.ask("tools/call", call).await;
        assert_eq!(answer["result"]["isError"], true, "{arguments}");
        let text = answer["result"]["content"][0]["text"].as_str().expect("text");
        assert!(text.contains(words), "{arguments}: {text}");
    }
}
