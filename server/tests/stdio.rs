//! The binary on stdin and stdout.

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::{
    cancellation::{slow_provider, until_called},
    support::{DEADLINE, initialize, modern, notification, request, search},
};

/// How long rmcp waits for answers when stdin has ended; clients end a server after two seconds.
const RMCP_WAITS: Duration = Duration::from_secs(5);

/// The server as a child process.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

fn start(arguments: &[&str]) -> Process {
    Process::start(arguments, &[])
}

impl Process {
    /// With these variables, and none of ours.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
            .args(arguments)
            .env_clear()
            .env("LOG_LEVEL", "DEBUG")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, stdin, stdout }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        self.line().await.expect("a message")
    }

    /// Sends a request and reads its answer, which must be the next message.
    pub(crate) async fn ask(&mut self, request: &Value) -> Value {
        self.send(request).await;
        let answer = self.next().await;
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .await
            .expect("written");
    }

    /// The next line, which must be JSON-RPC.
    async fn line(&mut self) -> Option<Value> {
        next_line(&mut self.stdout).await
    }

    /// Closes stdin, and reads what comes until the process ends, which must be well.
    async fn close(mut self) -> Vec<Value> {
        self.stdin.shutdown().await.expect("closed");
        drop(self.stdin);
        let (mut child, mut stdout) = (self.child, self.stdout);
        let mut messages = Vec::new();
        while let Some(message) = next_line(&mut stdout).await {
            messages.push(message);
        }
        assert!(ended(&mut child).await.success());
        messages
    }

    fn terminate(&self) {
        let pid = self.child.id().expect("running").to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }
}

async fn next_line(stdout: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = tokio::time::timeout(DEADLINE, stdout.next_line())
        .await
        .expect("in time")
        .expect("text")?;
    let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    assert_eq!(message["jsonrpc"], "2.0", "{line}");
    Some(message)
}

async fn ended(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("ends")
        .expect("a status")
}

/// Opens the conversation, searches, and closes stdin: every line of stdout is JSON-RPC.
async fn converse(arguments: &[&str]) {
    let mut process = start(arguments);
    process.send(&initialize(1, "2025-11-25")).await;
    assert_eq!(
        process.line().await.expect("an answer")["result"]["protocolVersion"],
        "2025-11-25"
    );
    process
        .send(&notification("notifications/initialized", json!({})))
        .await;
    process
        .send(&search(
            2,
            json!({ "role": "chef", "city": "Paris", "country": "FR" }),
        ))
        .await;
    let answer = process.line().await.expect("an answer");
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef");
    // rmcp passes over what is no message, as the other SDKs do.
    process
        .stdin
        .write_all(b"this is not JSON\n")
        .await
        .expect("written");
    process.send(&request(3, "ping", json!({}))).await;
    assert_eq!(process.line().await.expect("an answer")["id"], 3);
    assert_eq!(process.close().await, Vec::<Value>::new());
}

#[tokio::test]
async fn nothing_but_json_rpc_is_on_stdout() {
    converse(&["stdio"]).await;
}

#[tokio::test]
async fn stdio_is_what_it_does_alone_and_with_the_python_images_argument() {
    converse(&[]).await;
    converse(&["mcp_server_iam"]).await;
}

