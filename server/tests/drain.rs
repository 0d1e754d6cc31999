//! A server that was told to stop, and serves on.

use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{DEADLINE, Replicas, Stream, TestServer, error_of, request, search};

fn ping(id: u64) -> Value {
    request(id, "ping", json!({}))
}

async fn sessions(server: &TestServer) -> Value {
    let url = format!("http://{}/sessions", server.admin);
    let shown = server.client.get(url).send().await.expect("answered");
    serde_json::from_str(&shown.text().await.expect("text")).expect("JSON")
}

#[tokio::test]
async fn open_streams_live_on_and_new_ones_go_elsewhere() {
    let replicas = Replicas::new();
    let drain = [("DRAIN_SECONDS", "60")];
    let one = replicas.start_with(1, &drain, |_| {}).await;
    let two = replicas.start(2).await;
    let mut stream = Stream::open(&one).await;
    one.shutdown.stop();
    one.until_metric("iam_mcp_draining 1").await;
    // While Services have not noticed yet, everything is taken.
    let mut late = Stream::open(&one).await;
    let answer = stream.post(&one, &ping(1)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.headers()["connection"],
        "close",
        "the next one goes elsewhere"
    );
    assert_eq!(stream.message().await["id"], 1);
    let refused = async {
        loop {
            let answer = one.get("/sse").send().await.expect("answered");
            if answer.status() == 503 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(DEADLINE, refused).await.expect("in time");
    assert!(refused.headers().contains_key("retry-after"));
    assert!(error_of(refused).await.2.contains("stopping"));
    // What is open is served, by way of any replica; and so is what needs no session.
    for stream in [&mut stream, &mut late] {
        stream.ask(&two, &ping(2)).await;
        stream.ask(&one, &ping(3)).await;
    }
    assert!(one.ask("tools/list", json!({})).await["result"]["tools"].is_array());
    let shown = sessions(&one).await;
    assert_eq!((&shown["draining"], &shown["calls"]), (&json!(true), &json!(0)));
    let ready = format!("http://{}/readyz", one.admin);
    assert_eq!(
        one.client.get(ready).send().await.expect("answered").status(),
        200
    );
    drop((stream, late));
    one.ended().await;
}

#[tokio::test]
async fn at_the_end_calls_are_told_to_come_again_on_both_transports() {
    let provider = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_delay(DEADLINE))
        .mount(&provider)
        .await;
    let uri = provider.uri();
    let environment = [
        ("RAPIDAPI_BASE_URL", uri.as_str()),
        ("RAPIDAPI_KEY", "key"),
        ("DRAIN_SECONDS", "1"),
    ];
    let server = TestServer::start_with(&environment, |settings| {
        settings.sessions.drain.finish = Duration::from_millis(200);
    })
    .await;
    let mut stream = Stream::open(&server).await;
    stream.send(&server, &search(1, json!({ "role": "nurse" }))).await;
    let call = tokio::spawn(
        server
            .post("/mcp", &search(2, json!({ "role": "midwife" })))
            .send(),
    );
    let called = async {
        while provider
            .received_requests()
            .await
            .is_none_or(|calls| calls.len() < 2)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, called).await.expect("called");
    server.shutdown.stop();
    let told = stream.message().await;
    assert_eq!(
        (&told["id"], &told["error"]["data"]["retry"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(stream.event().await, None, "and the stream ends cleanly");
    assert_eq!(stream.comments, ["drain deadline"]);
    let answer = call.await.expect("ran").expect("answered, not cut off");
    assert!(answer.headers().contains_key("retry-after"));
    let (status, code, message) = error_of(answer).await;
    assert_eq!((status, code), (503, -32000));
    assert!(message.contains("send it again"), "{message}");
    server.ended().await;
}

#[tokio::test]
async fn idle_streams_end_earlier_only_where_that_is_asked_for() {
    let drain = [("DRAIN_SECONDS", "60"), ("DRAIN_IDLE_SECONDS", "1")];
    let server = TestServer::start_with(&drain, |settings| {
        settings.sessions.drain.accept = Duration::ZERO;
    })
    .await;
    let mut stream = Stream::open(&server).await;
    server.shutdown.stop();
    assert_eq!(stream.event().await, None);
    assert_eq!(stream.comments, ["drain idle"]);
    server.ended().await;
}

#[tokio::test]
async fn a_drain_can_be_shortened_by_whoever_has_the_key() {
    let replicas = Replicas::new();
    let one = replicas.start_with(1, &[("DRAIN_SECONDS", "3600")], |_| {}).await;
    let mut stream = Stream::open(&one).await;
    one.shutdown.stop();
    one.until_metric("iam_mcp_draining 1").await;
    let until = sessions(&one).await["drain_until"].as_u64().expect("seconds");
    let sooner = until - 3600;
    let ask = |mac: String| {
        let url = format!("http://{}/drain?until={sooner}&mac={mac}", one.admin);
        one.client.post(url).send()
    };
    for wrong in [
        mac(&[8; 32], "pod-1", sooner),
        mac(&[7; 32], "pod-2", sooner),
        "zz".to_owned(),
    ] {
        assert_eq!(ask(wrong).await.expect("answered").status(), 403);
    }
    assert_eq!(sessions(&one).await["drain_until"], until);
    let right = mac(&[7; 32], "pod-1", sooner);
    assert_eq!(ask(right).await.expect("answered").status(), 204);
    assert_eq!(stream.event().await, None);
    assert_eq!(stream.comments, ["drain deadline"]);
    one.ended().await;
}

/// As the operator makes it.
fn mac(key: &[u8; 32], pod: &str, until: u64) -> String {
    let master = hmac::Key::new(hmac::HMAC_SHA256, key);
    let drain = hmac::Key::new(
        hmac::HMAC_SHA256,
        hmac::sign(&master, b"iam-mcp drain key").as_ref(),
    );
    let message = format!("iam-mcp drain\n{pod}\n{until}");
    iam_mcp_server::hex::encode(hmac::sign(&drain, message.as_bytes()).as_ref())
}

/// A client of one replica goes on with the next one, and the call it makes meanwhile is not lost.
#[tokio::test]
async fn after_the_end_clients_go_on_elsewhere() {
    let replicas = Replicas::new();
    let one = replicas.start_with(1, &[("DRAIN_SECONDS", "1")], |_| {}).await;
    let two = replicas.start(2).await;
    let mut stream = Stream::open(&one).await;
    one.shutdown.stop();
    assert_eq!(stream.event().await, None);
    // Its own address for messages is of the replica that is going.
    let late = tokio::spawn(two.post(&stream.endpoint, &ping(1)).send());
    let mut again = stream.resume(&two).await;
    assert_eq!(again.message().await["id"], 1);
    assert_eq!(late.await.expect("ran").expect("answered").status(), 202);
    one.ended().await;
}
