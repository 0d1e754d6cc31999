//! Word of what changes among saved jobs, in both eras and over each transport.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    saved_jobs::{Keeper, posting},
    stdio::Process,
    support::{DEADLINE, Replicas, Stream, TestServer, initialize, modern, notification, request},
};

fn subscription(id: u64, method: &str, job_id: &str) -> Value {
    request(id, method, json!({ "uri": format!("jobs://saved/{job_id}") }))
}

fn save(id: u64, title: &str, job_id: &str) -> Value {
    let arguments = json!({ "jobs": [posting(job_id, title)] });
    request(
        id,
        "tools/call",
        json!({ "name": "save_jobs", "arguments": arguments }),
    )
}

async fn save_over_http(server: &TestServer, title: &str, job_id: &str) {
    let answer = server
        .post("/mcp", &save(1, title, job_id))
        .send()
        .await
        .expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["result"]["isError"], false, "{answer}");
}

fn updated(job_id: &str) -> Value {
    notification(
        "notifications/resources/updated",
        json!({ "uri": format!("jobs://saved/{job_id}") }),
    )
}

fn list_changed() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/resources/list_changed" })
}

#[tokio::test]
async fn a_session_hears_of_what_it_subscribed_to_until_it_unsubscribes() {
    let keeper = Keeper::start(&[]).await;
    let server = &keeper.server;
    save_over_http(server, "Nurse", "a").await;
    let mut stream = Stream::open(server).await;
    stream.ask(server, &initialize(1, "2025-11-25")).await;
    let unknown = stream
        .ask(server, &subscription(2, "resources/subscribe", "unknown"))
        .await;
    assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
    let answer = stream
        .ask(server, &subscription(3, "resources/subscribe", "a"))
        .await;
    assert_eq!(answer["result"], json!({}), "{answer}");
    save_over_http(server, "Head Nurse", "a").await;
    assert_eq!(stream.message().await, updated("a"));
    stream
        .ask(server, &subscription(4, "resources/unsubscribe", "a"))
        .await;
    save_over_http(server, "Chief Nurse", "a").await;
    // A client that has seen the list hears when it changes; what it unsubscribed from it does not.
    stream.ask(server, &request(5, "resources/list", json!({}))).await;
    save_over_http(server, "Chef", "b").await;
    assert_eq!(stream.message().await, list_changed());
}

#[tokio::test]
async fn only_its_own_clients_hear_of_what_a_principal_saves() {
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    let (alices, bobs) = ("alices-token-0123456789", "bobs-token-0123456789");
    std::fs::write(tokens.path(), format!("alice {alices}\nbob {bobs}\n")).expect("written");
    let file = tokens.path().to_str().expect("text");
    let keeper = Keeper::start(&[("AUTH", "bearer"), ("AUTH_TOKENS_FILE", file)]).await;
    let server = &keeper.server;
    let mut streams = Vec::new();
    for token in [alices, bobs] {
        let opened = server.get("/sse").bearer_auth(token).send().await;
        let mut stream = Stream::of(opened.expect("answered")).await;
        let list = request(1, "resources/list", json!({}));
        let sent = server
            .post(&stream.endpoint, &list)
            .bearer_auth(token)
            .send()
            .await;
        assert_eq!(sent.expect("answered").status(), StatusCode::ACCEPTED);
        assert_eq!(stream.message().await["id"], 1);
        streams.push(stream);
    }
    let [mut hers, mut his] = <[_; 2]>::try_from(streams).ok().expect("two");
    let saved = server
        .post("/mcp", &save(1, "Nurse", "a"))
        .bearer_auth(alices)
        .send()
        .await;
    assert_eq!(saved.expect("answered").status(), StatusCode::OK);
    assert_eq!(hers.message().await, list_changed());
    let ping = request(2, "ping", json!({}));
    let sent = server.post(&his.endpoint, &ping).bearer_auth(bobs).send().await;
    assert_eq!(sent.expect("answered").status(), StatusCode::ACCEPTED);
    assert_eq!(his.message().await["id"], 2, "nothing came before");
}