#[tokio::test]
async fn clients_of_2026_07_28_need_no_handshake() {
    let mut process = start(&["stdio"]);
    let meta = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    process.send(&request(1, "server/discover", meta)).await;
    let answer = process.line().await.expect("an answer");
    assert_eq!(
        answer["result"]["supportedVersions"].as_array().map(Vec::len),
        Some(5),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_says_nothing_is_no_error() {
    assert_eq!(start(&["stdio"]).close().await, Vec::<Value>::new());
}

/// Clients that look what a server speaks start it, ask, and end it before they open a conversation.
#[tokio::test]
async fn a_server_that_is_told_to_end_before_the_conversation_opens_ends_well() {
    let mut process = start(&["stdio"]);
    process.send(&request(1, "ping", json!({}))).await;
    assert_eq!(process.line().await.expect("an answer")["id"], 1);
    process.terminate();
    assert!(process.ended().await.success());
}

/// A subscription has no end of its own: rmcp would wait for it for five seconds, and cut it off. Here it has a result.
#[tokio::test]
async fn a_subscription_ends_when_stdin_does() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path().to_str().expect("text");
    let mut process = Process::start(&["stdio"], &[("IAM_DATA_ROOT", root)]);
    let filter = json!({ "notifications": { "resourcesListChanged": true } });
    process
        .send(&modern::message("subscriptions/listen", filter, &json!({})))
        .await;
    let method = "notifications/subscriptions/acknowledged";
    assert_eq!(process.next().await["method"], method);
    let rest = process.close().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(
        (&rest[0]["id"], &rest[0]["result"]["resultType"]),
        (&json!(1), &json!("complete"))
    );
}

/// Neither is there anybody left to ask.
#[tokio::test]
async fn a_question_ends_when_stdin_does() {
    let mut process = start(&["stdio"]);
    let mut opening = initialize(1, "2025-11-25");
    opening["params"]["capabilities"] = json!({ "elicitation": {} });
    process.ask(&opening).await;
    process.send(&search(2, json!({ "num_jobs": 1 }))).await;
    assert_eq!(process.next().await["method"], "elicitation/create");
    let rest = process.close().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    let text = rest[0]["result"]["content"][0]["text"].as_str();
    assert!(
        text.is_some_and(|text| text.contains("did not answer")),
        "{rest:?}"
    );
}

/// Somebody who pipes a few messages in has the answers all the same.
#[tokio::test]
async fn a_call_is_answered_although_stdin_has_ended() {
    let mut process = start(&["stdio"]);
    process.ask(&initialize(1, "2025-11-25")).await;
    process.send(&search(2, json!({ "role": "chef" }))).await;
    let rest = process.close().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0]["result"]["structuredContent"]["jobs"][0]["title"], "Chef");
}

/// Nobody reads the answer to a call whose client closed stdin and then sent SIGTERM; Python's library fails at one.
#[tokio::test]
async fn what_a_signal_ends_is_not_answered() {
    let provider = slow_provider().await;
    let mut process = Process::start(
        &["stdio"],
        &[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", "key")],
    );
    process.send(&initialize(1, "2025-11-25")).await;
    process.line().await.expect("an answer");
    process
        .send(&notification("notifications/initialized", json!({})))
        .await;
    process.send(&search(2, json!({ "role": "chef" }))).await;
    until_called(&provider).await;
    process.terminate();
    assert_eq!(process.line().await, None, "nothing more on stdout");
    assert!(process.ended().await.success());
}

/// Neither does one wait that is still to be acknowledged; of many, some are whenever the end of stdin is seen.
#[tokio::test]
async fn subscriptions_that_are_not_acknowledged_end_when_stdin_does() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path().to_str().expect("text");
    let mut process = Process::start(&["stdio"], &[("IAM_DATA_ROOT", root)]);
    let filter = json!({ "notifications": { "resourcesListChanged": true } });
    let mut listen = modern::message("subscriptions/listen", filter, &json!({}));
    let listens: Vec<String> = (1..=30)
        .map(|id| {
            listen["id"] = json!(id);
            format!("{listen}\n")
        })
        .collect();
    process
        .stdin
        .write_all(listens.concat().as_bytes())
        .await
        .expect("written");
    let started = Instant::now();
    let rest = process.close().await;
    assert!(started.elapsed() < RMCP_WAITS, "{:?}", started.elapsed());
    let ended = rest
        .iter()
        .filter(|message| message["result"]["resultType"] == "complete");
    assert_eq!(ended.count(), 30, "{rest:?}");
}

/// Progress that can no longer be told does not keep the answer back.
#[tokio::test]
async fn a_call_with_progress_is_answered_although_stdin_has_ended() {
    let provider = MockServer::start().await;
    let none = json!({ "status": "OK", "data": [] });
    // The next page comes when stdin has ended, and the progress of the first is to be told.
    Mock::given(any())
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(none)
                .set_delay(Duration::from_millis(100)),
        )
        .mount(&provider)
        .await;
    let mut process = Process::start(
        &["stdio"],
        &[("RAPIDAPI_BASE_URL", &provider.uri()), ("RAPIDAPI_KEY", "key")],
    );
    process.ask(&initialize(1, "2025-11-25")).await;
    let mut call = search(2, json!({ "role": "chef", "num_jobs": 20 }));
    call["params"]["_meta"] = json!({ "progressToken": 1 });
    process.send(&call).await;
    let rest = process.close().await;
    let text = rest.last().expect("an answer")["result"]["content"][0]["text"].as_str();
    assert!(text.is_some_and(|text| text.contains("chef")), "{rest:?}");
}
