//! An MCP server made with rmcp: its Streamable HTTP service without state on `/mcp`, and the legacy SSE transport on
//! `/sse` and `/messages/` as a bridge to it, which rmcp itself no longer has. It listens on port 8080.

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

mod bridge;
mod tool;

use crate::{bridge::Bridge, tool::Jobs};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let stop = CancellationToken::new();
    let jobs = Jobs::new()?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_cancellation_token(stop.child_token());
    let service = jobs.clone();
    let mcp = StreamableHttpService::new(
        move || Ok(service.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let app = Router::new()
        .route_service("/mcp", mcp)
        .route("/sse", get(bridge::open))
        .route("/messages/", post(bridge::message))
        .route("/health", get(|| async { "ok" }))
        .with_state(Bridge::new(jobs, stop.child_token()));
    let listener = TcpListener::bind(("0.0.0.0", 8080)).await?.tap_io(|stream| {
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
