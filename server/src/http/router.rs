//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get},
};

use super::{
    access::{self, Access},
    auth, cors, draining, health,
    measure::Measure,
    proxies::Proxies,
    rate_limit,
    refusal::{Refusal, RefusalCode},
    tokens::Tokens,
};
use crate::{
    config::HttpSettings,
    drain::Drain,
    limits::Limits,
    mcp::{Handler, Serves},
    metrics::Metrics,
    transport::{sse::Sse, streamable_http::StreamableHttp},
};

/// What the routes serve. They share it: axum copies a route's state for each request.
#[derive(Debug)]
pub struct Transports<H: Serves = Handler> {
    /// `POST /mcp`.
    pub streamable: StreamableHttp<H>,
    /// `GET /sse` and `POST /messages/`.
    pub sse: Sse<H>,
    /// The drain, which sends clients elsewhere.
    pub drain: Drain,
    /// How much each client may do.
    pub limits: Limits,
    /// Who is believed to say whom a request comes from.
    pub proxies: Proxies,
    /// The tokens that clients may show, if they stand in a file.
    pub tokens: Option<Arc<Tokens>>,
}

/// Builds the router.
pub fn router<H: Serves>(
    settings: &HttpSettings,
    name: Arc<str>,
    transports: Transports<H>,
    metrics: &Metrics,
) -> Router {
    let (limits, proxies) = (transports.limits.clone(), transports.proxies.clone());
    let drain = transports.drain.clone();
    let tokens = transports.tokens.clone();
    let served = Router::new()
        .route("/", any(message_only::<H>))
        .route("/mcp", any(message_only::<H>))
        .route("/mcp/", any(message_only::<H>))
        .route("/sse", any(stream_only::<H>))
        .route("/sse/", any(stream_only::<H>))
        // The deployment guide gives clients both spellings, for streams and for messages.
        .route("/messages", any(stream_or_message::<H>))
        .route("/messages/", any(stream_or_message::<H>))
        .fallback(nothing_here)
        .with_state(Arc::new(transports));
    let shell = Shell {
        drain,
        limits,
        proxies,
        tokens,
    };
    shell.around(served, settings, name, metrics)
}

/// What stands around the routes, whatever they serve.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The drain, which sends clients elsewhere.
    pub(crate) drain: Drain,
    /// How much each client may do.
    pub(crate) limits: Limits,
    /// Who is believed to say whom a request comes from.
    pub(crate) proxies: Proxies,
    /// The tokens that clients may show, if they stand in a file.
    pub(crate) tokens: Option<Arc<Tokens>>,
}

impl Shell {
    /// Puts it around `served`.
    pub(crate) fn around(
        self,
        served: Router,
        settings: &HttpSettings,
        name: Arc<str>,
        metrics: &Metrics,
    ) -> Router {
        let Self {
            drain,
            limits,
            proxies,
            tokens,
        } = self;
        let served = rate_limit::guard(served, &limits, &proxies);
        let mut served = auth::guard(served, settings, tokens, &proxies, metrics);
        // Outside of the token check: browsers send no token with a preflight, and pages must see why one is 401.
        if let Some(origins) = &settings.cors_origins {
            served = served.layer(cors::layer(origins.clone()));
        }
        let access = Arc::new(Access::new(settings));
        let served = served
            .layer(middleware::from_fn_with_state(access, access::layer))
            // After the check: a prober knows no name of ours, and the answer holds nothing worth guarding.
            .merge(Router::new().route("/health", get(health::get)).with_state(name))
            .layer(middleware::from_fn_with_state(
                (drain, Measure::new(metrics.clone())),
                draining::layer,
            ));
        match &settings.base_path {
            // Besides, not instead: an ingress may take the path off, and people forward ports past it.
            Some(base) => {
                // `nest` takes `/jobs` for `/`, but not `/jobs/`.
                let root = Router::new()
                    .fallback_service(served.clone())
                    .layer(middleware::map_request(at_root))
                    .into_service::<Body>();
                Router::new()
                    .nest(base, served.clone())
                    .route_service(&format!("{base}/"), root)
                    .merge(served)
            }
            None => served,
        }
    }
}

async fn at_root(mut request: Request) -> Request {
    let query = request
        .uri()
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = format!("/{query}").parse().ok();
    if let Ok(root) = Uri::from_parts(parts) {
        *request.uri_mut() = root;
    }
    request
}

/// The prefix that `BASE_PATH` put before a request's path; empty without one.
pub(crate) fn base(request: &Request) -> &str {
    let original = request
        .extensions()
        .get::<OriginalUri>()
        .map_or("", |uri| uri.path());
    original.strip_suffix(request.uri().path()).unwrap_or_default()
}

/// `/` and `/mcp`: a message, or nothing (2026-07-28: GET and DELETE are gone, a server SHOULD answer 405).
async fn message_only<H: Serves>(State(transports): State<Arc<Transports<H>>>, request: Request) -> Response {
    match *request.method() {
        Method::POST => transports.streamable.post(request).await,
        _ => not_allowed(
            "POST",
            "this address takes MCP messages by POST; streams open at /sse",
        ),
    }
}

/// `/sse`: the older transport's stream.
async fn stream_only<H: Serves>(State(transports): State<Arc<Transports<H>>>, request: Request) -> Response {
    match *request.method() {
        Method::GET => transports.sse.open(base(&request), &request),
        Method::HEAD => Sse::<H>::head(),
        _ => not_allowed(
            "GET, HEAD",
            "this address opens a stream by GET; messages go to the address it names",
        ),
    }
}

/// `/messages`: the older transport's messages; without a session it is `/mcp`, with the right Accept `/sse`.
async fn stream_or_message<H: Serves>(
    State(transports): State<Arc<Transports<H>>>,
    request: Request,
) -> Response {
    match *request.method() {
        Method::POST => match session_id(request.uri().query()) {
            Some(id) => transports.sse.post(&id, request).await,
            None => transports.streamable.post(request).await,
        },
        Method::GET if wants_stream(&request) => transports.sse.open(base(&request), &request),
        Method::GET => not_allowed(
            "POST",
            "send messages by POST, or ask for a stream with Accept: text/event-stream",
        ),
        _ => not_allowed(
            "GET, POST",
            "send messages by POST, or ask for a stream with Accept: text/event-stream",
        ),
    }
}

pub(crate) async fn nothing_here() -> Refusal {
    let message = "nothing is served here; MCP is at /mcp, its older SSE transport at /sse";
    Refusal::new(StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, message)
}

pub(crate) fn not_allowed(allow: &'static str, message: &'static str) -> Response {
    let mut response: Response<Body> = Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        RefusalCode::InvalidRequest,
        message,
    )
    .into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// The id as it stands in the query; ours need no decoding, and what does is not ours.
pub(crate) fn session_id(query: Option<&str>) -> Option<String> {
    query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("session_id="))
        .map(str::to_owned)
}

pub(crate) fn wants_stream(request: &Request) -> bool {
    request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| {
            entry
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
        })
}
