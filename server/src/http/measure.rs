//! Counts and times requests, by route.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use crate::metrics::{Metrics, RequestLabels};

/// The layer. For streams, the time is that until they open.
pub async fn layer(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    // The pattern, never the path: labels stay few whatever clients ask for.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", |path| route(path.as_str()));
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let start = Instant::now();
    let response = next.run(request).await;
    metrics
        .http_duration
        .get_or_create(&vec![("route", route)])
        .observe(start.elapsed().as_secs_f64());
    let labels = RequestLabels {
        route,
        method,
        status: response.status().as_u16(),
    };
    metrics.http_requests.get_or_create(&labels).inc();
    response
}

fn route(pattern: &str) -> &'static str {
    match pattern {
        "/" => "/",
        "/mcp" => "/mcp",
        "/messages" | "/messages/" => "/messages",
        "/sse" => "/sse",
        "/health" => "/health",
        _ => "other",
    }
}
