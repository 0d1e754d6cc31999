//! Limits that several servers share, in a real Valkey or Redis.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{
    DEADLINE, TestServer, request,
    store::{PASSWORD, StoreServer, free_port},
};

const UP: &str = "iam_mcp_limits_store{state=\"up\"} 1";
const AWAY: &str = "iam_mcp_limits_store{state=\"away\"} 1";

/// One that waits for the store however busy this machine is: what is counted must be counted there.
async fn server(url: &str, limits: &[(&str, &str)]) -> TestServer {
    TestServer::start_with(&[limits, &[("LIMITS_URL", url)]].concat(), |settings| {
        settings.limits.store_answer = DEADLINE;
    })
    .await
}

/// Whether one more call is served.
async fn called(server: &TestServer) -> bool {
    let call = json!({ "name": "search_jobs", "arguments": { "role": "rust" } });
    let answer = server.ask("tools/call", call).await;
    answer["result"]["isError"] != true
}

async fn calls(server: &TestServer, tries: usize) -> usize {
    let mut good = 0;
    for _ in 0..tries {
        good += usize::from(called(server).await);
    }
    good
}

#[tokio::test]
async fn two_replicas_count_together() {
    let store = StoreServer::start().await;
    let limits = [("TOOL_LIMITS", "search_jobs=5/hour"), ("RATE_LIMIT", "0")];
    let (one, two) = (
        server(&store.url(), &limits).await,
        server(&store.url(), &limits).await,
    );
    for server in [&one, &two] {
        server.until_metric(UP).await;
    }
    assert_eq!(
        (calls(&one, 3).await, calls(&two, 5).await, calls(&one, 3).await),
        (3, 2, 0)
    );
    // Refused by what the other one served.
    let refused = two
        .ask("tools/call", json!({ "name": "search_jobs", "arguments": {} }))
        .await;
    let text = refused["result"]["content"][0]["text"].as_str().expect("text");
    let wait: u64 = text
        .split(' ')
        .find_map(|word| word.parse().ok())
        .expect("a number");
    assert!((600..=720).contains(&wait), "one in twelve minutes: {text}");
}

#[tokio::test]
async fn messages_are_counted_together_too() {
    let limits = [("RATE_LIMIT", "1")];
    let ping = request(1, "ping", json!({}));
    // Two may come at once. Where a second passes meanwhile, as it can on a busy machine, it says nothing.
    for _ in 0..10 {
        let store = StoreServer::start().await;
        let (one, two) = (
            server(&store.url(), &limits).await,
            server(&store.url(), &limits).await,
        );
        for server in [&one, &two] {
            server.until_metric(UP).await;
        }
        let (start, mut served) = (Instant::now(), 0);
        for server in [&one, &two, &one, &two] {
            let answer = server.post("/mcp", &ping).send().await.expect("answered");
            served += usize::from(answer.status() != StatusCode::TOO_MANY_REQUESTS);
        }
        if start.elapsed() < Duration::from_secs(1) {
            assert_eq!(served, 2, "alone each of them serves two");
            return;
        }
    }
    panic!("four messages took a second, ten times");
}

/// A quota is whole again after its time, by the store's clock.
#[tokio::test]
async fn what_was_used_comes_back() {
    let store = StoreServer::start().await;
    let limits = [("TOOL_LIMITS", "search_jobs=5/s"), ("RATE_LIMIT", "0")];
    let (one, two) = (
        server(&store.url(), &limits).await,
        server(&store.url(), &limits).await,
    );
    for server in [&one, &two] {
        server.until_metric(UP).await;
    }
    let start = Instant::now();
    while called(&one).await {
        assert!(start.elapsed() < DEADLINE, "no limit");
    }
    while !called(&two).await {
        assert!(start.elapsed() < DEADLINE, "nothing came back");
    }
}

