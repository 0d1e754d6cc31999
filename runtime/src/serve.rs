//! The accept loop.
//!
//! Ours rather than `axum::serve`, which leaves Nagle's algorithm on (about 40 ms on every second small
//! write: axum issue 2521), has no header timeout and no connection cap, and closes the listener the
//! moment a shutdown starts.

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, task::Poll, time::Duration};

use axum::{Router, extract::ConnectInfo, http::Request};
use futures::TryFutureExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use crate::{
    endless::{Handover, Noted, Stream},
    unread::Unread,
};

/// What a connection over the cap is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 55\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    This server has no connection left. Try again shortly.\n";

/// Refusals answered politely at a time; the rest are dropped, so that a flood costs no memory.
const POLITE_REFUSALS: usize = 64;

/// How long a refused client may take to read its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait when the process is out of descriptors or memory; accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of the accept loop.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for a complete request head. hyper starts it when the connection falls idle, so it is the
    /// keep-alive limit too, and longer than nginx's 60 s, lest a proxy reuse a connection we just closed.
    pub header_timeout: Duration,
    /// How long a client may take none of what is written to it. Else one that never reads would keep its
    /// connection, and the stream behind it, for as long as it likes.
    pub write_timeout: Duration,
    /// Connections at a time; further ones are answered 503.
    pub max_connections: usize,
    /// Bytes buffered for a request head.
    pub max_head_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            max_connections: 20_000,
            max_head_bytes: 64 * 1024,
        }
    }
}

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener cannot be used.
    #[error("the listening socket failed: {0}")]
    Listener(#[from] io::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Listener(_) => "listener",
        }
    }
}

/// Serves `app` on `listener` until `stop`, then waits for the requests in flight; `hard` drops them.
///
/// Requests carry `ConnectInfo<SocketAddr>` as an extension. The listener stays open until `stop`.
///
/// # Errors
/// When the listener is unusable from the start.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    options: Options,
    stop: CancellationToken,
    hard: CancellationToken,
) -> Result<(), Error> {
    listener.local_addr()?;
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let refusals = Arc::new(Semaphore::new(POLITE_REFUSALS));
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        // On a socket for both families an IPv4 client comes as ::ffff:a.b.c.d, which would be another client.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                    drop(permit);
                });
            }
            continue;
        };
        let (app, options) = (app.clone(), options.clone());
        let (stop, hard) = (stop.clone(), hard.clone());
        connections.spawn(async move {
            tokio::select! {
                () = hard.cancelled() => {}
                () = connection(stream, peer, app, &options, stop) => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// One connection, until it ends by itself or, after `stop`, when its request is answered.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: Router,
    options: &Options,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(options.write_timeout));
    let handover = Handover::default();
    let (taking, unread) = (handover.clone(), Unread::default());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (version, taking, unread) = (request.version(), taking.clone(), unread.clone());
        app.clone()
            .call(unread.watch(request))
            .and_then(async move |mut response| {
                unread.settle(&mut response).await;
                Ok(taking.take(response, version))
            })
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_head_bytes)
        .serve_connection(
            TokioIo::new(Noted::new(Box::pin(stream), handover.clone())),
            service,
        );
    let mut stopping = false;
    let ended = loop {
        let ended = poll_fn(|context| match Pin::new(&mut served).poll(context) {
            Poll::Ready(ended) => Poll::Ready(Served::Ended(ended)),
            Poll::Pending => handover
                .ready()
                .map_or(Poll::Pending, |stream| Poll::Ready(Served::Endless(stream))),
        });
        let ended = tokio::select! {
            ended = ended => ended,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                Pin::new(&mut served).graceful_shutdown();
                continue;
            }
        };
        match ended {
            Served::Ended(ended) => break ended.map_err(io::Error::other),
            Served::Endless(stream) => {
                let io = served.into_parts().io.into_inner().into_inner();
                break stream.write(io).await;
            }
        }
    };
    if let Err(error) = ended {
        // Clients that go away are everyday life; whoever debugs one wants to see it.
        tracing::debug!(%peer, %error, "connection ended early");
    }
}

/// What became of a connection that hyper serves.
enum Served {
    /// It has ended.
    Ended(hyper::Result<()>),
    /// Its last answer's head is written, and this is what follows.
    Endless(Stream),
}

