//! HTTP to the providers: one client, bounded answers, no redirects, retries bounded in time.

use std::{future::Future, sync::Arc};

use backon::{ExponentialBuilder, Retryable as _};
use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, Response, redirect};
use tokio::sync::OnceCell;

use crate::{config::Timeouts, metrics::JobMetrics};

/// Tries, the first included.
pub(super) const TRIES: usize = 3;

/// What went wrong, without the request that it went wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// An answer with this status.
    Status(u16),
    /// No connection.
    Unreachable,
    /// No answer in time.
    Slow,
    /// An answer that is too long, or not what it should be.
    Garbled,
    /// TLS could not be set up.
    NoTrust,
}

/// The client for all providers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    // Made on first use: reading the CA certificates takes longer than the rest of the start.
    client: Arc<OnceCell<Client>>,
    timeouts: Timeouts,
    metrics: JobMetrics,
}

impl Upstream {
    /// Connects to nothing yet.
    pub(super) fn new(timeouts: Timeouts, metrics: JobMetrics) -> Self {
        Self {
            client: Arc::default(),
            timeouts,
            metrics,
        }
    }

    /// The client.
    ///
    /// Trust comes from the platform's verifier: the keychain on macOS; elsewhere the usual CA files, which are
    /// the image's only other content, or `SSL_CERT_FILE`. A list compiled in would go stale with the binary and
    /// would not know a company's own proxy.
    pub(super) async fn client(&self) -> Result<&Client, Failure> {
        let connect = self.timeouts.connect;
        let build = move || {
            // An error means that another part of the process was first, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Client::builder()
                .connect_timeout(connect)
                // A redirect's target would be sent the key.
                .redirect(redirect::Policy::none())
                .user_agent(concat!("iam-mcp-server/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        self.client
            .get_or_try_init(|| async move {
                match tokio::task::spawn_blocking(build).await {
                    Ok(Ok(client)) => Ok(client),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the HTTP client cannot be made");
                        Err(Failure::NoTrust)
                    }
                    Err(_) => Err(Failure::NoTrust),
                }
            })
            .await
    }

    /// Sends one request of `provider` and reads its answer, of `limit` bytes at most.
    pub(super) async fn send(
        &self,
        provider: &'static str,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<Bytes, Failure> {
        self.metrics.request(provider);
        let call = async {
            let response = request.send().await.map_err(|error| failure(&error))?;
            match response.status().as_u16() {
                200 => read(response, limit).await,
                status => Err(Failure::Status(status)),
            }
        };
        tokio::time::timeout(self.timeouts.attempt, call)
            .await
            .map_err(|_| Failure::Slow)?
    }

    /// Tries `attempt` up to three times, as long as its errors are `passing` ones.
    pub(super) async fn retry<T, E, A: Future<Output = Result<T, E>>>(
        &self,
        provider: &'static str,
        attempt: impl FnMut() -> A,
        passing: impl FnMut(&E) -> bool,
    ) -> Result<T, E> {
        let retries = ExponentialBuilder::default()
            .with_min_delay(self.timeouts.backoff)
            .with_max_times(TRIES - 1)
            .with_jitter();
        attempt
            .retry(retries)
            .when(passing)
            .notify(|_, wait| tracing::debug!(provider, ?wait, "asking again"))
            .await
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::Slow
    } else if error.is_decode() || error.is_body() {
        Failure::Garbled
    } else {
        Failure::Unreachable
    }
}

/// Reads an answer's body, within reason.
async fn read(mut response: Response, limit: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::Garbled);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
