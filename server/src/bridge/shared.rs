//! The process that answers requests which stand alone. It serves all clients, so each request gets an id and a progress
//! token of the bridge's, which it has back in the answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Protocol,
    child::{Busy, Child, NotStarted, Nursery},
    message::{self, METHOD_NOT_FOUND, SERVER_ERROR},
    modern,
    session::Waiter,
};

/// Requests in flight.
const MAX_CALLS: usize = 256;
/// How long the program may take until it has said what it speaks. Its first start may fetch packages.
const HELLO_WITHIN: Duration = Duration::from_secs(30);
/// How long one may take that knows older versions only, and so need not answer at all.
const DISCOVER_WITHIN: Duration = Duration::from_secs(5);

/// How soon a program that could not be started is started again: whoever asks meanwhile is told the same.
const PAUSE: Duration = Duration::from_secs(1);

const DISCOVER: &str = "server/discover";

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAsked {
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    #[error("the server's program does not speak MCP on its stdout: {0}")]
    NoHello(String),
    #[error("{0}")]
    Again(String),
    #[error("{MAX_CALLS} requests are being answered; try again later")]
    TooMany,
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl NotAsked {
    pub(super) const fn category(&self) -> &'static str {
        match self {
            Self::NotStarted(_) => "not_started",
            Self::NoHello(_) | Self::Again(_) => "no_hello",
            Self::TooMany => "too_many",
            Self::Busy(_) => "busy",
        }
    }
}

/// The way to the process, which is started when it is needed.
#[derive(Debug)]
pub(super) struct Shared {
    nursery: Nursery,
    protocol: Protocol,
    /// Whether it was seen not to know 2026-07-28.
    older: AtomicBool,
    running: tokio::sync::Mutex<Option<Arc<Running>>>,
    /// When it could not be started last, and why.
    failed: Mutex<Option<(Instant, String)>>,
}

/// What it said of itself.
#[derive(Debug)]
enum Hello {
    /// It knows 2026-07-28.
    Modern,
    /// It does not; its answer to `initialize`.
    Older(Value),
}

#[derive(Debug)]
struct Running {
    child: Child,
    hello: Hello,
    calls: Mutex<HashMap<i64, Call>>,
    next: AtomicI64,
    over: CancellationToken,
}

#[derive(Debug)]
struct Call {
    id: Value,
    method: String,
    progress: Option<Value>,
    waiter: Waiter,
}

