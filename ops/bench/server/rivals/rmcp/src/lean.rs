//! The legacy SSE transport without a service for each session: each message goes through the stateless service of
//! `/mcp`, and its answer becomes the event.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{Query, State},
    http::{Request, StatusCode},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Service, bridge::Session};

const WAITING: usize = 16;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Sessions = Arc<Mutex<HashMap<String, mpsc::Sender<Bytes>>>>;

/// All open sessions.
#[derive(Clone)]
pub struct Lean {
    sessions: Sessions,
    service: Service,
}

impl Lean {
    pub fn new(service: Service) -> Self {
        Self {
            sessions: Sessions::default(),
            service,
        }
    }
}

/// Ends the session with its stream.
struct Guard(String, Sessions);

impl Drop for Guard {
    fn drop(&mut self) {
        self.1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.0);
    }
}

/// `GET /sse`
pub async fn open(State(lean): State<Lean>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (outbox, answers) = mpsc::channel(WAITING);
    lean.sessions
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id.clone(), outbox);
    let endpoint = Event::default()
        .event("endpoint")
        .data(format!("/messages/?session_id={id}"));
    let guard = Guard(id, lean.sessions);
    let messages = ReceiverStream::new(answers).map(move |answer: Bytes| {
        let _kept_with_the_stream = &guard;
        Event::default()
            .event("message")
            .data(std::str::from_utf8(&answer).unwrap_or_default())
    });
    let events = futures::stream::once(async { endpoint }).chain(messages);
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// `POST /messages/?session_id=…`
pub async fn message(
    State(lean): State<Lean>,
    Query(session): Query<Session>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let found = lean
        .sessions
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&session.session_id)
        .cloned();
    let Some(outbox) = found else {
        return (StatusCode::NOT_FOUND, "Could not find session");
    };
    tokio::spawn(async move {
        let request = Request::post("/mcp")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(Full::new(body));
        let Ok(request) = request else { return };
        let answer = lean.service.handle(request).await;
        if answer.status() != StatusCode::OK {
            return;
        }
        let Ok(answer) = answer.into_body().collect().await;
        let _ = outbox.send(answer.to_bytes()).await;
    });
    (StatusCode::ACCEPTED, "Accepted")
}
