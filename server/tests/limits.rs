//! What one client may send.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{DEADLINE, Replicas, Stream, TestServer, error_of, request};

/// Section 6, item 9: servers MUST rate limit tool invocations.
#[tokio::test]
async fn must_6_9_messages_above_the_limit_are_429_on_both_transports() {
    let server = TestServer::start(&[("RATE_LIMIT", "1")]).await;
    let ping = request(1, "ping", json!({}));
    for path in ["/mcp", "/messages/?session_id=x"] {
        let mut refused = None;
        for _ in 0..5 {
            let answer = server.post(path, &ping).send().await.expect("answered");
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.expect("a limit");
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(error_of(refused).await.1, -32000);
    }
    assert_eq!(
        server.get("/health").send().await.expect("answered").status(),
        StatusCode::OK
    );
    // Streams are no messages, and cost nothing of the limit.
    Stream::open(&server).await;
    let counted = "iam_mcp_rate_limited_total{limit=\"messages\"} 2\n";
    assert!(server.metrics().await.contains(counted));
}

#[tokio::test]
async fn a_large_message_is_413_on_both_transports() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    let large = request(1, "ping", json!({ "padding": "x".repeat(1 << 20) }));
    for path in ["/mcp", "/", &stream.endpoint] {
        let (status, code, message) =
            error_of(server.post(path, &large).send().await.expect("answered")).await;
        assert_eq!((status, code), (413, -32600), "{message}");
    }
}

#[tokio::test]
async fn a_message_that_breaks_off_harms_nobody() {
    let server = TestServer::start(&[]).await;
    let mut connection = TcpStream::connect(server.address).await.expect("connected");
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.expect("written");
    drop(connection);
    assert!(server.ask("ping", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn what_is_no_http_is_400_and_closed() {
    let server = TestServer::start(&[]).await;
    for garbage in [
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nhost\r\n\r\n",
    ] {
        let mut connection = TcpStream::connect(server.address).await.expect("connected");
        connection.write_all(garbage.as_bytes()).await.expect("written");
        let mut answer = String::new();
        let read = tokio::time::timeout(DEADLINE, connection.read_to_string(&mut answer)).await;
        read.expect("closed in time").expect("read");
        assert!(answer.starts_with("HTTP/1.1 400"), "{garbage:?}: {answer}");
    }
}

fn call(tool: &str) -> Value {
    request(
        1,
        "tools/call",
        json!({ "name": tool, "arguments": { "role": "rust" } }),
    )
}

/// Section 6, item 9, a tool at a time: a refused call is a result that a model can read.
#[tokio::test]
async fn must_6_9_a_call_above_its_tools_limit_is_a_clear_tool_error() {
    let server = TestServer::start(&[("TOOL_LIMITS", "search_jobs=2/minute, *=3/minute")]).await;
    let ask = async |tool: &str| server.post("/mcp", &call(tool)).send().await.expect("answered");
    for _ in 0..2 {
        let answer = ask("search_jobs").await;
        assert!(answer.headers().get("retry-after").is_none());
        let answer: Value = answer.json().await.expect("JSON");
        assert_ne!(answer["result"]["isError"], true, "{answer}");
    }
    let refused = ask("search_jobs").await;
    assert_eq!(refused.status(), StatusCode::OK);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    let refused: Value = refused.json().await.expect("JSON");
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    let text = refused["result"]["content"][0]["text"].as_str().expect("text");
    assert_eq!(
        text,
        format!("Too many calls of this tool. Wait {wait} seconds, then call it again.")
    );
    // Messages that call nothing are not touched, and tools that do not exist have a limit too.
    assert!(server.ask("ping", json!({})).await["result"].is_object());
    for number in 0..6 {
        let answer: Value = ask(&format!("none-{number}")).await.json().await.expect("JSON");
        assert_eq!(answer["error"].is_object(), number < 3, "{answer}");
    }
    let metrics = server.metrics().await;
    for line in [
        "iam_mcp_rate_limited_total{limit=\"tool\",tool=\"search_jobs\"} 1\n",
        "iam_mcp_rate_limited_total{limit=\"tool\",tool=\"other\"} 3\n",
        "iam_mcp_tool_calls_total{tool=\"search_jobs\",outcome=\"limited\"} 1\n",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn an_sse_clients_calls_count_with_its_others() {
    let server = TestServer::start(&[("TOOL_LIMITS", "search_jobs=2/minute")]).await;
    let mut stream = Stream::open(&server).await;
    let refused = |answer: &Value| answer["result"]["isError"] == true;
    for expected in [false, false, true] {
        let answer = stream.ask(&server, &call("search_jobs")).await;
        assert_eq!(refused(&answer), expected, "{answer}");
    }
    let answer = server
        .ask("tools/call", call("search_jobs")["params"].clone())
        .await;
    assert!(refused(&answer), "{answer}");
}

/// The limit is the person's, not the address's.
#[tokio::test]
async fn with_tokens_each_principal_has_limits_of_its_own() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let tokens = "alice alices-token-0123456789\nalice alices-other-token-0123\nbob bobs-token-0123456789\n";
    std::fs::write(file.path(), tokens).expect("written");
    let server = TestServer::start(&[
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", file.path().to_str().expect("a path")),
        ("TOOL_LIMITS", "search_jobs=1/hour"),
        ("RATE_LIMIT", "1"),
    ])
    .await;
    let limited = async |token: &str| {
        let sent = server
            .post("/mcp", &call("search_jobs"))
            .bearer_auth(token)
            .send();
        let answer: Value = sent.await.expect("answered").json().await.expect("JSON");
        answer["result"]["isError"] == true
    };
    assert!(!limited("alices-token-0123456789").await);
    assert!(
        limited("alices-other-token-0123").await,
        "another token, the same person"
    );
    assert!(
        !limited("bobs-token-0123456789").await,
        "another person at the same address"
    );
}

/// A call that comes to another replica counts for who sent it, not for the replica that passes it on.
#[tokio::test]
async fn a_call_that_is_passed_on_counts_for_its_client() {
    let replicas = Replicas::new();
    let limits = [
        ("TOOL_LIMITS", "search_jobs=1/hour"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let one = replicas.start_with(1, &limits, |_| {}).await;
    let two = replicas.start_with(2, &limits, |_| {}).await;
    let mut stream = Stream::open(&one).await;
    for (client, expected) in [
        ("203.0.113.1", false),
        ("203.0.113.1", true),
        ("203.0.113.2", false),
    ] {
        let sent = two
            .post(&stream.endpoint, &call("search_jobs"))
            .header("X-Forwarded-For", client)
            .send();
        assert_eq!(sent.await.expect("answered").status(), StatusCode::ACCEPTED);
        let answer = stream.message().await;
        assert_eq!(
            answer["result"]["isError"] == true,
            expected,
            "{client}: {answer}"
        );
    }
}
