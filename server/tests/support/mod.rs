//! A server of one's own, and clients for it.

pub(crate) mod issuer;
pub(crate) mod modern;
mod process;
pub(crate) mod raw;
mod replicas;
mod sse;
pub(crate) mod store;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser as _;
use iam_mcp_runtime::shutdown::Shutdown;
use iam_mcp_server::{
    app::{self, Server},
    cli::{Cli, Task},
    config::{Settings, Transport},
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) use self::{process::Process, replicas::Replicas, sse::Stream};

/// The longest a test waits for anything. A machine under load may need it; a healthy server never does.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server in this process, on free ports.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) shutdown: Shutdown,
    pub(crate) client: Client,
    task: Option<JoinHandle<()>>,
}

impl TestServer {
    /// With these environment variables, and none of the process's.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_with(environment, |_| {}).await
    }

    /// And with settings that have no variable.
    pub(crate) async fn start_with(environment: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Self {
        let settings = Settings::read(|name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        let mut settings = settings.expect("valid settings");
        settings.http.port = 0;
        settings.http.admin_port = Some(0);
        change(&mut settings);
        let server = Server::bind(settings).await.expect("free ports");
        Self::run(server, |server, stop| async move { server.run(stop).await })
    }

    /// One that serves a program, with these arguments of `bridge`.
    pub(crate) async fn bridge(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let given = ["iam-mcp-server", "bridge"].iter().chain(arguments);
        let cli = Cli::try_parse_from(given).expect("valid arguments");
        let Task::Bridge(arguments) = cli.task(Transport::Stdio) else {
            panic!("another command");
        };
        let settings = Settings::read(|name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let mut settings = settings.expect("valid settings");
        settings.http.port = 0;
        settings.http.admin_port = Some(0);
        let server = Server::bind(settings).await.expect("free ports");
        Self::run(server, |server, stop| async move {
            server.bridge(stop, arguments).await
        })
    }

    fn run<F>(server: Server, serve: impl FnOnce(Server, Shutdown) -> F) -> Self
    where
        F: Future<Output = Result<(), app::Error>> + Send + 'static,
    {
        let (address, admin) = (
            server.address().expect("bound"),
            server.admin_address().expect("bound"),
        );
        let peer = server.peer_address();
        let shutdown = Shutdown::manual();
        let stop = shutdown.clone();
        let serving = serve(server, stop);
        let task = tokio::spawn(async move { serving.await.expect("serves") });
        Self {
            address,
            admin,
            peer,
            shutdown,
            client: client(),
            task: Some(task),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// A message as MCP clients send it.
    pub(crate) fn post(&self, path: &str, message: &Value) -> RequestBuilder {
        self.client
            .post(self.url(path))
            .header("Accept", "application/json, text/event-stream")
            .json(message)
    }

    /// The answer to a message of the initialize era.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self
            .post("/mcp", &request(1, method, params))
            .send()
            .await
            .expect("answered");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.expect("JSON")
    }

    /// The metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        self.client
            .get(url)
            .send()
            .await
            .expect("answered")
            .text()
            .await
            .expect("text")
    }

    /// Waits until the metrics have this line.
    pub(crate) async fn until_metric(&self, line: &str) {
        let start = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if metrics.lines().any(|shown| shown == line) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "no {line} in\n{metrics}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the server to end, once it was told to.
    pub(crate) async fn ended(mut self) {
        let task = self.task.take().expect("running");
        tokio::time::timeout(DEADLINE, task)
            .await
            .expect("ends in time")
            .expect("ends well");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.force();
    }
}

pub(crate) fn client() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(DEADLINE).build().expect("a client")
}

pub(crate) fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

pub(crate) fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

pub(crate) fn search(id: u64, arguments: Value) -> Value {
    request(
        id,
        "tools/call",
        json!({ "name": "search_jobs", "arguments": arguments }),
    )
}

pub(crate) fn initialize(id: u64, version: &str) -> Value {
    let client = json!({ "name": "test", "version": "1" });
    request(
        id,
        "initialize",
        json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client }),
    )
}

/// The JSON-RPC error of a refusal.
pub(crate) async fn error_of(response: Response) -> (u16, i64, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("a JSON-RPC error");
    assert_eq!(body["jsonrpc"], "2.0", "{body}");
    let code = body["error"]["code"].as_i64().expect("a code");
    (
        status,
        code,
        body["error"]["message"].as_str().expect("a message").to_owned(),
    )
}
