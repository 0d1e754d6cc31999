//! One process of the program: its pipes, its log, and its end.

use std::{
    ffi::OsString,
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::metrics::Metrics;

/// Longest message that is read, in bytes. A tool may answer with an image or two.
const LINE_MAX: usize = 16 << 20;
/// Longest line of its log that is kept whole.
const LOG_LINE_MAX: usize = 8 << 10;
/// Messages that wait for the program to read them, and for somebody to read them from it.
const BACKLOG: usize = 32;
/// How long it may take to end after its stdin was closed, and again after SIGTERM (2025-11-25 `basic/lifecycle`).
const PATIENCE: Duration = Duration::from_secs(2);
/// How often its orphans are looked for after its end, and how many times.
const REAP: (Duration, usize) = (Duration::from_millis(20), 50);

/// Variables that are settings of this process and none of the program's business. It may have some of the same name.
const SETTINGS: &[&str] = &[
    "ADMIN_PORT",
    "ADMIN_TOKEN_FILE",
    "ALLOWED_HOSTS",
    "ALLOWED_ORIGINS",
    "APP_NAME",
    "AUTH",
    "AUTH_TOKENS_FILE",
    "BASE_PATH",
    "BRIDGE_MAX_SESSIONS",
    "BRIDGE_SESSION_IDLE_SECONDS",
    "CORS_ORIGINS",
    "DRAIN_IDLE_SECONDS",
    "DRAIN_SECONDS",
    "HOST",
    "LIMITS_URL",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAX_CONNECTIONS",
    "MAX_SESSIONS",
    "MCP_TRANSPORT",
    "OIDC_AUDIENCE",
    "OIDC_ISSUER",
    "OIDC_JWKS_URL",
    "OIDC_PRINCIPAL_CLAIM",
    "OIDC_SCOPES",
    "PORT",
    "PUBLIC_URL",
    "RATE_LIMIT",
    "SESSION_KEY_FILE",
    "TRUSTED_PROXIES",
    "VERIFY_AT_START",
];

/// What is run for each session.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) command: OsString,
    pub(super) arguments: Vec<OsString>,
}

/// Where processes are started and counted.
#[derive(Clone, Debug)]
pub(super) struct Nursery {
    pub(super) program: Arc<Program>,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: Metrics,
}

/// A process.
#[derive(Debug)]
pub(super) struct Child {
    stdin: mpsc::Sender<Bytes>,
    stop: CancellationToken,
    over: CancellationToken,
    status: Arc<OnceLock<String>>,
}

/// It has as many messages before it as may wait, or it is gone.
#[derive(Debug, thiserror::Error)]
#[error("the server's program does not read its messages; try again later")]
pub(super) struct Busy;

