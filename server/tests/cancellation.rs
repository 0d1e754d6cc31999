//! Calls that nobody waits for any more.

use std::time::Duration;

use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, Stream, TestServer, error_of, notification, request, search};

/// A provider that answers long after the test.
pub(crate) async fn slow_provider() -> MockServer {
    let provider = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_delay(DEADLINE * 3))
        .mount(&provider)
        .await;
    provider
}

async fn server(provider: &MockServer) -> TestServer {
    let url = provider.uri();
    TestServer::start(&[("RAPIDAPI_BASE_URL", &url), ("RAPIDAPI_KEY", "key")]).await
}

/// Until the call has reached the provider.
pub(crate) async fn until_called(provider: &MockServer) {
    let called = async {
        while provider
            .received_requests()
            .await
            .is_none_or(|calls| calls.is_empty())
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, called)
        .await
        .expect("called in time");
}

const CANCELLED: &str = "iam_mcp_tool_calls_total{tool=\"search_jobs\",outcome=\"cancelled\"} 1";

#[tokio::test]
async fn a_cancelled_call_stops_and_is_not_answered() {
    let provider = slow_provider().await;
    let server = server(&provider).await;
    let mut stream = Stream::open(&server).await;
    stream.send(&server, &search(1, json!({ "role": "nurse" }))).await;
    until_called(&provider).await;
    let (status, code, _) = error_of(stream.post(&server, &request(1, "ping", json!({}))).await).await;
    assert_eq!((status, code), (400, -32600), "the id is taken");
    stream
        .send(
            &server,
            &notification("notifications/cancelled", json!({ "requestId": 1 })),
        )
        .await;
    server.until_metric(CANCELLED).await;
    // The next message is the answer to the next request: none came for the first.
    assert_eq!(stream.ask(&server, &request(2, "ping", json!({}))).await["id"], 2);
}

#[tokio::test]
async fn a_stream_that_closes_cancels_its_calls() {
    let provider = slow_provider().await;
    let server = server(&provider).await;
    let stream = Stream::open(&server).await;
    stream.send(&server, &search(1, json!({ "role": "nurse" }))).await;
    until_called(&provider).await;
    drop(stream);
    server.until_metric(CANCELLED).await;
}

/// Section 6, item 12: a closed response stream MUST cancel the request.
#[tokio::test]
async fn must_6_12_a_client_that_goes_away_cancels_its_request() {
    let provider = slow_provider().await;
    let server = server(&provider).await;
    let call = server.post("/mcp", &search(1, json!({ "role": "nurse" }))).send();
    let call = tokio::spawn(call);
    until_called(&provider).await;
    call.abort();
    server.until_metric(CANCELLED).await;
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let provider = slow_provider().await;
    let server = TestServer::start_with(
        &[
            ("RAPIDAPI_BASE_URL", &provider.uri()),
            ("RAPIDAPI_KEY", "key"),
            ("RATE_LIMIT", "0"),
        ],
        |settings| settings.jobs.timeouts.attempt = Duration::from_mins(1),
    )
    .await;
    let stream = Stream::open(&server).await;
    for id in 0..64 {
        stream
            .send(&server, &search(id, json!({ "role": "nurse" })))
            .await;
    }
    let refused = stream.post(&server, &request(64, "ping", json!({}))).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(error_of(refused).await.0, 503);
}
