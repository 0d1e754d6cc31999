//! The legacy SSE transport over a sink and a stream, one rmcp service for each session.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    service::serve_server_with_ct,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, PollSender};

use crate::tool::Jobs;

/// Messages that wait in each direction of a session.
const WAITING: usize = 16;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Sessions = Arc<Mutex<HashMap<String, mpsc::Sender<ClientJsonRpcMessage>>>>;

/// All open sessions.
#[derive(Clone)]
pub struct Bridge {
    sessions: Sessions,
    jobs: Jobs,
    stop: CancellationToken,
}

impl Bridge {
    pub fn new(jobs: Jobs, stop: CancellationToken) -> Self {
        Self {
            sessions: Sessions::default(),
            jobs: jobs.into_legacy(),
            stop,
        }
    }
}

/// Ends the session with its stream.
struct Guard {
    id: String,
    sessions: Sessions,
    stop: CancellationToken,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

/// `GET /sse`
pub async fn open(State(bridge): State<Bridge>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (to_service, from_client) = mpsc::channel(WAITING);
    let (to_client, from_service) = mpsc::channel::<ServerJsonRpcMessage>(WAITING);
    let stop = bridge.stop.child_token();
    bridge
        .sessions
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id.clone(), to_service);
    let transport = (PollSender::new(to_client), ReceiverStream::new(from_client));
    let (jobs, stopped) = (bridge.jobs, stop.clone());
    tokio::spawn(async move {
        if let Ok(running) = serve_server_with_ct(jobs, transport, stopped).await {
            let _ = running.waiting().await;
        }
    });
    let endpoint = Event::default()
        .event("endpoint")
        .data(format!("/messages/?session_id={id}"));
    let guard = Guard {
        id,
        sessions: bridge.sessions,
        stop,
    };
    let messages = ReceiverStream::new(from_service).map(move |message| {
        let _kept_with_the_stream = &guard;
        Event::default()
            .event("message")
            .json_data(message)
            .unwrap_or_default()
    });
    let events = futures::stream::once(async { endpoint }).chain(messages);
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

#[derive(Deserialize)]
pub struct Session {
    pub session_id: String,
}

/// `POST /messages/?session_id=…`
pub async fn message(
    State(bridge): State<Bridge>,
    Query(session): Query<Session>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let found = bridge
        .sessions
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&session.session_id)
        .cloned();
    let Some(service) = found else {
        return (StatusCode::NOT_FOUND, "Could not find session");
    };
    let Ok(message) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, "Could not parse message");
    };
    match service.send(message).await {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted"),
        Err(_) => (StatusCode::GONE, "The session is closed"),
    }
}