/// The program cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the server's program cannot be started: {0}")]
pub(super) struct NotStarted(#[from] io::Error);

impl Child {
    /// Hands it a message, which ends with its line.
    pub(super) fn send(&self, line: Bytes) -> Result<(), Busy> {
        self.stdin.try_send(line).map_err(|_| Busy)
    }

    /// Has it end: its stdin is closed, and what does not help is followed by signals.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it is gone, which [`stop`](Self::stop) sees to.
    pub(super) async fn gone(&self) {
        self.over.cancelled().await;
    }

    /// How it ended, once it has.
    pub(super) async fn ended(&self) -> String {
        // Its pipes may be closed a moment before it is gone.
        let _ = timeout(PATIENCE, self.over.cancelled()).await;
        let status = self.status.get().map(String::as_str);
        status.unwrap_or("it closed its stdout").to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Nursery {
    /// Starts a process, which its log calls `label`; gives what it says, too.
    pub(super) fn start(&self, label: &str) -> Result<(Child, mpsc::Receiver<Bytes>), NotStarted> {
        let Program { command, arguments } = self.program.as_ref();
        let mut command = Command::new(command);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what it starts ends with it, and a terminal's Ctrl-C reaches us alone.
            .process_group(0)
            .kill_on_drop(true);
        for name in SETTINGS {
            command.env_remove(name);
        }
        let mut process = command.spawn()?;
        let missing = || io::Error::other("it has no pipes");
        let stdin = process.stdin.take().ok_or_else(missing)?;
        let stdout = process.stdout.take().ok_or_else(missing)?;
        let stderr = process.stderr.take().ok_or_else(missing)?;
        let (messages, inbox) = mpsc::channel(BACKLOG);
        let (said, lines) = mpsc::channel(BACKLOG);
        let child = Child {
            stdin: messages,
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
            status: Arc::default(),
        };
        let label: Arc<str> = label.into();
        self.metrics.started();
        self.tasks.spawn(read(stdout, said, Arc::clone(&label)));
        self.tasks.spawn(log(stderr, Arc::clone(&label)));
        let life = Life {
            stop: child.stop.clone(),
            over: child.over.clone(),
            status: Arc::clone(&child.status),
            label,
        };
        let metrics = self.metrics.clone();
        self.tasks.spawn(async move {
            life.live(process, stdin, inbox).await;
            metrics.ended();
        });
        Ok((child, lines))
    }
}

/// What watches over a process.
struct Life {
    stop: CancellationToken,
    over: CancellationToken,
    status: Arc<OnceLock<String>>,
    label: Arc<str>,
}

impl Life {
    async fn live(self, mut process: tokio::process::Child, stdin: ChildStdin, inbox: mpsc::Receiver<Bytes>) {
        let group = process
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let status = {
            let writing = write(stdin, inbox);
            tokio::pin!(writing);
            // What is still to be written is of no use to a process that is gone, or is to go.
            tokio::select! {
                biased;
                status = process.wait() => Some(status),
                () = self.stop.cancelled() => None,
                () = async { writing.await; std::future::pending::<()>().await } => None,
            }
        };
        let asked = status.is_none();
        let status = match status {
            Some(status) => status,
            None => end(&mut process, group).await,
        };
        let told = told(&status);
        if asked {
            tracing::debug!(
                process = &*self.label,
                status = told,
                "a process of the program has ended"
            );
        } else {
            tracing::warn!(
                process = &*self.label,
                status = told,
                "a process of the program has ended by itself"
            );
        }
        let _ = self.status.set(told);
        self.over.cancel();
        if let Some(group) = group {
            bury(group).await;
        }
    }
}

/// Asks a process to end, more and more firmly. Its stdin is closed already.
async fn end(process: &mut tokio::process::Child, group: Option<Pid>) -> io::Result<ExitStatus> {
    if let Ok(status) = timeout(PATIENCE, process.wait()).await {
        return status;
    }
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::TERM);
    }
    if let Ok(status) = timeout(PATIENCE, process.wait()).await {
        return status;
    }
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    process.wait().await
}

/// Ends what a process left behind. In a container it becomes ours, and would stay a zombie if nobody asked for it.
async fn bury(group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
    let (pause, times) = REAP;
    for _ in 0..times {
        match waitpgid(group, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => tokio::time::sleep(pause).await,
            Err(_) => return,
        }
    }
}

fn told(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

async fn write(mut stdin: ChildStdin, mut inbox: mpsc::Receiver<Bytes>) {
    while let Some(line) = inbox.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Reads messages, and waits where nobody takes them: the program's pipe is the queue then.
async fn read(stdout: ChildStdout, said: mpsc::Sender<Bytes>, label: Arc<str>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        match next_line(&mut stdout, LINE_MAX).await {
            Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
            Ok(Some(Line::Whole(line))) => {
                if said.send(line.into()).await.is_err() {
                    return;
                }
            }
            Ok(Some(Line::Cut(_))) => {
                tracing::warn!(
                    process = &*label,
                    limit = LINE_MAX,
                    "a message of the program is too long and was left out"
                );
            }
            Ok(None) | Err(_) => return,
        }
    }
}

async fn log(stderr: ChildStderr, label: Arc<str>) {
    let mut stderr = BufReader::new(stderr);
    while let Ok(Some(Line::Whole(line) | Line::Cut(line))) = next_line(&mut stderr, LOG_LINE_MAX).await {
        let line = String::from_utf8_lossy(&line);
        tracing::info!(target: "program", process = &*label, "{}", line.trim_end());
    }
}

enum Line {
    /// All of it, without its end.
    Whole(Vec<u8>),
    /// Its beginning.
    Cut(Vec<u8>),
}

/// The next line, of which at most `most` bytes are held.
async fn next_line(from: &mut (impl AsyncBufRead + Unpin), most: usize) -> io::Result<Option<Line>> {
    let (mut line, mut cut, mut any) = (Vec::new(), false, false);
    loop {
        let part = from.fill_buf().await?;
        if part.is_empty() {
            break;
        }
        any = true;
        let end = part.iter().position(|byte| *byte == b'\n');
        let of_it = &part[..end.unwrap_or(part.len())];
        let room = most - line.len();
        cut |= of_it.len() > room;
        line.extend_from_slice(&of_it[..of_it.len().min(room)]);
        let used = end.map_or(part.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(any.then_some(if cut { Line::Cut(line) } else { Line::Whole(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let text = format!("one\n{}\nlast", "x".repeat(100));
        let mut from = BufReader::with_capacity(7, text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut from, 10).await.expect("read") {
            lines.push(match line {
                Line::Whole(line) => (line, false),
                Line::Cut(line) => (line, true),
            });
        }
        assert_eq!(
            lines,
            [
                (b"one".to_vec(), false),
                (b"xxxxxxxxxx".to_vec(), true),
                (b"last".to_vec(), false)
            ]
        );
    }
}
