//! Taking messages from other replicas.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use iam_mcp_runtime::telemetry::otlp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use super::{CLIENT, MESSAGE, PRINCIPAL, REPLICAS, SESSION, WENT_ON, channel, known, pool::Peers};
use crate::{
    hex,
    http::{body, client::Client, principal::Principal, refusal::Refusal, request_id},
    mcp::Serves,
    transport::sse::{Delivered, Sse, session_id::SessionKey},
};

/// Connections at a time: a few from each replica, and what strangers try.
const CONNECTIONS: usize = 1024;

/// Time for a handshake; longer than replicas wait for one.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// How long a connection may be silent; longer than replicas keep one.
const SILENCE: Duration = Duration::from_secs(75);

/// How long to wait when the process is out of descriptors; accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves other replicas until `stop`, then finishes what is under way; `hard` drops it.
pub async fn serve<H: Serves>(
    listener: TcpListener,
    sse: Sse<H>,
    peers: Arc<Peers>,
    stop: CancellationToken,
    hard: CancellationToken,
) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a replica's connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let (sse, peers) = (sse.clone(), Arc::clone(&peers));
        let (stop, hard) = (stop.clone(), hard.clone());
        connections.spawn(async move {
            tokio::select! {
                () = hard.cancelled() => {}
                () = connection(stream, sse, peers, stop) => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection<H: Serves>(stream: TcpStream, sse: Sse<H>, peers: Arc<Peers>, stop: CancellationToken) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let sessions = sse.sessions();
    let answered = channel::answer(stream, sessions.keys(), &sessions.owner().uid);
    let channel = match timeout(HANDSHAKE, answered).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => {
            sse.stranger(error.category());
            tracing::debug!(%error, "somebody who is no replica was turned away");
            return;
        }
        Err(_) => return sse.stranger("silent"),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (sse, peers) = (sse.clone(), Arc::clone(&peers));
        async move {
            let others = acquaint(&peers, &request);
            let span = tracing::debug_span!(
                "forwarded_message",
                otel.kind = "server",
                request_id = request_id::of(request.headers()),
            );
            otlp::continue_from_headers(&span, request.headers());
            let mut response = answer(&sse, request.map(Body::new)).instrument(span).await;
            if let Some(others) = others {
                response.headers_mut().insert(REPLICAS, others);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SILENCE)
            .serve_connection(TokioIo::new(channel), service)
    );
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a replica's connection ended early");
    }
}

async fn answer<H: Serves>(sse: &Sse<H>, request: Request<Body>) -> Response {
    let Some((session, principal)) = meant(&request) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let client = client(&request);
    let (mut head, content) = request.into_parts();
    // What the checks of the replica that passes it on have found; here there are none.
    head.extensions.insert(principal);
    if let Some(client) = client {
        head.extensions.insert(client);
    }
    let content = match body::read(&head.headers, content).await {
        Ok(content) => content,
        Err(error) => return Refusal::from(error).into(),
    };
    match head.uri.path() {
        MESSAGE => match sse.deliver(&session, principal, &head, &content).await {
            Delivered::Answer(response) => response,
            Delivered::WentOn(id) => match HeaderValue::from_str(&id) {
                Ok(id) => ([(SESSION, id)], StatusCode::OK).into_response(),
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            },
        },
        WENT_ON => {
            let now = std::str::from_utf8(&content).unwrap_or_default();
            if sse.sessions().went_on(&session, principal, now) {
                StatusCode::NO_CONTENT.into_response()
            } else {
                StatusCode::NOT_FOUND.into_response()
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Remembers who asks, and says whom this replica knows besides.
fn acquaint(peers: &Peers, request: &Request<Incoming>) -> Option<HeaderValue> {
    let asks = request.headers().get(REPLICAS)?.to_str().ok()?;
    let asks = known::read(asks);
    let mut others = peers.known().all();
    others.retain(|other| asks.iter().all(|asking| asking.uid != other.uid));
    for asking in &asks {
        peers.known().heard(asking);
    }
    HeaderValue::from_str(&known::write(&others)).ok()
}

fn meant(request: &Request<Body>) -> Option<(SessionKey, Principal)> {
    let principal = Principal::from_bytes(bytes(request, PRINCIPAL)?);
    Some((bytes(request, SESSION)?, principal))
}

fn client(request: &Request<Body>) -> Option<Client> {
    bytes(request, CLIENT).map(Client::from_bytes)
}

fn bytes<const N: usize>(request: &Request<Body>, name: HeaderName) -> Option<[u8; N]> {
    let text = request.headers().get(name)?.to_str().ok()?;
    hex::decode(text)?.try_into().ok()
}
