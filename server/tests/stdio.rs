//! The binary on stdin and stdout.

use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    cancellation::{slow_provider, until_called},
    support::{DEADLINE, initialize, notification, request, search},
};

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
        let line = tokio::time::timeout(DEADLINE, self.stdout.next_line())
            .await
            .expect("in time")
            .expect("text")?;
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        Some(message)
    }

    fn terminate(&self) {
        let pid = self.child.id().expect("running").to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("ends")
            .expect("a status")
    }
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
    drop(process.stdin);
    while let Ok(Some(line)) = process.stdout.next_line().await {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
    let status = tokio::time::timeout(DEADLINE, process.child.wait())
        .await
        .expect("ends")
        .expect("a status");
    assert!(status.success());
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
    let mut process = start(&["stdio"]);
    drop(process.stdin);
    let status = tokio::time::timeout(DEADLINE, process.child.wait())
        .await
        .expect("ends")
        .expect("a status");
    assert!(status.success());
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
