//! Counts, times and logs requests, by route, and gives each its span. What clients write is in none of it: no path, no
//! query, no header but the ids of [`request_id`](super::request_id).

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use iam_mcp_runtime::telemetry::otlp;
use tracing::{Instrument as _, Level, Span, field::Empty};

use super::{refusal::Cause, request_id::Ids, resource};
use crate::metrics::{ErrorLabels, Metrics, RequestLabels, RouteLabels};

/// Lines about refused requests a second: whoever knocks a thousand times shall not fill the log.
const LINES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Lines about refused requests at once.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// What nginx calls it when the client leaves before there is an answer.
const CLIENT_GONE: u16 = 499;

/// What measures. Clones share it.
#[derive(Debug, Clone)]
pub struct Measure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    refusals: Refusals,
}

/// How many lines about refused requests there may be, and how many there were not.
#[derive(Debug)]
struct Refusals {
    lines: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Measure {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        let refusals = Refusals {
            lines: RateLimiter::direct(Quota::per_second(LINES).allow_burst(BURST)),
            untold: AtomicU64::new(0),
        };
        Self(Arc::new(Inner { metrics, refusals }))
    }
}

/// Has a request answered, and measures that. For streams, the time is that until they open.
pub async fn measured(measure: Measure, mut request: Request, next: Next) -> Response {
    let ids = Ids::take(request.headers_mut());
    let route = route(request.uri().path());
    let method = method(request.method());
    let peer = request.extensions().get().map(|ConnectInfo(peer)| *peer);
    let span = span(method, route, &ids);
    otlp::continue_from_headers(&span, request.headers());
    let mut measured = Measured {
        measure,
        ids: Some(ids),
        span: span.clone(),
        method,
        route,
        peer,
        start: Instant::now(),
    };
    measured.measure.0.metrics.http_in_flight.inc();
    let mut response = next.run(request).instrument(span).await;
    measured.answered(&mut response);
    response
}

fn span(method: &'static str, route: &'static str, ids: &Ids) -> Span {
    // The names are OpenTelemetry's. At this level it is made for traces, or for whoever debugs.
    tracing::debug_span!(
        "http_request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        error.r#type = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = ids.request.to_str().unwrap_or_default(),
    )
}

/// A request under way; one that is dropped half-way counts too.
struct Measured {
    measure: Measure,
    /// Until it is answered.
    ids: Option<Ids>,
    span: Span,
    method: &'static str,
    route: &'static str,
    peer: Option<SocketAddr>,
    start: Instant,
}

impl Measured {
    fn answered(&mut self, response: &mut Response) {
        let Some(ids) = self.ids.take() else {
            return;
        };
        let status = response.status();
        let cause = cause(status, response.extensions().get());
        self.span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.span.record("otel.status_code", "ERROR");
        }
        self.count(status.as_u16(), cause);
        // A session's tag is made for a line that is written only.
        let refused = cause.filter(|_| status != StatusCode::METHOD_NOT_ALLOWED);
        if (refused.is_some() && tracing::enabled!(Level::INFO)) || tracing::enabled!(Level::DEBUG) {
            let session = ids.session(response.headers());
            self.tell(&ids, &session, status.as_u16(), refused);
        }
        ids.answer(response.headers_mut());
    }

    fn count(&self, status: u16, cause: Option<&'static str>) {
        let metrics = &self.measure.0.metrics;
        let (route, method) = (self.route, self.method);
        metrics.http_in_flight.dec();
        metrics
            .http_duration
            .get_or_create(&RouteLabels { route })
            .observe(self.start.elapsed().as_secs_f64());
        let labels = RequestLabels {
            route,
            method,
            status,
        };
        metrics.http_requests.get_or_create(&labels).inc();
        if let Some(cause) = cause {
            self.span.record("error.type", cause);
            metrics
                .http_errors
                .get_or_create(&ErrorLabels { route, cause })
                .inc();
        }
    }

    /// Writes the request's line.
    fn tell(&self, ids: &Ids, session: &str, status: u16, refused: Option<&'static str>) {
        let request_id = ids.request.to_str().unwrap_or_default();
        let (method, route) = (self.method, self.route);
        let duration_ms = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let client = self.peer.map(|peer| tracing::field::display(peer.ip()));
        let Some(cause) = refused else {
            tracing::debug!(
                request_id,
                session,
                method,
                route,
                status,
                duration_ms,
                client,
                "request"
            );
            return;
        };
        let refusals = &self.measure.0.refusals;
        if !tracing::enabled!(Level::DEBUG) && refusals.lines.check().is_err() {
            refusals.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // How many were refused since the last line that have none.
        let untold = Some(refusals.untold.swap(0, Ordering::Relaxed)).filter(|untold| *untold > 0);
        tracing::info!(
            request_id,
            session,
            method,
            route,
            status,
            cause,
            duration_ms,
            client,
            untold,
            "request refused"
        );
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.ids.is_some() {
            self.count(CLIENT_GONE, Some("client_gone"));
        }
    }
}

/// Why a request was refused or failed, if it was: what the refusal says of itself, else what its status means.
fn cause(status: StatusCode, said: Option<&Cause>) -> Option<&'static str> {
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    Some(said.map_or_else(
        || match status {
            StatusCode::BAD_REQUEST => "bad_request",
            StatusCode::UNAUTHORIZED => "token",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method",
            StatusCode::NOT_ACCEPTABLE => "accept",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "media_type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_client_error() => "client_error",
            _ => "server_error",
        },
        |Cause(cause)| cause,
    ))
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// One of few labels, whatever clients ask for. `BASE_PATH` is already off the path.
fn route(path: &str) -> &'static str {
    match path {
        "/" => "/",
        "/mcp" | "/mcp/" => "/mcp",
        "/messages" | "/messages/" => "/messages",
        "/sse" | "/sse/" => "/sse",
        "/health" => "/health",
        _ if path.starts_with(resource::METADATA) => resource::METADATA,
        _ => "other",
    }
}