/// The next connection. Nothing a client does, and no passing shortage, ends the loop.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers 503 and waits until the client closes: closing first, with its request unread, would reset the
/// connection and take the answer with it.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    let mut sink = [0; 512];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        routing::{get, post},
    };
    use tokio::sync::Notify;

    use super::*;

    async fn start(
        app: Router,
        options: Options,
    ) -> (SocketAddr, crate::shutdown::Shutdown, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("addr");
        let shutdown = crate::shutdown::Shutdown::manual();
        let (stop, hard) = (shutdown.soft(), shutdown.hard());
        let task =
            tokio::spawn(async move { serve(listener, app, options, stop, hard).await.expect("serve") });
        (addr, shutdown, task)
    }

    async fn exchange(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        text
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn the_peers_address_is_an_extension() {
        let app = Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        );
        let (addr, _shutdown, _task) = start(app, Options::default()).await;
        let mut stream = TcpStream::connect(addr).await.expect("connect");
        let answer = exchange(&mut stream, GET).await;
        assert!(answer.ends_with("127.0.0.1"), "{answer}");
    }

    /// Sends the head, and the body once it has been answered without; the answer, and whether it waited for the body.
    async fn refused(stream: &mut TcpStream, called: &Notify, length: &str, body: &str) -> (String, bool) {
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("write");
        called.notified().await;
        let waiting = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut [0])).await;
        stream.write_all(body.as_bytes()).await.expect("write");
        let mut answer = String::new();
        while !answer.ends_with("no") {
            let mut some = [0; 1024];
            let length = stream.read(&mut some).await.expect("read");
            assert_ne!(length, 0, "closed after {answer}");
            answer.push_str(std::str::from_utf8(&some[..length]).expect("text"));
        }
        (answer, waiting.is_err())
    }

    fn refusing() -> (Router, Arc<Notify>) {
        let called = Arc::new(Notify::new());
        let calling = Arc::clone(&called);
        let refuse = async move || {
            calling.notify_one();
            "no"
        };
        (Router::new().route("/", post(refuse)), called)
    }

    #[tokio::test]
    async fn a_connection_whose_request_is_answered_unread_stays() {
        let (app, called) = refusing();
        let (addr, _shutdown, _task) = start(app, Options::default()).await;
        let mut stream = TcpStream::connect(addr).await.expect("connect");
        for _ in 0..3 {
            let (answer, waited) = refused(&mut stream, &called, "4", "body").await;
            assert!(waited && !answer.contains("connection: close"), "{answer}");
        }
    }

    #[tokio::test]
    async fn or_else_the_answer_says_that_it_closes() {
        let (app, called) = refusing();
        let (addr, _shutdown, _task) = start(app, Options::default()).await;
        for (length, body) in [
            ("4", "bod"),
            ("10000000", "body"),
            ("4\r\nexpect: 100-continue", ""),
        ] {
            let mut stream = TcpStream::connect(addr).await.expect("connect");
            let (answer, _) = refused(&mut stream, &called, length, body).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("connection: close"), "{length}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_connection_over_the_cap_is_answered_503() {
        let app = Router::new().route("/", get(|| async { "ok" }));
        let (addr, _shutdown, _task) = start(
            app,
            Options {
                max_connections: 1,
                ..Options::default()
            },
        )
        .await;
        let mut first = TcpStream::connect(addr).await.expect("connect");
        first
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .expect("write");
        first.read_exact(&mut [0; 12]).await.expect("answered");
        let mut second = TcpStream::connect(addr).await.expect("connect");
        let answer = exchange(&mut second, GET).await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.ends_with("shortly.\n"),
            "{answer}"
        );
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(
            answer.contains(&format!("content-length: {}\r\n", body.len())),
            "{answer}"
        );
    }

    /// However much there is to be written, and however alive the connection is.
    #[tokio::test]
    async fn a_client_that_takes_nothing_loses_its_connection() {
        let endless = || futures::stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 64 * 1024]));
        let app = Router::new().route("/", get(async move || Body::from_stream(endless())));
        let options = Options {
            write_timeout: Duration::from_millis(200),
            ..Options::default()
        };
        let (addr, _shutdown, _task) = start(app, options).await;
        let mut stream = TcpStream::connect(addr).await.expect("connect");
        stream.write_all(GET.as_bytes()).await.expect("write");
        // It reads, and nothing happens to it; then it does not.
        for _ in 0..100 {
            stream.read_exact(&mut [0; 8192]).await.expect("read");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut some = vec![0; 1 << 20];
        let rest = async { while let Ok(1..) = stream.read(&mut some).await {} };
        let ended = tokio::time::timeout(Duration::from_secs(20), rest).await;
        ended.expect("an end of what has none");
    }

    #[tokio::test]
    async fn stop_finishes_what_is_in_flight_and_closes_idle_connections() {
        let gate = CancellationToken::new();
        let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
        let app = {
            let gate = gate.clone();
            Router::new().route(
                "/",
                get(move || async move {
                    entered.send(()).await.expect("test waits");
                    gate.cancelled().await;
                    "done"
                }),
            )
        };
        let (addr, shutdown, task) = start(app, Options::default()).await;
        let _idle = TcpStream::connect(addr).await.expect("connect");
        let call = tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("connect");
            exchange(&mut stream, GET).await
        });
        has_entered.recv().await.expect("called");
        shutdown.stop();
        gate.cancel();
        assert!(call.await.expect("call").ends_with("done"));
        tokio::time::timeout(Duration::from_secs(5), task)
            .await
            .expect("in time")
            .expect("ended");
    }

    #[tokio::test]
    async fn hard_drops_what_is_in_flight() {
        let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
        let app = Router::new().route(
            "/",
            get(move || async move {
                entered.send(()).await.expect("test waits");
                std::future::pending::<&str>().await
            }),
        );
        let (addr, shutdown, task) = start(app, Options::default()).await;
        let mut stream = TcpStream::connect(addr).await.expect("connect");
        stream.write_all(GET.as_bytes()).await.expect("write");
        has_entered.recv().await.expect("called");
        shutdown.force();
        tokio::time::timeout(Duration::from_secs(5), task)
            .await
            .expect("in time")
            .expect("ended");
    }
}
