//! Several replicas: a message may come to any of them.

use std::time::{Duration, Instant};

use iam_mcp_server::{
    http::principal::Principal,
    transport::sse::session_id::{Owner, SessionId},
};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::support::{Replicas, Stream, TestServer, error_of, initialize, notification, request, search};

const FORWARDED: &str = "iam_mcp_forwarded_calls_total{outcome=\"ok\"}";

fn ping(id: u64) -> serde_json::Value {
    request(id, "ping", json!({}))
}

#[tokio::test]
async fn a_message_to_any_replica_is_answered_on_the_stream() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let mut stream = Stream::open(&one).await;
    stream.ask(&two, &initialize(1, "2024-11-05")).await;
    stream
        .send(&two, &notification("notifications/initialized", json!({})))
        .await;
    let found = stream
        .ask(&two, &search(2, json!({ "role": "rust engineer" })))
        .await;
    assert_eq!(found["result"]["isError"], false, "{found}");
    stream.ask(&one, &ping(3)).await;
    two.until_metric(&format!("{FORWARDED} 3")).await;
    assert!(!one.metrics().await.contains(FORWARDED), "its own need no hop");
}

#[tokio::test]
async fn many_messages_at_once_find_their_way() {
    let replicas = Replicas::new();
    let limits = [("RATE_LIMIT", "0")];
    let one = replicas.start_with(1, &limits, |_| {}).await;
    let two = replicas.start_with(2, &limits, |_| {}).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(Stream::open(&one).await);
    }
    for round in 0..5 {
        let sent = streams
            .iter()
            .map(|stream| two.post(&stream.endpoint, &ping(round)).send());
        for answer in futures::future::join_all(sent).await {
            assert_eq!(answer.expect("answered").status(), StatusCode::ACCEPTED);
        }
        for stream in &mut streams {
            assert_eq!(stream.message().await["id"], round);
        }
    }
    two.until_metric(&format!("{FORWARDED} 100")).await;
}

#[tokio::test]
async fn a_refusal_of_the_owner_is_the_refusal() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let stream = Stream::open(&one).await;
    for (body, code) in [("{", -32700), ("[]", -32600)] {
        let url = two.url(&stream.endpoint);
        let sent = two.client.post(url).body(body).send().await.expect("answered");
        let (status, error, _) = error_of(sent).await;
        assert_eq!((status, error), (400, code), "{body}");
    }
}

#[tokio::test]
async fn a_session_of_a_replica_that_is_gone_is_404_unless_its_client_comes() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let stream = Stream::open(&one).await;
    one.shutdown.force();
    one.ended().await;
    let start = Instant::now();
    let (status, _, message) = error_of(stream.post(&two, &ping(1)).await).await;
    assert_eq!(status, 404);
    assert!(
        message.contains("gone") && message.contains("GET /sse"),
        "{message}"
    );
    assert!(start.elapsed() < Duration::from_secs(5), "held for a moment");
    two.until_metric("iam_mcp_forwarded_calls_total{outcome=\"gone\"} 1")
        .await;
}

/// Must show 6: whatever is not an id of this server's pods is 404, and reaches nobody.
#[tokio::test]
async fn a_hostile_id_reaches_nobody() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let stream = Stream::open(&one).await;
    let (most, last) = stream.endpoint.split_at(stream.endpoint.len() - 1);
    // Another letter for certain, and one that stands for whole bits.
    let tampered = format!("{most}{}", if last == "A" { "Q" } else { "A" });
    let strangers = Replicas::new();
    std::fs::write(&strangers.key_file, [8; 32]).expect("written");
    let foreign_server = strangers.start(3).await;
    let foreign = Stream::open(&foreign_server).await;
    let mut old = SessionId::new(owner(&one, 1), Principal::ANONYMOUS).expect("an id");
    old.opened -= 8 * 24 * 3600;
    let expired = sealed(&replicas, &old);
    for (path, says) in [
        (tampered.as_str(), "no session"),
        (&foreign.endpoint, "no session"),
        (&expired, "days ago"),
    ] {
        let (status, _, message) = error_of(two.post(path, &ping(1)).send().await.expect("answered")).await;
        assert_eq!(status, 404, "{path}");
        assert!(message.contains(says), "{message}");
    }
    let metrics = two.metrics().await;
    assert!(!metrics.contains("iam_mcp_forwarded_calls_total{"), "{metrics}");
}

/// An address outside the server's own pods, even in an id that is sealed with the key: what listens there is
/// told nothing.
#[tokio::test]
async fn an_address_of_somebody_else_gets_no_message() {
    let replicas = Replicas::new();
    let two = replicas.start(2).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let elsewhere = Owner {
        uid: [1; 16],
        address: listener.local_addr().ok(),
    };
    let id = SessionId::new(elsewhere, Principal::ANONYMOUS).expect("an id");
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut heard = vec![0; 4096];
        let length = stream.read(&mut heard).await.expect("read");
        // It hangs up, as a server of another protocol would.
        heard[..length].to_vec()
    });
    let secret = search(1, json!({ "role": "a secret" }));
    let (status, _, _) = error_of(
        two.post(&sealed(&replicas, &id), &secret)
            .send()
            .await
            .expect("answered"),
    )
    .await;
    assert_eq!(status, 404);
    let heard = heard.await.expect("ran");
    assert_eq!(heard.len(), 57, "a hello without a message");
    assert!(!String::from_utf8_lossy(&heard).contains("secret"));
}

