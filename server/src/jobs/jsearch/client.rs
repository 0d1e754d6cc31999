//! The HTTP client.

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, redirect};

use super::Error;
use crate::config::Timeouts;

/// The most that an answer may weigh: ten pages with long descriptions are about 1 MB.
const MAX_BYTES: usize = 8 << 20;

/// Makes the client.
///
/// Trust comes from the platform's verifier: the keychain on macOS; elsewhere the usual CA files, which are
/// the image's only other content, or `SSL_CERT_FILE`. A list compiled in would go stale with the binary and
/// would not know a company's own proxy.
pub(super) async fn build(timeouts: &Timeouts) -> Result<Client, Error> {
    let connect = timeouts.connect;
    let built = tokio::task::spawn_blocking(move || {
        // An error means that another part of the process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .connect_timeout(connect)
            // A redirect's target would be sent the key.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("iam-mcp-server/", env!("CARGO_PKG_VERSION")))
            .build()
    });
    match built.await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => {
            tracing::error!(%error, "the HTTP client cannot be made");
            Err(Error::NoTrust)
        }
        Err(_) => Err(Error::NoTrust),
    }
}

/// What went wrong, without the request that it went wrong with.
pub(super) fn failure(error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        Error::Slow
    } else if error.is_decode() || error.is_body() {
        Error::Garbled
    } else {
        Error::Unreachable
    }
}

/// Reads an answer's body, within reason.
pub(super) async fn read(mut response: Response) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Error::Garbled);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
