//! Talks with one pod's admin port: how many sessions it has, and when its drain has to end.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use ring::hmac;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::controller::rotation::KeyId;

/// The server's admin port, which `build` gives to every pod.
const ADMIN_PORT: u16 = 9090;
/// Longest wait for a connection: pods are near.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Longest wait for an answer, the connection included.
const LIMIT: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes; a real one has some 200.
const ANSWER_MAX: usize = 16 * 1024;

/// What a pod says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Open sessions.
    pub sessions: u32,
    /// When its drain ends, in unix seconds; `None` while it does not drain.
    pub drain_until: Option<i64>,
    /// The key with which it seals session ids.
    pub sealing: KeyId,
    /// The keys whose session ids it takes.
    pub accepted: Vec<KeyId>,
    /// The tokens of clients that it takes, of those that the operator made; empty of an older server.
    pub tokens: Vec<KeyId>,
}

impl Report {
    /// Whether it knows the same keys as in `other`.
    #[must_use]
    pub fn same_keys(&self, other: &Self) -> bool {
        self.sealing == other.sealing && self.accepted == other.accepted && self.tokens == other.tokens
    }
}

/// Why a pod did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Nobody takes connections there.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection failed")]
    Http(#[source] hyper::Error),
    /// The answer is too long or breaks off.
    #[error("the answer cannot be read")]
    Body,
    /// The answer has another status than it should.
    #[error("the answer has status {0}")]
    Status(StatusCode),
    /// The answer is not what the contract says.
    #[error("the answer is no report")]
    Report(#[source] serde_json::Error),
    /// There is no session key to prove anything with.
    #[error("there is no session key")]
    NoKey,
}

impl PollError {
    /// A bounded name for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Connect(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Http(_) | Self::Body => "broken",
            Self::Status(_) => "status",
            Self::Report(_) => "report",
            Self::NoKey => "no_key",
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    sessions: u32,
    drain_until: Option<i64>,
    sealing_key: KeyId,
    accepted_keys: Vec<KeyId>,
    #[serde(default)]
    accepted_tokens: Vec<KeyId>,
}

/// Asks the pod at `ip` for its sessions and keys.
///
/// # Errors
/// When it does not answer, or not as it should.
pub async fn sessions(ip: IpAddr) -> Result<Report, PollError> {
    let body = ask(ip, Method::GET, "/sessions", StatusCode::OK).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(PollError::Report)?;
    Ok(Report {
        sessions: answer.sessions,
        drain_until: answer.drain_until,
        sealing: answer.sealing_key,
        accepted: answer.accepted_keys,
        tokens: answer.accepted_tokens,
    })
}

/// Tells the pod at `ip` that its drain ends at `until` (unix seconds) at the latest. `key` is a session
/// key that it accepts.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn end_drain(ip: IpAddr, uid: &str, until: i64, key: &DrainKey) -> Result<(), PollError> {
    let path = format!("/drain?until={until}&mac={}", key.mac(uid, until));
    ask(ip, Method::POST, &path, StatusCode::NO_CONTENT).await?;
    Ok(())
}

/// What proves to a pod that whoever ends its drain has its session key. It is derived from that key, and good for
/// nothing else.
#[derive(Clone)]
pub struct DrainKey([u8; 32]);

impl std::fmt::Debug for DrainKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("DrainKey")
    }
}

impl DrainKey {
    /// The one that follows from a session key.
    #[must_use]
    pub fn of(session_key: &[u8]) -> Self {
        let derive = hmac::Key::new(hmac::HMAC_SHA256, session_key);
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&derive, b"iam-mcp drain key").as_ref());
        Self(key)
    }

    /// The proof. It names the pod and the time, so that it proves nothing to another pod, and can only shorten, so
    /// that a replay harms nobody.
    fn mac(&self, uid: &str, until: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hex(hmac::sign(&key, format!("iam-mcp drain\n{uid}\n{until}").as_bytes()).as_ref())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn ask(ip: IpAddr, method: Method, path: &str, expected: StatusCode) -> Result<Bytes, PollError> {
    tokio::time::timeout(LIMIT, exchange(ip, method, path, expected))
        .await
        .unwrap_or(Err(PollError::Timeout))
}

async fn exchange(ip: IpAddr, method: Method, path: &str, expected: StatusCode) -> Result<Bytes, PollError> {
    // As text an IPv6 address with a port has brackets, which is what `Host` wants.
    let address = SocketAddr::new(ip, ADMIN_PORT);
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .map_err(|_| PollError::Timeout)?
        .map_err(PollError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(PollError::Http)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|_| PollError::Body)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(PollError::Http)?;
        if answer.status() != expected {
            return Err(PollError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        Ok(body.map_err(|_| PollError::Body)?.to_bytes())
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    // The connection has to be driven for the exchange to get on; it may well end first.
    tokio::select! {
        biased;
        outcome = &mut exchange => outcome,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(PollError::Http(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_of_a_drain_is_the_contracts() {
        // Computed with Python's hmac module from the contract's formula.
        assert_eq!(
            DrainKey::of(&[7; 32]).mac("0e7b5d7c-0000-4000-8000-000000000001", 1_700_000_000),
            "cc3f9f39bb9d43b66976f3be2474eeee0fba2d3a44dff2662421c7385d791361"
        );
    }

    #[test]
    fn a_report_is_read_and_what_it_has_more_is_left_out() {
        let text = r#"{"sessions":12,"calls":3,"draining":false,"drain_until":null,"sealing_key":"9f86d081884c7d65","accepted_keys":["9f86d081884c7d65"],"new":1}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.sessions, 12);
        assert_eq!(answer.accepted_keys, [answer.sealing_key]);
        assert!(answer.accepted_tokens.is_empty(), "an older server");
        for refused in [
            "9f86",
            "9F86D081884C7D65",
            "zz86d081884c7d65",
            "9f86d081884c7d65aa",
        ] {
            assert!(
                serde_json::from_str::<KeyId>(&format!("{refused:?}")).is_err(),
                "{refused}"
            );
        }
    }
}
