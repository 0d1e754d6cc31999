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
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::registry::Lease;

/// Silence after which a comment is sent, so that proxies and clients see the stream is alive, and we see
/// that they are.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The body of `GET /sse`'s answer. Dropping it ends the session.
#[derive(Debug)]
pub struct EventStream {
    first: Option<Bytes>,
    events: mpsc::Receiver<Bytes>,
    silence: Pin<Box<Sleep>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _lease: Lease,
}

impl EventStream {
    pub(super) fn new(endpoint: &str, events: mpsc::Receiver<Bytes>, lease: Lease) -> Self {
        Self {
            first: Some(event("endpoint", endpoint)),
            events,
            silence: Box::pin(tokio::time::sleep(KEEP_ALIVE)),
            ended: Box::pin(lease.end().token().clone().cancelled_owned()),
            _lease: lease,
        }
    }
}

/// An event; `data` must be one line, as JSON from serde is.
pub(super) fn event(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
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
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(event)) => event,
                Poll::Pending => match this.silence.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => COMMENT,
                },
            }
        };
        this.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::super::{registry::Sessions, session_id::Sealer};
    use super::*;
    use crate::metrics::Metrics;

    async fn next(stream: &mut EventStream) -> Option<String> {
        let frame = stream.frame().await?.expect("infallible");
        Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_endpoint_comes_first_then_signs_of_life_then_the_end() {
        let sealer = Sealer::new(None).expect("a sealer");
        let sessions = Arc::new(Sessions::new(sealer, 1, Metrics::new().0));
        let mut stream = sessions.open("").expect("room");
        let first = next(&mut stream).await.expect("an event");
        assert!(
            first.starts_with("event: endpoint\ndata: /messages/?session_id="),
            "{first}"
        );
        assert!(first.ends_with("\n\n"), "{first}");
        let start = Instant::now();
        assert_eq!(next(&mut stream).await.as_deref(), Some(": keep-alive\n\n"));
        assert_eq!(start.elapsed().as_secs(), KEEP_ALIVE.as_secs());
        sessions.close();
        assert_eq!(next(&mut stream).await, None);
    }
}