/// "No session lost" holds for what a client subscribed to: it goes on elsewhere, and what it may have missed is told.
#[tokio::test]
async fn a_session_that_goes_on_elsewhere_hears_on() {
    let replicas = Replicas::new();
    let volume = tempfile::tempdir().expect("temporary folder");
    let root = volume.path().to_str().expect("text");
    let environment = [("SAVED_JOBS", "shared"), ("IAM_DATA_ROOT", root)];
    let one = replicas.start_with(1, &environment, |_| {}).await;
    let two = replicas.start_with(2, &environment, |_| {}).await;
    save_over_http(&one, "Nurse", "a").await;
    save_over_http(&one, "Chef", "b").await;
    let mut stream = Stream::open(&one).await;
    stream.ask(&one, &initialize(1, "2025-11-25")).await;
    stream
        .ask(&one, &subscription(2, "resources/subscribe", "a"))
        .await;
    stream
        .ask(&one, &subscription(3, "resources/subscribe", "b"))
        .await;
    stream
        .ask(&one, &subscription(4, "resources/unsubscribe", "b"))
        .await;
    one.shutdown.stop();
    while stream.event().await.is_some() {}
    // Twice: the second stream gives what the first did.
    let mut stream = stream.resume(&two).await;
    assert_eq!(stream.message().await, updated("a"));
    let mut stream = stream.resume(&two).await;
    assert_eq!(stream.message().await, updated("a"));
    save_over_http(&two, "Head Nurse", "a").await;
    assert_eq!(stream.message().await, updated("a"));
    let next = stream.ask(&two, &request(5, "ping", json!({}))).await;
    assert_eq!(next["result"], json!({}), "nothing of b, and nothing of the list");
}

/// Two replicas on one volume: what one saves, the clients of the other hear of. A message that one passes on to
/// the other is its sender's still.
#[tokio::test]
async fn what_another_replica_saves_is_heard_of() {
    let replicas = Replicas::new();
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    let token = "alices-token-0123456789";
    std::fs::write(tokens.path(), format!("alice {token}\n")).expect("written");
    let volume = tempfile::tempdir().expect("temporary folder");
    let environment = [
        ("SAVED_JOBS", "shared"),
        ("IAM_DATA_ROOT", volume.path().to_str().expect("text")),
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", tokens.path().to_str().expect("text")),
    ];
    let one = replicas.start_with(1, &environment, |_| {}).await;
    let two = replicas.start_with(2, &environment, |_| {}).await;
    let opened = one.get("/sse").bearer_auth(token).send().await;
    let mut stream = Stream::of(opened.expect("answered")).await;
    // By the other replica, which passes it on.
    let list = request(1, "resources/list", json!({}));
    let sent = two.post(&stream.endpoint, &list).bearer_auth(token).send().await;
    assert_eq!(sent.expect("answered").status(), StatusCode::ACCEPTED);
    assert_eq!(stream.message().await["id"], 1);
    let saved = two
        .post("/mcp", &save(1, "Nurse", "a"))
        .bearer_auth(token)
        .send()
        .await;
    assert_eq!(saved.expect("answered").status(), StatusCode::OK);
    assert_eq!(stream.message().await, list_changed());
    let read = request(2, "resources/read", json!({ "uri": "jobs://saved/a" }));
    let sent = two.post(&stream.endpoint, &read).bearer_auth(token).send().await;
    assert_eq!(sent.expect("answered").status(), StatusCode::ACCEPTED);
    let answer = stream.message().await;
    assert!(answer["result"]["contents"][0]["text"].is_string(), "{answer}");
}

#[tokio::test]
async fn replicas_without_a_shared_volume_save_nothing() {
    let replicas = Replicas::new();
    let volume = tempfile::tempdir().expect("temporary folder");
    let root = volume.path().to_str().expect("text");
    let file = replicas.key_file.to_str().expect("text");
    let environment = [
        ("IAM_DATA_ROOT", root),
        ("SESSION_KEY_FILE", file),
        ("POD_IP", "127.0.0.1"),
        ("POD_UID", "01234567-89ab-cdef-0123-456789abcdef"),
        ("PEER_PORT", "1"),
    ];
    let change = |settings: &mut iam_mcp_server::config::Settings| {
        if let Some(replica) = &mut settings.sessions.replica {
            replica.port = 0;
        }
    };
    let alone = TestServer::start_with(&environment, change).await;
    assert!(
        !alone
            .ask("tools/list", json!({}))
            .await
            .to_string()
            .contains("save_jobs")
    );
    let environment = [environment.as_slice(), &[("SAVED_JOBS", "shared")]].concat();
    let shared = TestServer::start_with(&environment, change).await;
    assert!(
        shared
            .ask("tools/list", json!({}))
            .await
            .to_string()
            .contains("save_jobs")
    );
}