#[tokio::test]
async fn while_the_store_is_away_each_counts_for_itself_and_it_comes_back_by_itself() {
    let mut store = StoreServer::start().await;
    let limits = [("TOOL_LIMITS", "search_jobs=4/hour"), ("RATE_LIMIT", "0")];
    let (one, two) = (
        server(&store.url(), &limits).await,
        server(&store.url(), &limits).await,
    );
    for server in [&one, &two] {
        server.until_metric(UP).await;
    }
    assert_eq!((calls(&one, 2).await, calls(&two, 1).await), (2, 1));
    store.stop();
    // What each has served itself is not forgotten.
    assert_eq!((calls(&one, 5).await, calls(&two, 5).await), (2, 3));
    for server in [&one, &two] {
        server.until_metric(AWAY).await;
    }
    store.start_again().await;
    for server in [&one, &two] {
        server.until_metric(UP).await;
    }
    // A third that comes now counts with what is in the store, which is empty.
    let three = server(&store.url(), &limits).await;
    three.until_metric(UP).await;
    assert_eq!(calls(&three, 5).await, 4);
}

#[tokio::test]
async fn a_store_that_hangs_holds_nobody_up() {
    let store = StoreServer::start().await;
    let limits = [("TOOL_LIMITS", "search_jobs=4/hour"), ("RATE_LIMIT", "0")];
    let server = TestServer::start(&[limits[0], limits[1], ("LIMITS_URL", &store.url())]).await;
    server.until_metric(UP).await;
    assert!(called(&server).await);
    store.signal("STOP");
    // The requests' own deadline would end this test; that of the store is a fiftieth of a second.
    assert_eq!(calls(&server, 5).await, 3);
    server.until_metric(AWAY).await;
    let slow = "iam_mcp_limits_store_failures_total{cause=\"slow\"}";
    assert!(server.metrics().await.contains(slow));
    store.signal("CONT");
    server.until_metric(UP).await;
}

#[tokio::test]
async fn a_store_that_refuses_is_as_good_as_away() {
    let store = StoreServer::start().await;
    let wrong = store.url().replace(PASSWORD, "wrong");
    let server = server(
        &wrong,
        &[("TOOL_LIMITS", "search_jobs=2/hour"), ("RATE_LIMIT", "0")],
    )
    .await;
    server.until_metric(AWAY).await;
    assert_eq!(calls(&server, 4).await, 2);
    let start = Instant::now();
    while !server
        .metrics()
        .await
        .contains("iam_mcp_limits_store_failures_total{cause=\"refused\"}")
    {
        assert!(start.elapsed() < DEADLINE, "not refused");
    }
}

/// Said once, and never with the password.
#[tokio::test]
async fn that_the_store_is_away_is_logged_once_without_its_password() {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", free_port());
    let admin = free_port();
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
        .arg("http")
        .env_clear()
        .envs([
            ("PORT", "0"),
            ("ADMIN_PORT", &admin.to_string()),
            ("LOG_LEVEL", "TRACE"),
            ("LIMITS_URL", &url),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary");
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let log = async {
        let mut log = Vec::new();
        while let Some(line) = lines.next_line().await.expect("text") {
            log.push(line);
        }
        log
    };
    let ended = async {
        // It has tried again, and said nothing of it.
        until_failures(admin, 3).await;
        process.start_kill().expect("running");
    };
    let (log, ()) = tokio::join!(log, ended);
    let mut warnings = Vec::new();
    for line in log {
        assert!(!line.contains(PASSWORD), "{line}");
        if line.contains("limits' store") {
            warnings.push(line);
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = &warnings[0];
    assert!(
        warning.contains("WARN") && warning.contains("cannot be reached"),
        "{warning}"
    );
}

async fn until_failures(admin: u16, least: u64) {
    const NAME: &str = "iam_mcp_limits_store_failures_total{cause=\"unreachable\"} ";
    let (client, start) = (reqwest::Client::new(), Instant::now());
    loop {
        let asked = client
            .get(format!("http://127.0.0.1:{admin}/metrics"))
            .send()
            .await;
        let metrics = match asked {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        let count = metrics.lines().find_map(|line| line.strip_prefix(NAME));
        if count.is_some_and(|count| count.parse::<u64>().expect("a number") >= least) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{count:?} failures");
        tokio::task::yield_now().await;
    }
}
