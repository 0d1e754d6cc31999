//! Sends clients elsewhere while the server drains: each answer closes its connection, and the next one that a
//! client makes leads to a replica that stays.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::drain::Drain;

/// The layer.
pub async fn layer(State(drain): State<Drain>, request: Request, next: Next) -> Response {
    let draining = drain.request();
    let mut response = next.run(request).await;
    // Also where it began meanwhile.
    if draining || drain.is_draining() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
