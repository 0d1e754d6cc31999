//! Answers over HTTP: one message as JSON, or several as server-sent events.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::stream;
use iam_mcp_runtime::endless::Endless;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::message::{self, Kind};

/// A request that takes longer is answered by a stream, since proxies end what is silent for a minute.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// How often a silent stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stream that is over waits for what is still said: how the program ended may be known a moment later.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Among a response's extensions: what it answers with is an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

fn is_error(answer: &[u8]) -> bool {
    let kind = message::read(answer).map(|answer| answer.kind);
    matches!(kind, Some(Kind::Response { failed: true, .. }))
}

/// How a request is answered.
pub(super) struct Answering<G> {
    /// What is said before the answer.
    pub(super) events: mpsc::Receiver<Bytes>,
    /// The answer.
    pub(super) answer: oneshot::Receiver<Bytes>,
    /// What is dropped when the client leaves.
    pub(super) guard: G,
    /// The status of a lone answer.
    pub(super) status: fn(&[u8]) -> StatusCode,
    /// What stands in for an answer that never comes.
    pub(super) lost: Bytes,
}

impl<G: Send + 'static> Answering<G> {
    /// As JSON, if the answer comes first and soon; else as a stream.
    pub(super) async fn respond(self) -> Response {
        let Self {
            mut events,
            mut answer,
            guard,
            status,
            lost,
        } = self;
        let first = tokio::select! {
            biased;
            Some(event) = events.recv() => Some(event),
            said = &mut answer => {
                drop(guard);
                let said = said.unwrap_or(lost);
                let mut response = json(status(&said), said.clone());
                if is_error(&said) {
                    response.extensions_mut().insert(Failed);
                }
                return response;
            }
            () = tokio::time::sleep(SILENT_FOR) => None,
        };
        let state = (events, Some(answer), guard, first, lost);
        let events = stream::unfold(state, |(mut events, mut answer, guard, first, lost)| async move {
            let mut waiting = answer.take()?;
            let next = if let Some(first) = first {
                Some(first)
            } else {
                let next = timeout(KEEP_ALIVE, async {
                    tokio::select! {
                        biased;
                        Some(event) = events.recv() => (event, false),
                        said = &mut waiting => (said.unwrap_or_else(|_| lost.clone()), true),
                    }
                });
                match next.await {
                    Err(_) => None,
                    Ok((message, false)) => Some(message),
                    Ok((message, true)) => {
                        return Some((
                            Ok::<_, std::io::Error>(event(&message)),
                            (events, None, guard, None, lost),
                        ));
                    }
                }
            };
            let text = next.map_or_else(keep_alive, |message| event(&message));
            Some((Ok(text), (events, Some(waiting), guard, None, lost)))
        });
        event_stream(Body::from_stream(events))
    }
}

/// A stream of all that comes by `messages`, behind `first`, until they or `over` end it.
pub(super) fn stream(
    first: Option<Bytes>,
    messages: mpsc::Receiver<Bytes>,
    over: CancellationToken,
    guard: impl Send + 'static,
) -> Response {
    let endless = Endless(over.clone());
    let state = (first, messages, over, guard);
    let events = stream::unfold(state, |(first, mut messages, over, guard)| async move {
        let text = if let Some(first) = first {
            first
        } else {
            let next = tokio::select! {
                biased;
                next = timeout(KEEP_ALIVE, messages.recv()) => next,
                // What is there, and what is still said of calls in flight, is said before.
                () = over.cancelled() => Ok(timeout(LAST_WORDS, messages.recv()).await.ok().flatten()),
            };
            match next {
                Ok(Some(message)) => event(&message),
                Ok(None) => return None,
                Err(_) => keep_alive(),
            }
        };
        Some((Ok::<_, std::io::Error>(text), (None, messages, over, guard)))
    });
    let mut answer = event_stream(Body::from_stream(events));
    answer.extensions_mut().insert(endless);
    // The connection ends with the stream.
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// An event with a message in it.
fn event(message: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(message.len() + 32);
    event.put_slice(b"event: message\ndata: ");
    event.put_slice(message.trim_ascii_end());
    event.put_slice(b"\n\n");
    event.freeze()
}

fn keep_alive() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

/// A message as JSON.
pub(super) fn json(status: StatusCode, message: Bytes) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], message).into_response()
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Tells nginx and its like to pass events on as they come.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("read");
        String::from_utf8(body.to_vec()).expect("text")
    }

    fn answering() -> (mpsc::Sender<Bytes>, oneshot::Sender<Bytes>, Answering<()>) {
        let (said, events) = mpsc::channel(4);
        let (answers, answer) = oneshot::channel();
        let answering = Answering {
            events,
            answer,
            guard: (),
            status: |_| StatusCode::OK,
            lost: Bytes::from_static(b"lost"),
        };
        (said, answers, answering)
    }

    #[tokio::test]
    async fn a_lone_answer_is_json_and_what_comes_before_one_makes_a_stream() {
        let (_said, answers, lone) = answering();
        answers.send("{}".into()).expect("waited for");
        let response = lone.respond().await;
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, "{}");

        let (said, answers, more) = answering();
        said.send("1\n".into()).await.expect("room");
        answers.send("2\n".into()).expect("waited for");
        let response = more.respond().await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(
            text(response).await,
            "event: message\ndata: 1\n\nevent: message\ndata: 2\n\n"
        );

        let (_said, answers, lost) = answering();
        drop(answers);
        assert_eq!(text(lost.respond().await).await, "lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_request_is_kept_alive() {
        let (_said, answers, slow) = answering();
        let response = slow.respond().await;
        tokio::spawn(async move {
            tokio::time::sleep(KEEP_ALIVE + Duration::from_secs(1)).await;
            answers.send("2".into()).expect("waited for");
        });
        assert_eq!(
            text(response).await,
            ": still here\n\nevent: message\ndata: 2\n\n"
        );
    }
}
