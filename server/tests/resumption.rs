//! Clients whose stream ended, and who come back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Replicas, Stream, TestServer, error_of, initialize, request};

fn ping(id: u64) -> serde_json::Value {
    request(id, "ping", json!({}))
}

#[tokio::test]
async fn a_client_goes_on_anywhere_without_a_new_initialize() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let mut stream = Stream::open(&one).await;
    let opening = stream.last_event_id.clone();
    stream.ask(&one, &initialize(1, "2025-03-26")).await;
    assert_ne!(
        stream.last_event_id, opening,
        "what was said is kept from here on"
    );
    let mut again = stream.resume(&two).await;
    assert_ne!(again.endpoint, stream.endpoint);
    let listed = again.ask(&two, &request(2, "tools/list", json!({}))).await;
    assert!(listed["result"]["tools"].is_array(), "{listed}");
    two.until_metric("iam_mcp_sse_sessions_resumed_total 1").await;
    // The first replica learns of it, and lets go of the stream that nobody reads.
    one.until_metric("iam_mcp_sse_sessions_ended_total{cause=\"resumed\"} 1")
        .await;
}

#[tokio::test]
async fn a_message_that_comes_late_goes_after_the_client() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let stream = Stream::open(&one).await;
    let (endpoint, kept) = (stream.endpoint.clone(), stream.last_event_id.clone());
    drop(stream);
    one.until_metric("iam_mcp_sse_sessions_ended_total{cause=\"client\"} 1")
        .await;
    // Before the client is back; to the replica that had the session, and by way of the other.
    let late: Vec<_> = [(&one, 1), (&two, 2)]
        .map(|(server, id)| tokio::spawn(server.post(&endpoint, &ping(id)).send()))
        .into();
    let again = two.get("/sse").header("Last-Event-ID", kept).send();
    let mut again = Stream::of(again.await.expect("answered")).await;
    let mut answered = [again.message().await, again.message().await].map(|answer| answer["id"].clone());
    answered.sort_by_key(ToString::to_string);
    assert_eq!(answered, [json!(1), json!(2)]);
    for sent in late {
        assert_eq!(sent.await.expect("ran").expect("answered").status(), 202);
    }
    // And after.
    let sent = two.post(&endpoint, &ping(3)).send().await.expect("answered");
    assert_eq!(sent.status(), 202);
    assert_eq!(again.message().await["id"], 3);
}

#[tokio::test]
async fn a_message_to_a_client_that_does_not_come_back_is_404() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    let endpoint = stream.endpoint.clone();
    drop(stream);
    server.until_metric("iam_mcp_sse_streams_open 0").await;
    let start = Instant::now();
    let sent = server.post(&endpoint, &ping(1)).send().await.expect("answered");
    let (status, _, message) = error_of(sent).await;
    assert_eq!(status, 404);
    assert!(message.contains("has ended"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_last_event_of_ours_opens_a_session_like_any_other() {
    let server = TestServer::start(&[]).await;
    for kept in ["17", "", "made-up", &"x".repeat(5000)] {
        let opened = server.get("/sse").header("Last-Event-ID", kept).send();
        let mut stream = Stream::of(opened.await.expect("answered")).await;
        stream.ask(&server, &ping(1)).await;
    }
    assert!(
        server
            .metrics()
            .await
            .contains("iam_mcp_sse_sessions_resumed_total 0")
    );
}

/// Must show 5: a replica is killed, and a client sends before it is back.
#[tokio::test]
async fn a_message_for_a_killed_replica_waits_for_the_client_too() {
    let replicas = Replicas::new();
    let (one, two, three) = (
        replicas.start(1).await,
        replicas.start(2).await,
        replicas.start(3).await,
    );
    let mut stream = Stream::open(&one).await;
    // Messages that went by way of both are how these two know of each other.
    for server in [&two, &three, &two] {
        stream.ask(server, &ping(1)).await;
    }
    one.shutdown.force();
    one.ended().await;
    let late = tokio::spawn(two.post(&stream.endpoint, &ping(2)).send());
    two.until_metric("iam_mcp_forwarded_calls_total{outcome=\"gone\"} 1")
        .await;
    let mut again = stream.resume(&three).await;
    assert_eq!(again.message().await["id"], 2);
    assert_eq!(late.await.expect("ran").expect("answered").status(), 202);
}

/// The TypeScript SDK says when it connects again which version it negotiated, and not the last event.
#[tokio::test]
async fn a_client_that_names_its_version_goes_on_too() {
    let server = TestServer::start(&[]).await;
    let again = server
        .get("/sse")
        .header("mcp-protocol-version", "2025-06-18")
        .send();
    let mut stream = Stream::of(again.await.expect("answered")).await;
    let listed = stream.ask(&server, &request(1, "tools/list", json!({}))).await;
    assert!(listed["result"]["tools"].is_array(), "{listed}");
    server.until_metric("iam_mcp_sse_sessions_resumed_total 1").await;
}

/// Else a client would connect again over the connection that it has, to the replica that is going.
#[tokio::test]
async fn a_stream_takes_its_connection_with_it() {
    let server = TestServer::start(&[]).await;
    let stream = server.get("/sse").send().await.expect("answered");
    assert_eq!(stream.headers()["connection"], "close");
}

/// An `EventSource` takes any status but 200 for the end of all.
#[tokio::test]
async fn whoever_comes_back_is_never_refused_but_told_to_come_again() {
    let server = TestServer::start(&[("MAX_SESSIONS", "1")]).await;
    let first = Stream::open(&server).await;
    for (header, value) in [
        ("mcp-protocol-version", "2025-11-25"),
        ("last-event-id", first.last_event_id.as_str()),
    ] {
        let again = server
            .get("/sse")
            .header(header, value)
            .send()
            .await
            .expect("answered");
        assert_eq!(again.status(), 200, "{header}");
        assert_eq!(again.headers()["content-type"], "text/event-stream");
        let text = again.text().await.expect("it ends");
        assert!(
            text.starts_with("retry: 300\n") && !text.contains("endpoint"),
            "{text}"
        );
    }
    assert_eq!(server.get("/sse").send().await.expect("answered").status(), 503);
}