/// An answer that is a stream of events.
struct Listening {
    response: reqwest::Response,
    buffer: String,
}

impl Listening {
    async fn start(server: &TestServer, filter: Value) -> Self {
        let listen = modern::message(
            "subscriptions/listen",
            json!({ "notifications": filter }),
            &json!({}),
        );
        let response = modern::post(server, &listen).send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next message; `None` at the end.
    async fn message(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.and_then(|data| serde_json::from_str(data.trim()).ok());
                let rest = rest.to_owned();
                self.buffer = rest;
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("in time");
            let chunk = chunk.expect("a clean end")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// The next message of this method.
    async fn next(&mut self, method: &str) -> Value {
        loop {
            let message = self.message().await.expect("a message");
            if message["method"] == method {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn clients_of_2026_07_28_listen() {
    let keeper = Keeper::start(&[]).await;
    let server = &keeper.server;
    let filter = json!({
        "resourcesListChanged": true, "toolsListChanged": true,
        "resourceSubscriptions": ["jobs://saved/a", "file:///etc/passwd"],
    });
    let mut listening = Listening::start(server, filter).await;
    let first = listening.message().await.expect("a message");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    // What it will hear of, and no more.
    let expected = json!({ "resourcesListChanged": true, "resourceSubscriptions": ["jobs://saved/a"] });
    assert_eq!(first["params"]["notifications"], expected, "{first}");
    // Not listed and not there yet, but heard of as soon as it is.
    save_over_http(server, "Nurse", "a").await;
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < 2 {
        let message = listening.message().await.expect("a message");
        assert_eq!(
            message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1,
            "{message}"
        );
        heard.insert(message["method"].as_str().expect("a method").to_owned());
    }
    save_over_http(server, "Head Nurse", "a").await;
    let news = listening.next("notifications/resources/updated").await;
    assert_eq!(news["params"]["uri"], "jobs://saved/a");
    // The server stops: it says so with a result.
    server.shutdown.stop();
    let last = loop {
        match listening.message().await {
            Some(message) if message["method"].is_null() => break message,
            Some(_) => {}
            None => panic!("cut off"),
        }
    };
    assert_eq!(
        (&last["id"], &last["result"]["resultType"]),
        (&json!(1), &json!("complete")),
        "{last}"
    );
}

#[tokio::test]
async fn where_nothing_is_saved_nobody_listens() {
    let server = TestServer::start(&[("SAVED_JOBS", "off")]).await;
    let filter = json!({ "notifications": { "resourcesListChanged": true } });
    let listen = modern::message("subscriptions/listen", filter, &json!({}));
    let answer = modern::post(&server, &listen).send().await.expect("answered");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn over_stdio_too_in_both_eras() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path().to_str().expect("text");
    let mut process = Process::start(&["stdio"], &[("IAM_DATA_ROOT", root)]);
    process.ask(&initialize(1, "2025-06-18")).await;
    process.ask(&request(2, "resources/list", json!({}))).await;
    process.send(&save(3, "Nurse", "a")).await;
    // The answer and the news come in any order.
    let both = [process.next().await, process.next().await];
    assert!(both.contains(&list_changed()), "{both:?}");
    process.ask(&subscription(4, "resources/subscribe", "a")).await;
    process.send(&save(5, "Head Nurse", "a")).await;
    let both = [process.next().await, process.next().await];
    assert!(both.contains(&updated("a")), "{both:?}");

    let mut process = Process::start(&["stdio"], &[("IAM_DATA_ROOT", root)]);
    let filter = json!({ "notifications": { "resourceSubscriptions": ["jobs://saved/a"] } });
    process
        .send(&modern::message("subscriptions/listen", filter, &json!({})))
        .await;
    assert_eq!(
        process.next().await["method"],
        "notifications/subscriptions/acknowledged"
    );
    let arguments = json!({ "jobs": [posting("a", "Chief Nurse")] });
    let mut save = modern::message(
        "tools/call",
        json!({ "name": "save_jobs", "arguments": arguments }),
        &json!({}),
    );
    save["id"] = 2.into();
    process.send(&save).await;
    let news = loop {
        let message = process.next().await;
        if message["method"] == "notifications/resources/updated" {
            break message;
        }
    };
    assert_eq!(news["params"]["uri"], "jobs://saved/a");
}
