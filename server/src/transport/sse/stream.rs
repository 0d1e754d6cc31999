//! A session's stream, as a response body.
//!
//! Our own rather than axum's `Sse`: an idle stream is most of what a server with many sessions holds, and
//! this one is a channel's end, a timer and the lease.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{registry::Lease, sealed, session::Ended};

/// Silence after which a comment is sent, so that proxies and clients see the stream is alive, and we see
/// that they are.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client has to say `initialize`; looked at when a comment is due, so up to [`KEEP_ALIVE`] later. Who only
/// holds a stream open takes a place from others.
const INITIALIZE_WITHIN: Duration = Duration::from_mins(1);

const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Milliseconds after which a client whose stream broke connects again: soon, but not all at once. The range's start
/// and its length.
const RETRY_MS: (u64, u64) = (200, 600);

/// The same for a stream that the server ends. What a client sends meanwhile may be lost to it.
const RETRY_AT_END_MS: u64 = 20;

/// The body of `GET /sse`'s answer. Dropping it ends the session.
#[derive(Debug)]
pub struct EventStream {
    first: Option<Bytes>,
    events: mpsc::Receiver<Bytes>,
    silence: Pin<Box<Sleep>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    lease: Lease,
    /// Until when the client must say `initialize`; `None` once that was looked at.
    initialize_by: Option<Instant>,
    over: bool,
}

impl EventStream {
    pub(super) fn new(endpoint: &str, kept: &str, events: mpsc::Receiver<Bytes>, lease: Lease) -> Self {
        let spread = u64::from_le_bytes(sealed::random().unwrap_or_default()) % RETRY_MS.1;
        let endpoint = event_with_id("endpoint", endpoint, Some(kept));
        let first = [format!("retry: {}\n", RETRY_MS.0 + spread).as_bytes(), &endpoint].concat();
        Self {
            first: Some(first.into()),
            events,
            silence: Box::pin(tokio::time::sleep(KEEP_ALIVE)),
            ended: Box::pin(lease.end().token().clone().cancelled_owned()),
            lease,
            initialize_by: Some(Instant::now() + INITIALIZE_WITHIN),
            over: false,
        }
    }

    /// Cancelled when the session has ended, whatever waits to be read.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        self.lease.end().token()
    }

    /// What is said last on a stream that the server ends: that its client need not wait before it connects again,
    /// since the server spreads the ends itself; and why, for people and for measurements.
    fn last_words(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        let cause = self.lease.end().cause();
        matches!(cause, Ended::Deadline | Ended::Idle | Ended::Expired).then(|| {
            Bytes::from(format!(
                "retry: {RETRY_AT_END_MS}\n: drain {}\n\n",
                cause.category()
            ))
        })
    }
}

/// An event; `data` must be one line, as JSON from serde is.
pub(super) fn event(name: &str, data: &str) -> Bytes {
    event_with_id(name, data, None)
}

/// What stands before and behind a message's JSON in its event, as [`event`] has it.
pub(super) const EVENT: &[u8] = b"event: message\ndata: ";
pub(super) const EVENT_END: &[u8] = b"\n\n";

/// An event, with an id that the client remembers until another comes.
pub(super) fn event_with_id(name: &str, data: &str, id: Option<&str>) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {name}\ndata: {data}\n\n"))
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let frame = if let Some(first) = this.first.take() {
            first
        } else if this.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        } else {
            match this.events.poll_recv(context) {
                Poll::Ready(None) => match this.last_words() {
                    None => return Poll::Ready(None),
                    Some(words) => words,
                },
                Poll::Ready(Some(event)) => event,
                Poll::Pending => match this.silence.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        this.lease.grow_old();
                        if this.initialize_by.take_if(|by| *by <= Instant::now()).is_some() {
                            this.lease.give_up_waiting();
                        }
                        COMMENT
                    }
                },
            }
        };
        this.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::super::registry::{
        Opening,
        tests::{anybody, sessions},
    };
    use super::*;

    async fn next(stream: &mut EventStream) -> Option<String> {
        let frame = stream.frame().await?.expect("infallible");
        Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_endpoint_comes_first_then_signs_of_life_then_the_end() {
        let sessions = sessions(1);
        let mut stream = sessions.open(anybody()).expect("room").stream;
        let first = next(&mut stream).await.expect("an event");
        let lines: Vec<_> = first.lines().collect();
        let retry = lines[0].strip_prefix("retry: ").expect("a retry");
        assert!(
            (200..800).contains(&retry.parse().expect("milliseconds")),
            "{first}"
        );
        assert!(lines[1].starts_with("id: "), "{first}");
        assert_eq!(lines[2], "event: endpoint");
        assert!(lines[3].starts_with("data: /messages/?session_id="), "{first}");
        assert!(first.ends_with("\n\n"), "{first}");
        let start = Instant::now();
        assert_eq!(next(&mut stream).await.as_deref(), Some(": keep-alive\n\n"));
        assert_eq!(start.elapsed().as_secs(), KEEP_ALIVE.as_secs());
        sessions.release(&sessions.open_now(), Ended::Deadline);
        assert_eq!(
            next(&mut stream).await.as_deref(),
            Some("retry: 20\n: drain deadline\n\n")
        );
        assert_eq!(next(&mut stream).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_never_initializes_ends_and_makes_room() {
        let sessions = sessions(1);
        let mut stream = sessions.open(anybody()).expect("room").stream;
        next(&mut stream).await.expect("the endpoint");
        let start = Instant::now();
        while let Some(said) = next(&mut stream).await {
            assert_eq!(said, ": keep-alive\n\n");
        }
        assert_eq!(stream.lease.end().cause(), Ended::Uninitialized);
        assert_eq!(start.elapsed(), INITIALIZE_WITHIN);
        drop(stream);
        assert!(sessions.open(anybody()).is_ok());
    }

    /// Once it was said, here or in a session before, a stream may be idle for as long as it likes.
    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_is_known_stays() {
        let sessions = sessions(1);
        let client = rmcp::model::InitializeRequestParams::default();
        let opening = Opening {
            client: Some(client),
            ..anybody()
        };
        let mut stream = sessions.open(opening).expect("room").stream;
        next(&mut stream).await.expect("the endpoint");
        for _ in 0..20 {
            assert_eq!(next(&mut stream).await.as_deref(), Some(": keep-alive\n\n"));
        }
    }
}
