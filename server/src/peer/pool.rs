//! Sending messages to other replicas, over connections that are kept.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Request, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use iam_mcp_runtime::telemetry::otlp;
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    CLIENT, MESSAGE, PRINCIPAL, REPLICAS, SESSION, WENT_ON, channel,
    known::{self, Known},
};
use crate::{
    hex,
    http::{
        client::Client,
        refusal::{Refusal, RefusalCode},
    },
    keyring::{Key, KeyId},
    metrics::{Forward, Metrics},
    transport::sse::session_id::{Owner, SessionId},
};

/// Time for a connection. A node that is there answers in a millisecond.
const CONNECT: Duration = Duration::from_millis(300);

/// Time for the handshake on top, which takes a processor on both sides, and a busy pod some time to get one.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// How long connections are tried before a pod counts as unreachable. Clients take a refusal as the end of their
/// session, so it must not come of a passing shortage.
const TRY: Duration = Duration::from_secs(3);

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Time for an answer. The other side takes or refuses a message at once, but may hold it for a client that is
/// about to come back.
const ANSWER: Duration = Duration::from_secs(5);

/// Messages under way at a time, to all replicas.
const UNDER_WAY: usize = 1024;

/// Connections kept for each replica, and for how long; the other side closes them later than that.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(30);

/// The most that is read of an answer: those of the owner are a word or a JSON-RPC error.
const ANSWER_BYTES: usize = 64 * 1024;

/// Headers that go along: they tie traces and logs together.
const PASSED_ON: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
];

/// What became of a message.
#[derive(Debug)]
pub enum Forwarded {
    /// The owner's answer.
    Answer(Response),
    /// The session's client has gone on with it, under this id.
    WentOn(String),
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// As many are under way as may be.
    #[error("too many messages are on their way to other replicas; try again")]
    Busy,
    /// At the address is nobody, or somebody else.
    #[error("the replica that had this session is gone: open a new one with GET /sse")]
    Gone,
    /// There is no connection, or it broke off.
    #[error("the replica that has this session cannot be reached just now; try again")]
    Unreachable,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Gone => "gone",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The other replicas, as far as connections to them are open.
#[derive(Debug)]
pub struct Peers {
    /// This process, as the others reach it.
    own: Owner,
    known: Known,
    kept: Mutex<HashMap<Target, Vec<Kept>>>,
    under_way: Semaphore,
    metrics: Metrics,
}

/// One pod, called with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target {
    address: SocketAddr,
    uid: [u8; 16],
    key: KeyId,
}

