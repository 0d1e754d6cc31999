//! Sends clients elsewhere while the server drains: each answer closes its connection, and the next one that a
//! client makes leads to a replica that stays. And has requests measured ([`measure`](super::measure)): what every request
//! meets is one layer, as each of axum's boxes a future and two copies of what is behind it, for each request.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::measure::{self, Measure};
use crate::drain::Drain;

/// The layer.
pub async fn layer(
    State((drain, measure)): State<(Drain, Measure)>,
    request: Request,
    next: Next,
) -> Response {
    let draining = drain.request();
    let mut response = measure::measured(measure, request, next).await;
    // Also where it began meanwhile.
    if draining || drain.is_draining() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
