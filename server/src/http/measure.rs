//! Counts and times requests, by route.

use std::time::Instant;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use super::resource;
use crate::metrics::{Metrics, RequestLabels};

/// The layer. For streams, the time is that until they open.
pub async fn layer(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = route(request.uri().path());
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
