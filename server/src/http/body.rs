//! Reading a message's body, within limits of size and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::refusal::{Refusal, RefusalCode};

/// The most a message may weigh. The largest sensible one is a job description pasted into a prompt.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest a message may take to arrive, once its head is here.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_BYTES`].
    #[error("the message is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Slower than the limit.
    #[error("the message did not arrive within {} s", TIMEOUT.as_secs())]
    TooSlow,
    /// The connection broke, or its framing did.
    #[error("the message could not be read to its end")]
    Broken,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Error::Broken => StatusCode::BAD_REQUEST,
        };
        Self::new(status, RefusalCode::InvalidRequest, error.to_string()).because(error.category())
    }
}

/// Reads a whole body.
///
/// # Errors
/// When it is too large, too slow, or breaks off.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Error> {
    read_within(headers, body, TIMEOUT).await
}

async fn read_within(headers: &HeaderMap, body: Body, limit: Duration) -> Result<Bytes, Error> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > MAX_BYTES as u64) {
        // Not one byte of it is read.
        return Err(Error::TooLarge);
    }
    match tokio::time::timeout(limit, Limited::new(body, MAX_BYTES).collect()).await {
        Err(_) => Err(Error::TooSlow),
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::TooLarge),
        Ok(Err(_)) => Err(Error::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_whole() {
        let read = read(&HeaderMap::new(), Body::from("{}")).await.expect("read");
        assert_eq!(&read[..], b"{}");
    }

    #[tokio::test]
    async fn a_large_body_is_refused_whether_announced_or_not() {
        let large = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(
            read(&HeaderMap::new(), Body::from(large)).await,
            Err(Error::TooLarge)
        ));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "99999999999".parse().expect("value"));
        assert!(matches!(
            read(&headers, Body::empty()).await,
            Err(Error::TooLarge)
        ));
    }

    #[tokio::test]
    async fn a_body_that_never_comes_times_out() {
        let stuck = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let read = read_within(&HeaderMap::new(), stuck, Duration::from_millis(5)).await;
        assert!(matches!(read, Err(Error::TooSlow)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_the_clients_fault() {
        let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        assert!(matches!(
            read(&HeaderMap::new(), Body::from_stream(broken)).await,
            Err(Error::Broken)
        ));
    }
}
