//! The binary, serving HTTP, with all that it writes on stderr.

use std::{process::Stdio, sync::Arc, time::Instant};

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use super::{DEADLINE, client};

/// A server process, on free ports.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
    pub(crate) admin: String,
    pub(crate) client: Client,
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Process {
    /// With these environment variables, and none of the test's. It must log at `info` at least.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"))
            .arg("http")
            .env_clear()
            .envs([("PORT", "0")])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let reading = tokio::spawn({
            let lines = Arc::clone(&lines);
            async move {
                while let Ok(Some(line)) = log.next_line().await {
                    lines.lock().push(line);
                }
            }
        });
        let mut process = Self {
            child,
            address: String::new(),
            admin: String::new(),
            client: client(),
            lines,
            reading,
        };
        let serving = process.until_line(|line| line["address"].is_string()).await;
        let text = |name: &str| serving[name].as_str().unwrap_or_default().to_owned();
        (process.address, process.admin) = (text("address"), text("admin"));
        process
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// A message as MCP clients send it.
    pub(crate) fn post(&self, path: &str, message: &Value) -> RequestBuilder {
        self.client
            .post(self.url(path))
            .header("Accept", "application/json, text/event-stream")
            .json(message)
    }

    /// All lines so far, each of which must be JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.lines.lock();
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        lines.iter().map(parse).collect()
    }

    /// Waits for a line like this.
    pub(crate) async fn until_line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            assert!(start.elapsed() < DEADLINE, "no such line in {log:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("running").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill").success());
    }

    /// Stops it, and gives everything that it ever wrote.
    pub(crate) async fn stop(mut self) -> String {
        self.signal("TERM").await;
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        assert!(status.expect("ends").expect("a status").success());
        tokio::time::timeout(DEADLINE, &mut self.reading)
            .await
            .expect("ends")
            .expect("read");
        let lines = self.lines.lock();
        lines.join("\n")
    }
}
