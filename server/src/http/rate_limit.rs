//! Messages a second for each client (protocol, server/tools: servers MUST rate limit tool invocations), and who
//! the client is whose calls of tools are counted later.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};

use super::{
    client::Client,
    proxies::Proxies,
    refusal::{Refusal, RefusalCode},
};
use crate::limits::{Limits, seconds};

/// What the layer knows.
#[derive(Debug)]
struct RateLimit {
    limits: Limits,
    proxies: Proxies,
}

/// A place among a request's extensions where whoever refuses a part of it leaves when to try again.
#[derive(Debug, Clone, Default)]
pub struct RetryAfter(Arc<AtomicU64>);

impl RetryAfter {
    /// Has the answer say so, if it has not begun.
    pub fn set(&self, wait: Duration) {
        self.0.store(seconds(wait), Ordering::Relaxed);
    }

    fn get(&self) -> Option<HeaderValue> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds > 0).then(|| seconds.into())
    }
}

/// Puts the limits in front of all that `served` answers. Behind it each message has a [`Client`] and a place for
/// [`RetryAfter`] among its extensions, if calls of tools are limited.
pub fn guard(served: Router, limits: &Limits, proxies: &Proxies) -> Router {
    if !limits.messages() && !limits.tools() {
        return served;
    }
    let limit = Arc::new(RateLimit {
        limits: limits.clone(),
        proxies: proxies.clone(),
    });
    served.layer(middleware::from_fn_with_state(limit, layer))
}

/// The layer; streams and preflights are not messages.
async fn layer(State(limit): State<Arc<RateLimit>>, mut request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let client = Client::of(request.headers(), request.extensions(), &limit.proxies);
    if let Err(exceeded) = limit.limits.message(&client).await {
        let message = "too many messages from this client; see Retry-After";
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, RefusalCode::Unavailable, message)
            .because("rate")
            .with_retry_after(exceeded.wait)
            .into();
    }
    if !limit.limits.tools() {
        return next.run(request).await;
    }
    let told = RetryAfter::default();
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(told.clone());
    let mut response = next.run(request).await;
    if let Some(wait) = told.get() {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}