#[derive(Debug)]
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Peers {
    /// Nobody is known or connected yet.
    #[must_use]
    pub fn new(own: Owner, metrics: Metrics) -> Self {
        Self {
            own,
            known: Known::default(),
            kept: Mutex::default(),
            under_way: Semaphore::new(UNDER_WAY),
            metrics,
        }
    }

    /// Passes a message on to the replica that has the session; counted and timed.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn forward(
        &self,
        to: &SessionId,
        key: &Arc<Key>,
        head: &Parts,
        body: Bytes,
    ) -> Result<Forwarded, Error> {
        let timed = self.metrics.sse.forward();
        let sent = self.send(to, key, MESSAGE, Some(head), body).await;
        timed.ended(match &sent {
            Ok(answer) if answer.status().is_success() => Forward::Ok,
            Ok(_) => Forward::Refused,
            Err(Error::Busy) => Forward::Busy,
            Err(Error::Gone) => Forward::Gone,
            Err(Error::Unreachable) => Forward::Unreachable,
        });
        let answer = sent?;
        let went_on = answer.headers().get(SESSION).and_then(|id| id.to_str().ok());
        Ok(match went_on {
            Some(id) => Forwarded::WentOn(id.to_owned()),
            None => Forwarded::Answer(answer),
        })
    }

    /// The other replicas, as far as they were heard of.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Tells the replica that had a session that its client has gone on, as `now`; whether that one knew of it.
    pub async fn tell_owner(&self, before: &SessionId, key: &Arc<Key>, now: &str) -> bool {
        let told = self.tell(before, key, now).await;
        told.is_ok_and(|status| status.is_success())
    }

    /// Tells all other replicas that are known, where the one that had the session is gone or was started anew: one
    /// of them may hold a message. What is not heard loses nothing else.
    pub async fn tell_all(&self, before: &SessionId, key: &Arc<Key>, now: &str) {
        let others = self
            .known
            .all()
            .into_iter()
            .filter(|owner| owner.uid != before.owner.uid);
        let told = others.map(|owner| async move {
            let elsewhere = SessionId { owner, ..*before };
            if let Err(error) = self.tell(&elsewhere, key, now).await {
                tracing::debug!(%error, "a replica was not told where a session went");
            }
        });
        join_all(told).await;
    }

    async fn tell(&self, to: &SessionId, key: &Arc<Key>, now: &str) -> Result<StatusCode, Error> {
        let body = Bytes::copy_from_slice(now.as_bytes());
        let told = self.send(to, key, WENT_ON, None, body).await?;
        Ok(told.status())
    }

    async fn send(
        &self,
        to: &SessionId,
        key: &Arc<Key>,
        path: &'static str,
        head: Option<&Parts>,
        body: Bytes,
    ) -> Result<Response, Error> {
        let _place = self.under_way.try_acquire().map_err(|_| Error::Busy)?;
        let target = Target {
            address: to.owner.address.ok_or(Error::Gone)?,
            uid: to.owner.uid,
            key: key.id,
        };
        let mut request = self.request(to, path, head, body).map_err(|_| Error::Gone)?;
        // One that was kept may have been closed meanwhile; then nothing was sent, and a new one is made.
        while let Some(mut sender) = self.take(&target) {
            match timeout(ANSWER, sender.try_send_request(request)).await {
                Ok(Ok(answer)) => return self.read(target, sender, answer).await,
                Ok(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Error::Unreachable),
                },
                Err(_) => return Err(Error::Unreachable),
            }
        }
        let mut sender = connect(&target, key).await.inspect_err(|error| {
            if *error == Error::Gone {
                self.known.gone(&to.owner);
            }
        })?;
        match timeout(ANSWER, sender.send_request(request)).await {
            Ok(Ok(answer)) => self.read(target, sender, answer).await,
            Ok(Err(_)) | Err(_) => Err(Error::Unreachable),
        }
    }

    fn request(
        &self,
        to: &SessionId,
        path: &'static str,
        head: Option<&Parts>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        let mut request = Request::post(path)
            .header(header::HOST, HeaderValue::from_static("replica"))
            .header(SESSION, hex::encode(&to.session))
            .header(PRINCIPAL, hex::encode(to.principal.as_bytes()))
            .header(REPLICAS, known::write(&[self.own]))
            .body(Full::new(body))?;
        let Some(head) = head else { return Ok(request) };
        for name in PASSED_ON {
            if let Some(value) = head.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        if let Some(client) = head.extensions.get::<Client>() {
            let client = HeaderValue::try_from(hex::encode(client.as_bytes()))?;
            request.headers_mut().insert(CLIENT, client);
        }
        // The request that brought the message here is between its client's span and the owner's.
        otlp::inject(request.headers_mut());
        Ok(request)
    }

    async fn read(
        &self,
        target: Target,
        sender: SendRequest<Full<Bytes>>,
        answer: hyper::Response<hyper::body::Incoming>,
    ) -> Result<Response, Error> {
        let (head, body) = answer.into_parts();
        let body = timeout(ANSWER, Limited::new(body, ANSWER_BYTES).collect()).await;
        let Ok(Ok(body)) = body else {
            return Err(Error::Unreachable);
        };
        self.keep(target, sender);
        let others = head.headers.get(REPLICAS).and_then(|text| text.to_str().ok());
        let answered = Owner {
            uid: target.uid,
            address: Some(target.address),
        };
        for replica in others
            .map(known::read)
            .unwrap_or_default()
            .iter()
            .chain([&answered])
        {
            if replica.uid != self.own.uid {
                self.known.heard(replica);
            }
        }
        let mut response = Response::new(Body::from(body.to_bytes()));
        *response.status_mut() = head.status;
        for name in [header::CONTENT_TYPE, header::RETRY_AFTER, SESSION] {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    fn take(&self, target: &Target) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.kept.lock();
        let connections = kept.get_mut(target)?;
        // The youngest first, so that what is not needed grows old.
        while let Some(connection) = connections.pop() {
            if connection.since.elapsed() < KEPT_FOR && connection.sender.is_ready() {
                return Some(connection.sender);
            }
        }
        kept.remove(target);
        None
    }

    fn keep(&self, target: Target, sender: SendRequest<Full<Bytes>>) {
        let mut kept = self.kept.lock();
        kept.retain(|_, connections| {
            connections.retain(|connection| connection.since.elapsed() < KEPT_FOR);
            !connections.is_empty()
        });
        let connections = kept.entry(target).or_default();
        if connections.len() < KEPT {
            connections.push(Kept {
                sender,
                since: Instant::now(),
            });
        }
    }
}

async fn connect(target: &Target, key: &Key) -> Result<SendRequest<Full<Bytes>>, Error> {
    let start = Instant::now();
    while start.elapsed() < TRY {
        match open(target, key).await {
            Ok(sender) => return Ok(sender),
            Err(error) if is_final(&error) => {
                tracing::debug!(address = %target.address, %error, "a replica is gone");
                return Err(Error::Gone);
            }
            Err(error) => {
                tracing::debug!(address = %target.address, %error, "a replica was not reached");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Err(Error::Unreachable)
}

/// Whether trying again could not help: nobody listens there, or somebody else.
fn is_final(error: &channel::Error) -> bool {
    match error {
        channel::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
        ),
        channel::Error::Stranger(_) | channel::Error::Unknown => true,
    }
}

async fn open(target: &Target, key: &Key) -> Result<SendRequest<Full<Bytes>>, channel::Error> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(CONNECT, TcpStream::connect(target.address))
        .await
        .map_err(late)??;
    stream.set_nodelay(true)?;
    let channel = timeout(HANDSHAKE, channel::call(stream, key, &target.uid))
        .await
        .map_err(late)??;
    let (sender, connection) = http1::handshake(TokioIo::new(channel))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a replica ended early");
        }
    });
    Ok(sender)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Gone => Self::new(
                StatusCode::NOT_FOUND,
                RefusalCode::InvalidRequest,
                error.to_string(),
            ),
            Error::Busy | Error::Unreachable => Self::unavailable(error.to_string()),
        }
        .because(error.category())
    }
}
