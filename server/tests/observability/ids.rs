//! One id from the client to the replica that answers.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Process, Replicas, Stream, TestServer, request, search};

fn header(response: &reqwest::Response, name: &str) -> String {
    let value = response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    value.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn every_answer_names_its_request_and_sane_ids_are_the_clients() {
    let server = TestServer::start(&[("ALLOWED_HOSTS", "example.com")]).await;
    let ping = request(1, "ping", json!({}));
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/mcp"),
        ("POST", "/mcp"),
        ("GET", "/nothing"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let ask = || {
            server
                .client
                .request(method.clone(), server.url(path))
                .json(&ping)
        };
        let made = ask().send().await.expect("answered");
        let id = header(&made, "x-request-id");
        assert_eq!(
            uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(),
            7,
            "{path}"
        );
        assert_eq!(header(&made, "x-session-id"), id, "{path}");
        let taken = ask()
            .header("X-Request-ID", "mine")
            .header("X-Session-ID", "ours");
        let taken = taken.send().await.expect("answered");
        assert_eq!(
            (header(&taken, "x-request-id"), header(&taken, "x-session-id")),
            ("mine".to_owned(), "ours".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_older_session_has_one_tag_on_every_answer_and_it_is_not_its_id() {
    let server = TestServer::start(&[]).await;
    let opened = server.get("/sse").send().await.expect("answered");
    let tag = header(&opened, "x-session-id");
    let stream = Stream::of(opened).await;
    let posted = stream.post(&server, &request(1, "ping", json!({}))).await;
    assert_eq!(header(&posted, "x-session-id"), tag);
    assert_ne!(header(&posted, "x-request-id"), tag);
    assert!(!stream.endpoint.contains(&tag));
    let other = server.get("/sse").send().await.expect("answered");
    assert_ne!(header(&other, "x-session-id"), tag);
}

#[tokio::test]
async fn a_forwarded_call_is_audited_where_it_runs_under_the_id_it_came_with() {
    let replicas = Replicas::new();
    let log = tempfile::NamedTempFile::new().expect("temporary file");
    let path = log.path().to_str().expect("text");
    let owner = replicas.start_with(1, &[("AUDIT_LOG", path)], |_| {}).await;
    let other = replicas.start(2).await;
    let opened = owner.get("/sse").send().await.expect("answered");
    let tag = header(&opened, "x-session-id");
    let mut stream = Stream::of(opened).await;
    let sent = other
        .post(&stream.endpoint, &search(1, json!({ "role": "nurse" })))
        .header("X-Request-ID", "across")
        .send()
        .await
        .expect("answered");
    assert_eq!(sent.status(), StatusCode::ACCEPTED);
    assert_eq!(
        (header(&sent, "x-request-id"), header(&sent, "x-session-id")),
        ("across".to_owned(), tag.clone())
    );
    assert_eq!(stream.message().await["id"], 1);
    let line = std::fs::read_to_string(log.path()).expect("read");
    let line: Value = serde_json::from_str(&line).expect("one line of JSON");
    assert_eq!(
        (&line["request_id"], &line["session"]),
        (&json!("across"), &json!(tag))
    );
}

#[tokio::test]
async fn refused_requests_are_logged_with_their_ids_and_cause_and_others_at_debug() {
    let process = Process::start(&[("ADMIN_PORT", "0")]).await;
    let ask = |path: &str, id: &'static str| process.client.get(process.url(path)).header("X-Request-ID", id);
    for (path, id) in [
        ("/health", "fine"),
        ("/mcp", "usual"),
        ("/nothing?token=hush", "lost"),
    ] {
        ask(path, id)
            .header("X-Session-ID", "alice")
            .send()
            .await
            .expect("answered");
    }
    let bad_host = ask("/mcp", "rebound").header("Host", "evil.example").send().await;
    assert_eq!(bad_host.expect("answered").status(), StatusCode::FORBIDDEN);
    let lost = process.until_line(|line| line["request_id"] == "lost").await;
    // printf alice | sha256sum
    assert_eq!(lost["session"], "2bd806c97f0e00af");
    let shown =
        ["level", "method", "route", "status", "cause", "client", "message"].map(|name| lost[name].clone());
    let expected = json!([
        "INFO",
        "GET",
        "other",
        404,
        "not_found",
        "127.0.0.1",
        "request refused"
    ]);
    assert_eq!(json!(shown), expected);
    let rebound = process.until_line(|line| line["request_id"] == "rebound").await;
    assert_eq!(rebound["cause"], "host");
    let log = process.stop().await;
    for quiet in ["fine", "usual", "hush", "evil.example"] {
        assert!(!log.contains(quiet), "{quiet} in\n{log}");
    }
}

#[tokio::test]
async fn whoever_knocks_all_the_time_does_not_fill_the_log() {
    let process = Process::start(&[("ADMIN_PORT", "0"), ("RATE_LIMIT", "0")]).await;
    for _ in 0..400 {
        let answer = process.client.get(process.url("/nothing")).send().await;
        assert_eq!(answer.expect("answered").status(), StatusCode::NOT_FOUND);
    }
    // Some of the seconds that a busy machine needs for it may have let further lines through.
    let told = |log: &[Value]| {
        log.iter()
            .filter(|line| line["message"] == "request refused")
            .count()
    };
    let lines = told(&process.log());
    assert!((100..400).contains(&lines), "{lines}");
    // The next line says how many had none.
    let all = std::time::Instant::now();
    loop {
        process
            .client
            .get(process.url("/nothing"))
            .send()
            .await
            .expect("answered");
        if process.log().iter().any(|line| line["untold"].as_u64() > Some(0)) {
            break;
        }
        assert!(all.elapsed() < crate::support::DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
