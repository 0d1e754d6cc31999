//! A fence around a leader: past the end of its term nothing more leaves this process for the API server.
//!
//! A leader stops by itself when it cannot renew its Lease. But a process that was itself stopped for a while (a frozen
//! node, a suspended machine) goes on exactly where it was, perhaps with a request half on its way, and another leads by
//! then. So the time is looked at where bytes are handed to the system, the last moment at which it can be.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt as _, retry::RetryPolicy},
};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder, retry::RetryLayer};

use crate::api_requests::ApiRequests;

/// Time for a connection to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes is asked after this long whether its other end is there, and then so often. kube has
/// no time limit for an answer, and a watch is silent for minutes: without this, one whose other end vanished without a word
/// is believed in for five minutes, and a list for ever.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_TRIES: u32 = 3;
/// What is sent and not acknowledged for so long ends the connection; Linux would go on for a quarter of an hour.
#[cfg(target_os = "linux")]
const UNHEARD: Duration = Duration::from_secs(30);

/// Until when this process may write.
#[derive(Clone, Debug)]
pub struct Fence {
    born: Instant,
    /// In milliseconds since `born`; at first there is no end.
    open_for: Arc<AtomicU64>,
}

impl Default for Fence {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            open_for: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }
}

impl Fence {
    /// It shuts at `end`, unless it is moved again before.
    pub fn shut_at(&self, end: Instant) {
        let after = end.saturating_duration_since(self.born).as_millis();
        self.open_for
            .store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.born.elapsed().as_millis() >= u128::from(self.open_for.load(Ordering::Relaxed))
    }

    fn check(&self) -> io::Result<()> {
        if self.is_shut() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "this operator's Lease may be another's by now",
            ));
        }
        Ok(())
    }
}

/// A client all of whose connections are fenced and whose requests are counted. Else it is as kube makes it.
///
/// # Errors
/// When `config` makes no client.
pub fn client(config: Config, fence: &Fence, requests: &ApiRequests) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        // Support for that is not compiled in: this says so.
        return Ok(ClientBuilder::try_from(config)?.with_layer(requests).build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_EVERY));
    tcp.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNHEARD));
    let fenced = FencedConnector {
        tcp,
        fence: fence.clone(),
    };
    let tls = config.rustls_https_connector_with_connector(fenced)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        // What answers that it has too much to do is asked again when it says.
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .layer(requests)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

#[derive(Clone)]
struct FencedConnector {
    tcp: HttpConnector,
    fence: Fence,
}

impl Service<Uri> for FencedConnector {
    type Response = FencedStream;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Uri>::poll_ready(&mut self.tcp, cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, fence) = (self.tcp.call(to), self.fence.clone());
        Box::pin(async move {
            let inner = connecting.await?;
            Ok(FencedStream { inner, fence })
        })
    }
}

/// A connection that takes nothing more once the fence is shut.
struct FencedStream {
    inner: TokioIo<TcpStream>,
    fence: Fence,
}

impl Connection for FencedStream {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl Read for FencedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for FencedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.fence.check()?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.fence.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    async fn write(stream: &mut FencedStream, bytes: &[u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await
    }

    #[tokio::test]
    async fn nothing_leaves_past_the_end_of_the_term() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let fence = Fence::default();
        let mut connector = FencedConnector {
            tcp: HttpConnector::new(),
            fence: fence.clone(),
        };
        let to = format!("http://{}/", listener.local_addr().unwrap());
        let mut stream = connector.call(to.parse().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();

        assert_eq!(
            write(&mut stream, b"in time").await.unwrap(),
            7,
            "at first there is no end"
        );
        fence.shut_at(Instant::now() + Duration::from_mins(1));
        assert_eq!(write(&mut stream, b", again").await.unwrap(), 7);
        fence.shut_at(Instant::now());
        let refused = write(&mut stream, b", late").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionAborted);
        drop(stream);
        let mut came = String::new();
        other.read_to_string(&mut came).await.unwrap();
        assert_eq!(came, "in time, again");
    }
}
