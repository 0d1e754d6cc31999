//! HTTP at its edges: what is legal is served, what is not is refused, and nobody is kept waiting.

use std::time::Duration;

use iam_mcp_runtime::serve::{self, Options};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Stream, TestServer,
    raw::{Raw, exchange, head},
    request,
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A whole message, closing its connection.
fn message(path: &str, body: &str) -> String {
    let more = format!("content-length: {}\r\nconnection: close\r\n", body.len());
    head(path, &more) + body
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// The JSON-RPC error that every refusal of ours has as its body.
fn is_json_rpc_error(answer: &str) -> bool {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str::<Value>(body).is_ok_and(|body| body["error"]["code"].is_i64())
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::start(&[]).await;
    let one = |id: u64, more: &str| {
        let body = request(id, "ping", json!({})).to_string();
        head("/mcp", &format!("content-length: {}\r\n{more}", body.len())) + &body
    };
    let answers = exchange(
        server.address,
        one(1, "") + &one(2, "") + &one(3, "connection: close\r\n"),
    )
    .await;
    let ids: Vec<_> = answers
        .match_indices("\"id\":")
        .map(|(at, found)| &answers[at + found.len()..=at + found.len()])
        .collect();
    assert_eq!(ids, ["1", "2", "3"], "{answers}");
}

#[tokio::test]
async fn chunked_bodies_are_read_whole_and_broken_ones_are_400() {
    let server = TestServer::start(&[]).await;
    let stream = Stream::open(&server).await;
    let chunked = "transfer-encoding: chunked\r\nconnection: close\r\n";
    for path in ["/mcp", "/", "/messages", &stream.endpoint] {
        let (one, two) = PING.split_at(9);
        let whole = format!("9\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len());
        let answer = exchange(server.address, head(path, chunked) + &whole).await;
        assert_eq!(&status(&answer)[..1], "2", "{path}: {answer}");
        for broken in [
            "zz\r\n{}\r\n0\r\n\r\n",
            "2\r\n{}x\r\n0\r\n\r\n",
            "ffffffffffffffffff\r\n{}",
        ] {
            let answer = exchange(server.address, head(path, chunked) + broken).await;
            assert_eq!(status(&answer), "400", "{path} {broken:?}: {answer}");
            assert!(is_json_rpc_error(&answer), "{path} {broken:?}: {answer}");
        }
    }
}

/// What two servers in a row could take for different requests is none.
#[tokio::test]
async fn ambiguous_lengths_are_400() {
    let server = TestServer::start(&[]).await;
    for more in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: -1\r\n",
        "content-length: 0x10\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: gzip\r\n",
    ] {
        let answer = exchange(server.address, head("/mcp", more) + "hello world").await;
        assert_eq!(status(&answer), "400", "{more:?}: {answer}");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_431() {
    let server = TestServer::start(&[]).await;
    let long = format!("x-long: {}\r\n", "x".repeat(200_000));
    let many = "x-many: 1\r\n".repeat(200);
    for more in [long, many] {
        let answer = exchange(server.address, head("/mcp", &(more + "connection: close\r\n"))).await;
        assert_eq!(status(&answer), "431", "{answer}");
    }
    let target = format!("/mcp?{}", "x".repeat(200_000));
    let answer = exchange(server.address, head(&target, "")).await;
    assert!(["414", "431"].contains(&status(&answer)), "{answer}");
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends_a_large_body() {
    let server = TestServer::start(&[]).await;
    let mut raw = Raw::connect(server.address).await;
    let expect = "expect: 100-continue\r\nconnection: close\r\n";
    raw.send(head(
        "/mcp",
        &format!("content-length: {}\r\n{expect}", PING.len()),
    ))
    .await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send(PING).await;
    let answer = raw.rest().await;
    assert_eq!(status(&answer), "200", "{answer}");
    // Nothing of a body that is too large need ever be sent.
    let answer = exchange(
        server.address,
        head("/mcp", &format!("content-length: 9999999\r\n{expect}")),
    )
    .await;
    assert_eq!(status(&answer), "413", "{answer}");
}

#[tokio::test]
async fn old_and_strange_http_is_answered() {
    let server = TestServer::start(&[]).await;
    let old = format!(
        "POST /mcp HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n\
         content-type: application/json\r\n\r\n{PING}",
        PING.len()
    );
    let answer = exchange(server.address, old).await;
    assert_eq!(status(&answer), "200", "{answer}");
    // Without a Host the check cannot be made; RFC 9112 has such a request refused.
    let answer = exchange(
        server.address,
        "POST /mcp HTTP/1.1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(status(&answer), "400", "{answer}");
    for strange in [
        "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let answer = exchange(server.address, strange).await;
        assert_eq!(&status(&answer)[..1], "4", "{strange:?}: {answer}");
    }
    // HTTP/2 without a word before is closed, which is how its clients learn.
    assert_eq!(
        exchange(server.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await,
        ""
    );
}

/// Two requests of one id, in one connection or in two: over /mcp each stands alone.
#[tokio::test]
async fn the_same_id_twice_at_once_is_answered_twice() {
    let server = TestServer::start(&[]).await;
    let answers =
        futures::future::join_all((0..8).map(|_| exchange(server.address, message("/mcp", PING)))).await;
    for answer in answers {
        assert!(answer.contains(r#""id":1"#), "{answer}");
    }
}

/// The accept loop with the server's own router, and with little patience.
#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let options = Options {
        header_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve::serve(
        listener,
        axum::Router::new(),
        options,
        stop.clone(),
        stop.clone(),
    ));
    let mut slow = Raw::connect(address).await;
    let mut idle = Raw::connect(address).await;
    slow.send("GET / HT").await;
    // A byte now and then does not help.
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            slow.send("T").await;
            if slow.is_closed() {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, trickle)
        .await
        .expect("cut off");
    assert_eq!(idle.rest().await, "", "and so is one that says nothing");
    stop.cancel();
    serving.await.expect("ran").expect("served");
}
