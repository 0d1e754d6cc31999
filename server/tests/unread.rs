//! A stream that nobody reads.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    process::serving,
    support::{DEADLINE, Stream, TestServer, client, error_of, initialize, raw::Raw, request},
};

/// Requests to a session whose stream is not read; upstream and plain channels take them all.
const REQUESTS: u64 = 400;

/// The size of an answer. All together are more than the system buffers for a connection.
const ANSWER_BYTES: usize = 50_000;

/// What these may cost the server: the answers in its backlog and of calls in flight, a fifth of all.
const MOST_KB: u64 = 8192;

/// Resident memory of a process, in kB.
#[cfg(target_os = "linux")]
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("running");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.expect("a size").trim().trim_end_matches(" kB");
    line.parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_grow() {
    let (child, address) = serving(&[("RATE_LIMIT", "0")]).await;
    let pid = child.id().expect("running");
    let mut stream = Raw::connect(address.parse().expect("an address")).await;
    stream.send("GET /sse HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let first = stream.until("\n\n").await;
    let endpoint = first
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("an address");
    let url = format!("http://{address}{endpoint}");
    let client = client();
    let post = async |message| {
        let sent = client.post(&url).json(&message).send();
        sent.await.expect("answered").status()
    };
    assert_eq!(post(initialize(0, "2025-06-18")).await, StatusCode::ACCEPTED);
    // So that what the first call makes does not count.
    client
        .post(format!("http://{address}/mcp"))
        .json(&request(1, "tools/list", json!({})))
        .send()
        .await
        .expect("answered");
    let before = resident_kb(pid);
    let mut seen = BTreeMap::<_, u64>::new();
    let padding = "x".repeat(ANSWER_BYTES);
    for id in 1..=REQUESTS {
        // The answer has the same id.
        let status =
            post(json!({ "jsonrpc": "2.0", "id": format!("{id}{padding}"), "method": "ping" })).await;
        *seen.entry(status.as_u16()).or_default() += 1;
    }
    let grown = resident_kb(pid).saturating_sub(before);
    eprintln!("grown {grown} kB {seen:?}");
    assert!(grown < MOST_KB, "{grown} kB for {seen:?}");
    // The system buffers some answers; of the others each is refused, or its session has ended.
    assert!(
        seen.keys().all(|status| [202, 503, 404].contains(status)),
        "{seen:?}"
    );
    // Its place is given to somebody else, although the connection is still there, full to the brim.
    let start = std::time::Instant::now();
    while post(request(0, "ping", json!({}))).await != StatusCode::NOT_FOUND {
        assert!(start.elapsed() < DEADLINE, "it stays");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(stream);
}

/// With small buffers, in this process: what happens at the edge.
#[tokio::test]
async fn an_unread_session_refuses_and_ends_and_others_do_not_notice() {
    let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
    let unread = Stream::open(&server).await;
    let mut other = Stream::open(&server).await;
    // Large answers, since the system's buffers are large.
    let large = "x".repeat(100_000);
    let mut refused = None;
    for id in 0..1000 {
        let message = json!({ "jsonrpc": "2.0", "id": format!("{id}-{large}"), "method": "ping" });
        let answer = unread.post(&server, &message).await;
        if answer.status() != StatusCode::ACCEPTED {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert!(refused.headers().contains_key("retry-after"));
    let (status, code, message) = error_of(refused).await;
    assert_eq!((status, code), (503, -32000), "{message}");
    assert!(
        message.contains("not being read") || message.contains("still being answered"),
        "{message}"
    );
    assert_eq!(
        other.ask(&server, &request(1, "ping", json!({}))).await["result"],
        json!({})
    );
    server
        .until_metric("iam_mcp_sse_sessions_ended_total{cause=\"stalled\"} 1")
        .await;
    assert_eq!(
        unread
            .post(&server, &request(1, "ping", json!({})))
            .await
            .status(),
        StatusCode::NOT_FOUND
    );
}