/// A request in flight; dropped before its answer, it is cancelled.
#[derive(Debug)]
pub(super) struct InFlight {
    running: Arc<Running>,
    number: i64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.running.calls.lock().remove(&self.number).is_some() {
            let params = json!({ "requestId": self.number, "reason": "the client has left" });
            // Without room it goes on in vain.
            let _ = self.running.child.send(line(&json!({
                "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
            })));
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is answered already.
    Answer(Value),
    /// Its answer is waited for.
    InFlight(InFlight),
}

impl Shared {
    pub(super) fn new(nursery: Nursery, protocol: Protocol) -> Self {
        Self {
            nursery,
            protocol,
            older: AtomicBool::new(protocol == Protocol::Legacy),
            running: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Sees to it that the process runs and has said what it speaks.
    pub(super) async fn wake(&self) -> Result<(), NotAsked> {
        self.running().await.map(drop)
    }

    /// Ends the process.
    pub(super) async fn end(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.child.stop();
        }
    }

    /// Asks `request`, which is complete and of 2026-07-28.
    pub(super) async fn ask(&self, mut request: Value, waiter: Waiter) -> Result<Asked, NotAsked> {
        let running = self.running().await?;
        let id = request["id"].take();
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        if let Hello::Older(hello) = &running.hello {
            let answer =
                |key: &str, value: Value| Asked::Answer(json!({ "jsonrpc": "2.0", "id": id, key: value }));
            if method == DISCOVER {
                return Ok(answer("result", modern::discovered(hello)));
            }
            if modern::is_unknown_to_older(&method) {
                let message = format!("the server does not know {method}");
                return Ok(answer(
                    "error",
                    json!({ "code": METHOD_NOT_FOUND, "message": message }),
                ));
            }
            modern::to_older(&mut request["params"]);
        }
        let number = running.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(number);
        let progress = request
            .pointer_mut("/params/_meta/progressToken")
            .map(|token| std::mem::replace(token, json!(number)));
        if request["params"].is_null()
            && let Some(request) = request.as_object_mut()
        {
            request.remove("params");
        }
        let call = Call {
            id,
            method,
            progress,
            waiter,
        };
        {
            let mut calls = running.calls.lock();
            if calls.len() >= MAX_CALLS {
                return Err(NotAsked::TooMany);
            }
            running.child.send(line(&request))?;
            calls.insert(number, call);
        }
        if running.over.is_cancelled() {
            running.close("it ended");
        }
        Ok(Asked::InFlight(InFlight { running, number }))
    }

    async fn running(&self) -> Result<Arc<Running>, NotAsked> {
        // One starts it; the others wait for that.
        let mut slot = self.running.lock().await;
        if let Some(running) = slot.as_ref().filter(|running| !running.over.is_cancelled()) {
            return Ok(Arc::clone(running));
        }
        if let Some((at, why)) = self.failed.lock().clone()
            && at.elapsed() < PAUSE
        {
            return Err(NotAsked::Again(why));
        }
        let started = self.start().await;
        *self.failed.lock() = started
            .as_ref()
            .err()
            .map(|error| (Instant::now(), error.to_string()));
        let (child, lines, hello) = started?;
        let running = Arc::new(Running {
            child,
            hello,
            calls: Mutex::default(),
            next: AtomicI64::new(1),
            over: CancellationToken::new(),
        });
        self.nursery.tasks.spawn(Arc::clone(&running).pass_on(lines));
        *slot = Some(Arc::clone(&running));
        Ok(running)
    }

    /// Starts the program and finds out what it speaks. One that knows older versions only may answer a question that comes
    /// before `initialize` with an error, not at all, or by ending.
    async fn start(&self) -> Result<(Child, mpsc::Receiver<Bytes>, Hello), NotAsked> {
        let mut started = self.nursery.start("shared")?;
        if !self.older.load(Ordering::Relaxed) {
            let (child, lines) = &mut started;
            let within = match self.protocol {
                Protocol::Stateless => HELLO_WITHIN,
                Protocol::Auto | Protocol::Legacy => DISCOVER_WITHIN,
            };
            let said = timeout(within, exchange(child, lines, DISCOVER, modern::meta())).await;
            let found = match &said {
                Ok(Ok(answer)) => answer["result"]["supportedVersions"]
                    .as_array()
                    .is_some_and(|versions| versions.iter().any(|version| version == modern::VERSION)),
                _ => false,
            };
            if found {
                return Ok((started.0, started.1, Hello::Modern));
            }
            if self.protocol == Protocol::Stateless {
                return Err(NotAsked::NoHello(format!(
                    "it does not answer {DISCOVER} as {} has it: {}",
                    modern::VERSION,
                    told(&said)
                )));
            }
            tracing::info!(
                "the program does not know {}: requests of it are translated",
                modern::VERSION
            );
            if !matches!(said, Ok(Ok(_))) {
                started = self.nursery.start("shared")?;
            }
        }
        let (child, lines) = &mut started;
        let said = timeout(
            HELLO_WITHIN,
            exchange(child, lines, "initialize", modern::initialize()),
        )
        .await;
        match said {
            Ok(Ok(mut answer)) if answer["result"].is_object() => {
                child.send(line(
                    &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
                ))?;
                self.older.store(true, Ordering::Relaxed);
                let hello = Hello::Older(answer["result"].take());
                Ok((started.0, started.1, hello))
            }
            said => Err(NotAsked::NoHello(format!(
                "it does not answer initialize: {}",
                told(&said)
            ))),
        }
    }
}

fn told(said: &Result<Result<Value, String>, tokio::time::error::Elapsed>) -> String {
    match said {
        Ok(Ok(answer)) => {
            let mut text = answer.to_string();
            text.truncate(text.floor_char_boundary(200));
            text
        }
        Ok(Err(problem)) => problem.clone(),
        Err(_) => "it did not answer in time".to_owned(),
    }
}

/// One request and its answer, before anything else is asked.
async fn exchange(
    child: &Child,
    lines: &mut mpsc::Receiver<Bytes>,
    method: &str,
    params: Value,
) -> Result<Value, String> {
    let request = json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
    child.send(line(&request)).map_err(|busy| busy.to_string())?;
    while let Some(said) = lines.recv().await {
        let Ok(said) = serde_json::from_slice::<Value>(&said) else {
            continue;
        };
        if said["id"] == *method && said["method"].is_null() {
            return Ok(said);
        }
        answer_request(child, &said);
    }
    Err(child.ended().await)
}

/// The program asks whoever asked it, and that is nobody: but it may ask whether somebody is there.
fn answer_request(child: &Child, said: &Value) {
    let (Some(method), Some(id)) = (said["method"].as_str(), said.get("id")) else {
        return;
    };
    let answer = if method == "ping" {
        json!({ "jsonrpc": "2.0", "id": id, "result": {} })
    } else {
        let message = "requests that stand alone cannot be asked back; begin a session with initialize";
        json!({ "jsonrpc": "2.0", "id": id, "error": { "code": METHOD_NOT_FOUND, "message": message } })
    };
    let _ = child.send(line(&answer));
}

impl Running {
    async fn pass_on(self: Arc<Self>, mut lines: mpsc::Receiver<Bytes>) {
        while let Some(line) = lines.recv().await {
            match serde_json::from_slice(&line) {
                Ok(said) => self.dispatch(said),
                Err(error) => {
                    tracing::warn!(%error, "the program wrote something on stdout that is no JSON; logs belong on stderr");
                }
            }
        }
        self.over.cancel();
        let how = self.child.ended().await;
        self.close(&how);
    }

