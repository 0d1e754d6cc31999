//! The operator as a child process.

use std::{
    fs::File,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::{metrics::Metrics, poll::eventually, setting};

/// Time for a start: connecting, finding the definition, filling the caches.
const START: Duration = Duration::from_secs(30);
/// Starts that are tried when somebody took the port that was free a moment ago.
const TRIES: u32 = 3;
/// Lines of the log that a failed test shows.
const LOG_LINES: usize = 60;

/// A running operator, killed when dropped.
pub struct Operator {
    child: Child,
    port: u16,
    log: PathBuf,
    http: reqwest::Client,
}

impl Operator {
    /// Starts an operator for `namespace` alone, and waits until it is ready.
    pub async fn start(namespace: &str) -> Self {
        Self::start_with(namespace, &[]).await
    }

    /// As [`Operator::start`], with more arguments.
    pub async fn start_with(namespace: &str, more: &[&str]) -> Self {
        Self::start_in(namespace, more, &[]).await
    }

    /// As [`Operator::start_with`], with more variables too.
    pub async fn start_in(namespace: &str, more: &[&str], environment: &[(&str, &str)]) -> Self {
        for _ in 0..TRIES {
            let mut operator = Self::spawn(namespace, more, environment);
            let ready = eventually(START, "the operator to be ready", || {
                let exited = operator.child.try_wait().expect("a child");
                let readyz = operator.get("/readyz");
                async move {
                    match (exited, readyz.await) {
                        (Some(_), _) => Ok(false),
                        (None, Some((200, _))) => Ok(true),
                        (None, other) => Err(format!("{other:?}")),
                    }
                }
            })
            .await;
            if ready {
                return operator;
            }
            assert!(
                operator.log().contains("cannot listen"),
                "the operator ended at its start:\n{}",
                operator.log()
            );
        }
        panic!("no free port in {TRIES} tries");
    }

    /// As [`Operator::start_in`], without waiting for anything.
    #[must_use]
    pub fn spawn(namespace: &str, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let log = std::env::temp_dir().join(format!(
            "iam-mcp-e2e-{}-{namespace}-{port}.log",
            std::process::id()
        ));
        let file = File::create(&log).expect("a log file");
        let child = command()
            .args([
                "run",
                "--watch-namespaces",
                namespace,
                "--log-format",
                "text",
                "--log-level",
                "info,iam_mcp_operator=debug",
            ])
            .arg("--metrics-bind")
            .arg(format!("127.0.0.1:{port}"))
            .args(more)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("E2E_OPERATOR_BIN can be started");
        Self {
            child,
            port,
            log,
            http: http_client(),
        }
    }

    /// GETs a path of the admin port; `None` when nobody answers.
    pub fn get(&self, path: &str) -> impl Future<Output = Option<(u16, String)>> + use<> {
        let request = self
            .http
            .get(format!("http://127.0.0.1:{}{path}", self.port))
            .timeout(Duration::from_secs(5));
        async move {
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, answer.text().await.ok()?))
        }
    }

    /// Its metrics now.
    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics").await.expect("the admin port answers");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }

    /// Writes sent to the API server since its start, events apart.
    pub async fn writes(&self) -> u64 {
        self.metrics().await.sum("mcp_operator_api_writes_total", &[])
    }

    /// Reconciles that ended since its start.
    pub async fn passes(&self) -> u64 {
        self.metrics()
            .await
            .sum("mcp_operator_reconciliations_total", &[])
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill is in PATH");
        assert!(status.success(), "kill -s {signal} {pid} failed");
    }

    /// Whether the process is there.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Kills it as soon as it has sent so many writes, or has nothing left to do after `passes` looks at servers. Gives
    /// the number of writes.
    pub async fn killed_after(&mut self, writes: u64, passes: u64) -> u64 {
        const PAUSE: Duration = Duration::from_millis(2);
        let start = Instant::now();
        let sent = loop {
            assert!(self.runs(), "the operator ended by itself:\n{}", self.log());
            assert!(start.elapsed() < START, "it has nothing done:\n{}", self.log());
            // At its start nobody answers yet.
            if let Some((200, text)) = self.get("/metrics").await {
                let metrics = Metrics::parse(&text);
                let sent = metrics.sum("mcp_operator_api_writes_total", &[]);
                let made = metrics.sum("mcp_operator_reconciliations_total", &[]);
                let busy = metrics.sum("mcp_operator_reconciles_in_flight", &[]);
                if sent >= writes || (made >= passes && busy == 0) {
                    break sent;
                }
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.signal("KILL");
        self.ended(START).await;
        sent
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually(within, "the operator to end", || {
            let exited = self.child.try_wait().expect("a child");
            async move { exited.ok_or_else(|| "it runs".to_owned()) }
        })
        .await
    }

    /// SIGTERM, and its end: how long it took, and whether it was clean.
    pub async fn stop(mut self) -> (Duration, ExitStatus) {
        let start = Instant::now();
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(20)).await;
        (start.elapsed(), status)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let skip = log.lines().count().saturating_sub(LOG_LINES);
            let tail: Vec<&str> = log.lines().skip(skip).collect();
            eprintln!("--- end of the operator's log\n{}\n---", tail.join("\n"));
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// The operator's binary with the cluster's kubeconfig, and no setting of the caller's environment.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(setting("E2E_OPERATOR_BIN"));
    command
        .env_clear()
        .env("PATH", setting("PATH"))
        .env("KUBECONFIG", setting("E2E_KUBECONFIG"))
        // Most tests count writes, and their pods answer nobody. Those of protocol health ask for it.
        .env("PROTOCOL_HEALTH_INTERVAL", "0");
    command
}

/// A client for plain HTTP on this machine.
#[must_use]
pub fn http_client() -> reqwest::Client {
    http_client_builder().build().expect("an HTTP client")
}

/// The same, to be told more.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// A port that is free now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
