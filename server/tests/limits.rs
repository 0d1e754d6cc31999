//! What one client may send.

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{DEADLINE, Stream, TestServer, error_of, request};

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
    assert!(server.metrics().await.contains("iam_mcp_rate_limited_total 2\n"));
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
