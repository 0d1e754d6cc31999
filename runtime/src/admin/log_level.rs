//! `GET /log-level` and `PUT /log-level`: what is logged, while the process runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, Query, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::get,
};
use parking_lot::Mutex;
use serde::Deserialize;

use super::token::AdminToken;
use crate::telemetry::{Error, LogLevel};

/// The longest a change for a time may last; one for longer is one for good.
const MAX_TIME: Duration = Duration::from_hours(24);

/// How often a refusal is written about: whoever is refused shall not fill the log.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// A filter of a few hundred targets.
const MAX_BYTES: usize = 8192;

#[derive(Debug, Clone)]
struct Admin {
    level: LogLevel,
    token: AdminToken,
    /// When a refusal was last written about.
    told: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, Deserialize)]
struct Change {
    /// For how long; for good without it.
    r#for: Option<String>,
}

/// The route, for whoever `token` allows.
pub fn router(level: LogLevel, token: AdminToken) -> Router {
    Router::new()
        .route("/log-level", get(show).put(change))
        .layer(DefaultBodyLimit::max(MAX_BYTES))
        .with_state(Admin {
            level,
            token,
            told: Arc::default(),
        })
}

/// Proof that the request may be answered.
struct Allowed;

impl FromRequestParts<Admin> for Allowed {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Parts, admin: &Admin) -> Result<Self, Response> {
        if admin.token.allows(&head.headers, &head.extensions) {
            return Ok(Self);
        }
        let mut told = admin.told.lock();
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!("somebody from elsewhere without the admin token asked for the log level");
        }
        let challenge = (header::WWW_AUTHENTICATE, r#"Bearer realm="admin""#);
        let advice = "the log level is shown and changed from this machine only, or with the token of ADMIN_TOKEN_FILE\n";
        Err((StatusCode::FORBIDDEN, [challenge], advice).into_response())
    }
}

async fn show(_: Allowed, State(admin): State<Admin>) -> Response {
    Json(admin.level.shown()).into_response()
}

async fn change(
    _: Allowed,
    State(admin): State<Admin>,
    Query(change): Query<Change>,
    level: String,
) -> Response {
    let time = match change.r#for.as_deref().map(duration) {
        None => None,
        Some(Some(time)) => Some(time),
        Some(None) => {
            let advice = "for must be a time up to 24h, such as 90s, 10m or 2h\n";
            return (StatusCode::BAD_REQUEST, advice).into_response();
        }
    };
    match admin.level.set(level.trim(), time) {
        Ok(()) => Json(admin.level.shown()).into_response(),
        Err(error @ Error::NoLog) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// A whole number with its unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "s" => number,
        "m" => number.checked_mul(60)?,
        "h" => number.checked_mul(3600)?,
        _ => return None,
    };
    let time = Duration::from_secs(seconds);
    (!time.is_zero() && time <= MAX_TIME).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Some(Duration::from_mins(10)));
        assert_eq!(duration("24h"), Some(MAX_TIME));
        for bad in [
            "",
            "m",
            "0s",
            "25h",
            "10",
            "-1m",
            "1.5h",
            "10d",
            "99999999999999999999h",
            "10µ",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
