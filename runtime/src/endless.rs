//! Streams that stay open, without an HTTP stack behind each.
//!
//! A connection of hyper holds two buffers of 8 kB, whatever goes through it: most of what an idle event stream
//! takes. So hyper reads the request and writes the answer's head, and is then let go; what is left of the stream
//! is its body, a socket, and chunks by hand. Nothing else can be asked on such a connection anyway.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::{Response, Version},
};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Among a response's extensions it says that its body is a stream that stays open until one side leaves. Once the token
/// is cancelled, nobody waits any more for the client to take what is being written.
#[derive(Debug, Clone)]
pub struct Endless(pub CancellationToken);

/// What follows the head of an endless answer.
#[derive(Debug)]
pub(crate) struct Stream {
    body: Body,
    given_up: CancellationToken,
}

/// Where the body of a connection's last answer waits until hyper has written that answer's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handover(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    stream: parking_lot::Mutex<Option<Stream>>,
    /// hyper asks for the body, so the head is in its buffer.
    asked: AtomicBool,
    /// hyper has nothing in its buffer.
    flushed: AtomicBool,
}

impl Handover {
    /// Takes the body of an endless answer, which goes on to hyper with one that only waits. HTTP/1.0 knows no
    /// chunks, so there it stays with hyper.
    pub(crate) fn take(&self, mut response: Response<Body>, version: Version) -> Response<Body> {
        match response.extensions_mut().remove() {
            Some(Endless(given_up)) if version == Version::HTTP_11 => response.map(|body| {
                *self.0.stream.lock() = Some(Stream { body, given_up });
                Body::new(Held(self.clone()))
            }),
            _ => response,
        }
    }

    /// The stream, once the head that belongs to it is with the system.
    pub(crate) fn ready(&self) -> Option<Stream> {
        let written = self.0.asked.load(Ordering::Relaxed) && self.0.flushed.load(Ordering::Relaxed);
        written.then(|| self.0.stream.lock().take()).flatten()
    }
}

/// A body that never comes.
struct Held(Handover);

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.0.asked.store(true, Ordering::Relaxed);
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A connection that notes whether all is written: hyper flushes when its own buffer is empty.
#[derive(Debug)]
pub(crate) struct Noted<I> {
    io: I,
    handover: Handover,
}

impl<I> Noted<I> {
    pub(crate) fn new(io: I, handover: Handover) -> Self {
        Self { io, handover }
    }

    pub(crate) fn into_inner(self) -> I {
        self.io
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Noted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Noted<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.handover.0.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.handover.0.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handover.0.flushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl Stream {
    /// Writes what comes of the body in chunks (RFC 9112, section 7.1), until it ends or the client leaves.
    ///
    /// # Errors
    /// When the connection breaks, or the body does: then without the last chunk, so that the client can tell.
    pub(crate) async fn write(self, mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let Self { mut body, given_up } = self;
        let mut unasked = [0; 64];
        loop {
            let frame = tokio::select! {
                biased;
                frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)) => frame,
                read = io.read(&mut unasked) => match read? {
                    0 => return Ok(()),
                    // It has nothing to say here; what it says all the same is not kept.
                    _ => continue,
                },
            };
            let bytes = match frame {
                Some(Ok(frame)) => match frame.data_ref() {
                    Some(data) if !data.is_empty() => chunk(data),
                    _ => continue,
                },
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => {
                    io.write_all(b"0\r\n\r\n").await?;
                    return io.shutdown().await;
                }
            };
            tokio::select! {
                biased;
                written = io.write_all(&bytes) => written?,
                () = given_up.cancelled() => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", data.len());
    [size.as_bytes(), data, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<E>(frames: impl futures::Stream<Item = Result<&'static str, E>> + Send + 'static) -> Stream
    where
        E: Into<axum::BoxError> + 'static,
    {
        Stream {
            body: Body::from_stream(frames),
            given_up: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn an_answer_waits_until_its_head_is_written() {
        let handover = Handover::default();
        let mut answer = Response::new(Body::from("events"));
        answer.extensions_mut().insert(Endless(CancellationToken::new()));
        let mut held = handover.take(answer, Version::HTTP_11).into_body();
        assert!(handover.ready().is_none(), "hyper does not ask for it yet");
        let waits = poll_fn(|context| Poll::Ready(Pin::new(&mut held).poll_frame(context)));
        assert!(waits.await.is_pending());
        assert!(handover.ready().is_none(), "its head is not written yet");
        let mut io = Noted::new(tokio::io::sink(), handover.clone());
        io.write_all(b"head").await.expect("written");
        assert!(handover.ready().is_none());
        io.flush().await.expect("flushed");
        assert!(handover.ready().is_some());
        assert!(handover.ready().is_none(), "once");
    }

    #[test]
    fn other_answers_and_http_1_0_stay_as_they_are() {
        for (endless, version) in [(false, Version::HTTP_11), (true, Version::HTTP_10)] {
            let handover = Handover::default();
            let mut answer = Response::new(Body::from("all of it"));
            if endless {
                answer.extensions_mut().insert(Endless(CancellationToken::new()));
            }
            let answer = handover.take(answer, version);
            assert_eq!(answer.body().size_hint().exact(), Some(9));
        }
    }

    #[tokio::test]
    async fn a_body_is_written_in_chunks_and_ends_with_the_last_one() {
        let frames = ["one", "", "twenty-seven bytes are here"].map(Ok::<_, io::Error>);
        let answer = of(futures::stream::iter(frames));
        let (mut client, server) = tokio::io::duplex(1024);
        answer.write(server).await.expect("written");
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "3\r\none\r\n1b\r\ntwenty-seven bytes are here\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_no_end() {
        let frames = [Ok("one"), Err(io::Error::other("broken"))];
        let answer = of(futures::stream::iter(frames));
        let (mut client, server) = tokio::io::duplex(1024);
        assert!(answer.write(server).await.is_err());
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("read");
        assert_eq!(text, "3\r\none\r\n");
    }

    #[tokio::test]
    async fn the_stream_ends_when_the_client_leaves_whatever_it_said_before() {
        let (mut client, server) = tokio::io::duplex(1024);
        let answer = of(futures::stream::pending::<io::Result<_>>());
        let streaming = tokio::spawn(answer.write(server));
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("written");
        drop(client);
        streaming.await.expect("ends").expect("well");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_client_that_was_given_up() {
        let (_client, server) = tokio::io::duplex(8);
        let answer = of(futures::stream::repeat_with(|| {
            Ok::<_, io::Error>("more than there is room for")
        }));
        let given_up = answer.given_up.clone();
        let streaming = tokio::spawn(answer.write(server));
        given_up.cancel();
        assert!(streaming.await.expect("ends").is_err());
    }
}
