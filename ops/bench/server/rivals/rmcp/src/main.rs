//! Bare rmcp: its Streamable HTTP service without state on `/mcp`, and the legacy transport, which rmcp itself no longer
//! has, as a bridge to it: one service for each session, or with `BRIDGE=lean` one for each message. It listens on
//! 127.0.0.1:`PORT`, and answers what stands in the file `ANSWER`.

use std::{error::Error, sync::Arc};

use axum::{
    Router,
    routing::{get, post},
    serve::ListenerExt as _,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

#[path = "../../../../sessions/rivals/rmcp/src/bridge.rs"]
mod bridge;
mod lean;
mod tool;

use crate::{bridge::Bridge, lean::Lean, tool::Jobs};

/// rmcp's service, as `/mcp` has it.
type Service = StreamableHttpService<Jobs, NeverSessionManager>;

fn service(jobs: Jobs, stop: &CancellationToken) -> Service {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_cancellation_token(stop.child_token());
    StreamableHttpService::new(
        move || Ok(jobs.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let stop = CancellationToken::new();
    let jobs = Jobs::new(std::env::var("ANSWER")?)?;
    let app = Router::new()
        .route_service("/mcp", service(jobs.clone(), &stop))
        .route("/health", get(|| async { "ok" }));
    let older = if std::env::var("BRIDGE").is_ok_and(|kind| kind == "lean") {
        Router::new()
            .route("/sse", get(lean::open))
            .route("/messages/", post(lean::message))
            .with_state(Lean::new(service(jobs.into_legacy(), &stop)))
    } else {
        Router::new()
            .route("/sse", get(bridge::open))
            .route("/messages/", post(bridge::message))
            .with_state(Bridge::new(jobs, stop.child_token()))
    };
    let app = app.merge(older);
    let port: u16 = std::env::var("PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        // Without it small answers wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
    });
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            stop.cancel();
        })
        .await?;
    Ok(())
}