/// A pod that got the address of one that is gone: it has the key, but another uid.
#[tokio::test]
async fn an_address_that_was_used_again_gets_no_message() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let id = SessionId::new(owner(&one, 9), Principal::ANONYMOUS).expect("an id");
    let sent = two
        .post(&sealed(&replicas, &id), &ping(1))
        .send()
        .await
        .expect("answered");
    assert_eq!(error_of(sent).await.0, 404);
    one.until_metric("iam_mcp_peer_strangers_total{cause=\"stranger\"} 1")
        .await;
}

/// The door between replicas, to somebody who knocks without the key.
#[tokio::test]
async fn the_door_between_replicas_is_closed() {
    use tokio::io::AsyncWriteExt as _;
    let replicas = Replicas::new();
    let one = replicas.start(1).await;
    let peer = one.peer.expect("a port");
    for hello in [
        b"POST /message HTTP/1.1\r\nhost: replica\r\ncontent-length: 2\r\n\r\n{}".as_slice(),
        &[1; 57],
        &[0; 200],
    ] {
        let mut stream = tokio::net::TcpStream::connect(peer).await.expect("connected");
        stream.write_all(hello).await.expect("written");
        let mut answer = Vec::new();
        // Closed, or reset where something was left unread.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }
    one.until_metric("iam_mcp_peer_strangers_total{cause=\"unknown\"} 3")
        .await;
}

#[tokio::test]
async fn a_session_is_its_principals_alone_on_every_replica() {
    let replicas = Replicas::new();
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    let (alices, bobs) = ("alices-token-0123456789", "bobs-token-0123456789");
    std::fs::write(tokens.path(), format!("alice {alices}\nbob {bobs}\n")).expect("written");
    let auth = [
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", tokens.path().to_str().expect("text")),
    ];
    let one = replicas.start_with(1, &auth, |_| {}).await;
    let two = replicas.start_with(2, &auth, |_| {}).await;
    let opened = one.get("/sse").bearer_auth(alices).send().await;
    let mut stream = Stream::of(opened.expect("answered")).await;
    for server in [&one, &two] {
        let post = |token: &str| server.post(&stream.endpoint, &ping(1)).bearer_auth(token).send();
        let (status, _, message) = error_of(post(bobs).await.expect("answered")).await;
        assert_eq!(status, 404);
        assert!(message.contains("no session has this id"), "{message}");
        assert_eq!(
            post(alices).await.expect("answered").status(),
            StatusCode::ACCEPTED
        );
        assert_eq!(stream.message().await["id"], 1);
    }
    // Nor can he go on with it: he gets a session of his own.
    let kept = two.get("/sse").header("Last-Event-ID", &stream.last_event_id);
    Stream::of(kept.bearer_auth(bobs).send().await.expect("answered")).await;
    assert!(
        two.metrics()
            .await
            .contains("iam_mcp_sse_sessions_resumed_total 0")
    );
    let still = one.post(&stream.endpoint, &ping(2)).bearer_auth(alices).send();
    assert_eq!(still.await.expect("answered").status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_rotation_of_the_key_loses_no_session() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let mut before = Stream::open(&one).await;
    let file = |name: &str| replicas.key_file.with_file_name(name);
    // The next one is accepted before anybody seals with it.
    std::fs::write(file("session-key-next"), [9; 32]).expect("written");
    let next = iam_mcp_server::keyring::Key::new(&[9; 32])
        .expect("a key")
        .id
        .to_string();
    until_known(&[&one, &two], "accepted_keys", &next).await;
    std::fs::rename(file("session-key"), file("session-key-previous")).expect("renamed");
    std::fs::rename(file("session-key-next"), file("session-key")).expect("renamed");
    until_known(&[&one], "sealing_key", &next).await;
    let mut after = Stream::open(&one).await;
    for server in [&one, &two] {
        before.ask(server, &ping(1)).await;
        after.ask(server, &ping(2)).await;
    }
    // And it can be gone on with.
    let mut resumed = before.resume(&two).await;
    resumed.ask(&one, &ping(3)).await;
}

async fn until_known(servers: &[&TestServer], field: &str, key: &str) {
    for server in servers {
        let start = Instant::now();
        loop {
            let url = format!("http://{}/sessions", server.admin);
            let shown = server
                .client
                .get(url)
                .send()
                .await
                .expect("answered")
                .text()
                .await
                .expect("text");
            let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            if shown[field] == key
                || shown[field]
                    .as_array()
                    .is_some_and(|keys| keys.contains(&key.into()))
            {
                break;
            }
            assert!(start.elapsed() < crate::support::DEADLINE, "{shown}");
            tokio::task::yield_now().await;
        }
    }
}

fn owner(server: &TestServer, number: u8) -> Owner {
    Owner {
        uid: [number; 16],
        address: server.peer,
    }
}

fn sealed(replicas: &Replicas, id: &SessionId) -> String {
    let id = id.seal(&replicas.keys()).expect("sealed");
    format!("/messages/?session_id={id}")
}