    fn dispatch(&self, mut said: Value) {
        if said["method"].is_null() {
            let call = said["id"]
                .as_i64()
                .and_then(|number| self.calls.lock().remove(&number));
            let Some(call) = call else { return };
            said["id"] = call.id;
            if matches!(self.hello, Hello::Older(_)) {
                modern::from_older(&call.method, &mut said["result"]);
                if said["result"].is_null()
                    && let Some(said) = said.as_object_mut()
                {
                    said.remove("result");
                }
            }
            // Who has left needs none.
            let _ = call.waiter.answer.send(said.to_string().into());
            return;
        }
        if said.get("id").is_some() {
            answer_request(&self.child, &said);
            return;
        }
        // A notification is of the request that its token or its subscription names, both of which are our number.
        for place in [
            "/params/progressToken",
            "/params/_meta/io.modelcontextprotocol~1subscriptionId",
        ] {
            let Some(named) = said.pointer_mut(place) else {
                continue;
            };
            let number = named.as_i64().or_else(|| named.as_str()?.parse().ok());
            let calls = self.calls.lock();
            let Some(call) = number.and_then(|number| calls.get(&number)) else {
                return;
            };
            *named = if place.ends_with("Token") {
                call.progress.clone().unwrap_or_default()
            } else {
                call.id.clone()
            };
            // What nobody reads in time is old news.
            let _ = call.waiter.events.try_send(said.to_string().into());
            return;
        }
    }

    fn close(&self, how: &str) {
        let calls: Vec<_> = self.calls.lock().drain().collect();
        for (_, call) in calls {
            let why = format!("the server's program ended before it answered: {how}");
            let _ = call
                .waiter
                .answer
                .send(message::error(&call.id, SERVER_ERROR, &why, None));
        }
    }
}

fn line(message: &Value) -> Bytes {
    message::line(message.to_string().as_bytes())
}
