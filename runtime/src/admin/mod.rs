//! The admin port: `/livez`, `/readyz` and `/metrics`.
//!
//! Kept apart from the port that serves users, so that probes and scrapes need no access to it and are
//! not counted, limited or checked there. What changes something asks for more ([`token`]).

pub mod log_level;
pub mod token;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};

/// The content type that Prometheus asks for first.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process is ready for work, and whether it still makes progress.
///
/// Starts as not ready and alive. Clones share their state.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ready: AtomicBool,
    started: Instant,
    /// Milliseconds after `started` of the last beat.
    beat: AtomicU64,
    stale_after: Option<Duration>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Alive for as long as the admin port answers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_stale_after(None)
    }

    /// Alive for as long as [`beat`](Self::beat) is called at least every `limit`.
    #[must_use]
    pub fn beating(limit: Duration) -> Self {
        Self::with_stale_after(Some(limit))
    }

    fn with_stale_after(stale_after: Option<Duration>) -> Self {
        Self(Arc::new(Inner {
            ready: AtomicBool::new(false),
            started: Instant::now(),
            beat: AtomicU64::new(0),
            stale_after,
        }))
    }

    /// Says whether new work may be sent here.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }

    /// Whether new work may be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Reports progress.
    pub fn beat(&self) {
        self.0
            .beat
            .store(millis(self.0.started.elapsed()), Ordering::Release);
    }

    /// Whether the last beat is recent enough; always, without a limit.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let since = millis(self.0.started.elapsed()).saturating_sub(self.0.beat.load(Ordering::Acquire));
        self.0.stale_after.is_none_or(|limit| since <= millis(limit))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The admin port's routes.
pub fn router(health: Health, registry: Arc<Registry>) -> Router {
    let ready = health.clone();
    Router::new()
        .route("/livez", get(move || async move { probe(health.is_alive()) }))
        .route("/readyz", get(move || async move { probe(ready.is_ready()) }))
        .route("/metrics", get(metrics))
        .with_state(registry)
}

fn probe(good: bool) -> (StatusCode, &'static str) {
    if good {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ok\n")
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use prometheus_client::metrics::counter::Counter;
    use tower::Service as _;

    use super::*;

    async fn get(app: &mut Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("request");
        let response = app.call(request).await.expect("infallible");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readiness_follows_the_flag_and_liveness_does_not() {
        let health = Health::new();
        let mut app = router(health.clone(), Arc::default());
        assert_eq!(get(&mut app, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&mut app, "/livez").await.0, StatusCode::OK);
        health.set_ready(true);
        assert_eq!(get(&mut app, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_missed_beat_fails_liveness_until_the_next() {
        let health = Health::beating(Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(3)).await;
        assert!(!health.is_alive());
        let patient = Health::beating(Duration::from_hours(1));
        patient.beat();
        assert!(patient.is_alive());
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let mut registry = Registry::with_prefix("test");
        let counter = Counter::<u64>::default();
        registry.register("things", "Things seen", counter.clone());
        counter.inc();
        let (status, text) = get(&mut router(Health::new(), Arc::new(registry)), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("test_things_total 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
