//! A client for one request to a server on this machine or network: no TLS, no proxy, no redirects.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// More than any answer to what is asked here.
const MAX_BYTES: usize = 1 << 20;

/// Where a server is: `http://HOST:PORT/BASE`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    authority: String,
    /// What is connected to: a name or an address, without brackets, and the port.
    target: (String, u16),
    base: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    /// It listens, and does not speak HTTP to the end.
    #[error("broke the connection off: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is too long, or ends too early.
    #[error("answered more than {MAX_BYTES} bytes, or less than it said")]
    Body,
    /// The address or the token cannot stand in a request.
    #[error("cannot be asked: {0}")]
    Request(#[from] hyper::http::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Http(_) => "http",
            Self::Body => "body",
            Self::Request(_) => "request",
        }
    }
}

impl Server {
    /// The server at this address, which may name /health or /mcp; `None` if it is none for plain HTTP.
    pub(super) fn at(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return None;
        }
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let path = uri.path().trim_end_matches('/');
        let base = ["/health", "/mcp"]
            .iter()
            .find_map(|route| path.strip_suffix(route));
        Some(Self {
            authority: authority.to_string(),
            target: (host.to_owned(), uri.port_u16().unwrap_or(80)),
            base: base.unwrap_or(path).to_owned(),
        })
    }

    /// The address of one of its routes, for people.
    pub(super) fn url(&self, route: &str) -> String {
        format!("http://{}{}{route}", self.authority, self.base)
    }

    /// `GET`, or `POST` of a message of MCP.
    pub(super) async fn ask(
        &self,
        route: &str,
        message: Option<&Value>,
        token: Option<&str>,
        version: Option<&str>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let mut request = Request::builder()
            .uri(format!("{}{route}", self.base))
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json, text/event-stream");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(version) = version {
            request = request.header("MCP-Protocol-Version", version);
        }
        let request = match message {
            None => request.body(Full::default()),
            Some(message) => request
                .method("POST")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(message.to_string()))),
        }?;
        let stream = TcpStream::connect((self.target.0.as_str(), self.target.1)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
            Ok((status, body.map_err(|_| Error::Body)?.to_bytes()))
        };
        // The connection does the work; it ends when the exchange has dropped its sender.
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let url = |url: &str| Server::at(url).map(|server| server.url("/health"));
        for (given, asked) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/health"),
            ("http://localhost/health", "http://localhost/health"),
            ("http://[::1]:9/jobs/mcp/", "http://[::1]:9/jobs/health"),
            ("http://a.example/jobs/", "http://a.example/jobs/health"),
        ] {
            assert_eq!(url(given).as_deref(), Some(asked), "{given}");
        }
        for given in [
            "https://a.example",
            "localhost:8080",
            "http://",
            "http://a@b.example",
            "ftp://x",
            "",
        ] {
            assert_eq!(Server::at(given), None, "{given}");
        }
        assert_eq!(
            Server::at("http://[::1]:9").expect("valid").target,
            ("::1".to_owned(), 9)
        );
    }
}
