//! What the operator asks of a server, on the admin port: how many sessions it has, which keys it knows, and
//! that it end a drain sooner.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::{
    drain::{Drain, Live},
    hex,
    http::tokens::Tokens,
    keyring::KeyRing,
    metrics::Metrics,
};

/// What the routes show and change.
#[derive(Debug)]
pub struct Admin<L> {
    /// The sessions.
    pub sessions: Arc<L>,
    /// What seals their ids.
    pub keys: KeyRing,
    /// The drain.
    pub drain: Drain,
    /// The number of calls.
    pub metrics: Metrics,
    /// The pod's uid as Kubernetes writes it; empty without a pod.
    pub pod_uid: String,
    /// The tokens that clients may show, if they stand in a file.
    pub tokens: Option<Arc<Tokens>>,
}

/// `GET /sessions`.
#[derive(Debug, Serialize)]
struct Report {
    /// SSE streams that are open.
    sessions: i64,
    /// Calls in flight in them.
    calls: i64,
    draining: bool,
    /// When the drain ends, in seconds since 1970.
    drain_until: Option<u64>,
    /// The id of the key that seals session ids.
    sealing_key: String,
    /// The ids of all that are accepted.
    accepted_keys: Vec<String>,
    /// The ids of the tokens of clients that are accepted, of those that the operator made: an operator that makes
    /// another waits until every pod knows it.
    accepted_tokens: Vec<String>,
}

/// `POST /drain`: by when, in seconds since 1970, and a proof that whoever asks has a session key.
#[derive(Debug, Deserialize)]
struct Shorten {
    until: u64,
    mac: String,
}

/// The routes.
pub fn router<L: Live>(admin: Admin<L>) -> Router {
    Router::new()
        .route("/sessions", get(report::<L>))
        .route("/drain", post(shorten::<L>))
        .with_state(Arc::new(admin))
}

async fn report<L: Live>(State(admin): State<Arc<Admin<L>>>) -> Json<Report> {
    let keys = admin.keys.keys();
    let tokens = admin.tokens.as_ref().map(|tokens| tokens.generated_ids());
    Json(Report {
        sessions: admin.sessions.streams(),
        calls: admin.metrics.sse.calls.get(),
        draining: admin.drain.is_draining(),
        drain_until: admin.drain.until(),
        sealing_key: keys.sealing().id.to_string(),
        accepted_keys: keys.accepted().iter().map(|key| key.id.to_string()).collect(),
        accepted_tokens: tokens.into_iter().flatten().map(|id| id.to_string()).collect(),
    })
}

/// It names the pod and can only shorten a drain, so one that is heard twice changes nothing.
async fn shorten<L: Live>(State(admin): State<Arc<Admin<L>>>, Query(asked): Query<Shorten>) -> StatusCode {
    let message = format!("iam-mcp drain\n{}\n{}", admin.pod_uid, asked.until);
    let mac = hex::decode(&asked.mac);
    let proved = |mac: &Vec<u8>| {
        let keys = admin.keys.keys();
        let mut keys = keys.accepted().iter();
        keys.any(|key| hmac::verify(&key.drain, message.as_bytes(), mac).is_ok())
    };
    if !mac.as_ref().is_some_and(proved) {
        tracing::warn!("somebody without a session key asked for a shorter drain");
        return StatusCode::FORBIDDEN;
    }
    tracing::info!(until = asked.until, "the drain is to end sooner");
    admin.drain.shorten(asked.until);
    StatusCode::NO_CONTENT
}
