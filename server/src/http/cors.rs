//! CORS headers, only where `CORS_ORIGINS` asks for them; else an ingress may add its own.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    origin::{Origin, OriginPattern},
    request_id,
};

/// How long a browser may remember what it was allowed.
const MAX_AGE: Duration = Duration::from_hours(1);

/// What pages may read: the protocol's headers, what says when to come back, and what to name in a report.
const EXPOSED: [HeaderName; 6] = [
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    request_id::REQUEST_ID,
    request_id::SESSION_ID,
];

/// The layer for pages of `origins`.
pub fn layer(origins: Vec<OriginPattern>) -> CorsLayer {
    let allowed = if origins.contains(&OriginPattern::Any) {
        AllowOrigin::any()
    } else {
        let origins: Arc<[OriginPattern]> = origins.into();
        AllowOrigin::predicate(move |origin: &HeaderValue, _: &Parts| {
            let origin: Option<Origin> = origin.to_str().ok().and_then(|text| text.parse().ok());
            origin.is_some_and(|origin| origins.iter().any(|pattern| pattern.matches(&origin)))
        })
    };
    CorsLayer::new()
        .allow_origin(allowed)
        // DELETE ends a session of the bridge.
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // Clients send Mcp-Method, Mcp-Name, Mcp-Param-* and trace headers: more than a list can know.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(MAX_AGE)
}
