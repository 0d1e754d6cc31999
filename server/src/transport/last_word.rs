//! What a call is answered that the server cannot finish: never a cut connection, but a JSON-RPC error that says
//! to send it again.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body::Frame;
use rmcp::model::{JsonRpcError, RequestId};
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::sse::session::retry_error;
use crate::http::refusal::{Refusal, RefusalCode};

#[derive(Deserialize)]
struct Identified {
    id: Option<RequestId>,
}

/// The id of the request in `sent`, if it is one.
fn id(sent: &[u8]) -> Option<RequestId> {
    serde_json::from_slice::<Identified>(sent).ok()?.id
}

/// The answer to a call that has none yet.
pub(crate) fn instead(sent: &[u8]) -> Response {
    let mut refusal = Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::Unavailable,
        retry_error().message,
    )
    .because("stopping")
    .with_retry_after(Duration::from_secs(1));
    if let Some(id) = id(sent) {
        refusal = refusal.with_id(id);
    }
    refusal.into()
}

/// The same answer, and if it is a stream that is still open when `give_up` comes, with the error as its last
/// event.
pub(crate) fn append(answer: Response, give_up: &CancellationToken, sent: &[u8]) -> Response {
    let streams = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !streams {
        return answer;
    }
    let error = JsonRpcError::new(id(sent), retry_error());
    let last = serde_json::to_string(&error).unwrap_or_default();
    answer.map(|body| {
        Body::new(LastWord {
            body,
            give_up: Box::pin(give_up.clone().cancelled_owned()),
            last: Some(Bytes::from(format!("event: message\ndata: {last}\n\n"))),
        })
    })
}

/// A stream of events that is not cut off.
struct LastWord {
    body: Body,
    give_up: Pin<Box<WaitForCancellationFutureOwned>>,
    last: Option<Bytes>,
}

impl http_body::Body for LastWord {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.last.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.give_up.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.last.take().map(|last| Ok(Frame::data(last))))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":"a-1","method":"tools/call"}"#;

    async fn text(response: Response) -> String {
        let body = to_bytes(response.into_body(), 10_000).await.expect("read");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_call_without_an_answer_is_told_to_come_again() {
        let response = instead(CALL);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        let text = text(response).await;
        assert!(
            text.contains(r#""id":"a-1""#) && text.contains("send it again"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_open_ends_with_the_error() {
        let first = futures::stream::iter([Ok::<_, std::io::Error>(": progress\n\n")]);
        let open = futures::StreamExt::chain(first, futures::stream::pending());
        let answer = Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(open))
            .expect("a response");
        let give_up = CancellationToken::new();
        give_up.cancel();
        let text = text(append(answer, &give_up, CALL)).await;
        assert!(
            text.starts_with(": progress\n\nevent: message\ndata: {") && text.contains(r#""id":"a-1""#),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_finished_answer_stays_as_it_is() {
        let give_up = CancellationToken::new();
        give_up.cancel();
        assert_eq!(
            text(append(Response::new(Body::from("{}")), &give_up, CALL)).await,
            "{}"
        );
    }
}
