//! What is left of a request's body when its answer is there.
//!
//! An answer may come before the request is read: to a foreign host, to a wrong token, to too many at once. Where hyper
//! cannot read on at once it closes the connection then, and the answer does not say so: whoever keeps connections for
//! later, as proxies do, sends the next request into the void. So a small rest is read first, if it comes soon; else
//! the answer says that it is the last one.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Request, Response, header},
};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// The most that is read for nothing, in bytes. Refused messages are mostly smaller.
const MOST: usize = 64 * 1024;

/// How long that may take. A proxy sends head and body one after the other.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a connection keeps the body of its request when nobody reads it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(Arc<Mutex<Option<Rest>>>);

#[derive(Debug)]
struct Rest {
    body: Incoming,
    /// Reading on would ask for it (`Expect: 100-continue`), or has failed.
    closed: bool,
}

impl Unread {
    /// The same request, whose body comes back when it is dropped before its end.
    pub(crate) fn watch(&self, request: Request<Incoming>) -> Request<Body> {
        self.0.lock().take();
        let closed = request.headers().contains_key(header::EXPECT);
        request.map(|body| {
            Body::new(Watched {
                rest: Some(Rest { body, closed }),
                unread: self.clone(),
            })
        })
    }

    /// Reads what is left, or has the answer say that nothing more is read.
    pub(crate) async fn settle(&self, response: &mut Response<Body>) {
        let rest = self.0.lock().take();
        let Some(rest) = rest else { return };
        let read = !rest.closed
            && tokio::time::timeout(PATIENCE, skip(rest.body))
                .await
                .unwrap_or(false);
        if !read {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads to the end; false where that is too far, or there is none.
async fn skip(mut body: Incoming) -> bool {
    let mut room = MOST;
    if body.size_hint().lower() > room as u64 {
        return false;
    }
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let length = frame.map(|frame| frame.data_ref().map_or(0, Bytes::len));
        match length.ok().and_then(|length| room.checked_sub(length)) {
            Some(left) => room = left,
            None => return false,
        }
    }
    true
}

struct Watched {
    /// `None` after the end.
    rest: Option<Rest>,
    unread: Unread,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => rest.closed = true,
            None => self.rest = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take().filter(|rest| !rest.body.is_end_stream()) {
            *self.unread.0.lock() = Some(rest);
        }
    }
}
