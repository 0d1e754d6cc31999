//! One line for each tool call: who called what, when, for how long, and how it ended. Never with what arguments.
//!
//! Off by default, and then a call costs nothing more. Lines are JSON; they go to stderr whatever `LOG_LEVEL` says, or
//! to the end of a file ([`file`]). Each is written before its call's answer is sent.

mod file;

use std::{io::Write as _, sync::Arc, time::Instant};

use axum::http::request::Parts;
use jiff::Timestamp;
use parking_lot::Mutex;
use rmcp::{RoleServer, service::RequestContext};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::file::Appending;
use crate::{
    config::AuditSettings,
    hex,
    http::{principal::Principal, request_id},
    metrics::Metrics,
    transport::sse::session_id::SessionTag,
};

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be written.
    #[error("AUDIT_LOG={path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SIGHUP cannot be watched.
    #[error("cannot watch for SIGHUP: {0}")]
    Signal(std::io::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Signal(_) => "signal",
        }
    }
}

/// The audit log. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    sink: Sink,
    metrics: Metrics,
}

#[derive(Debug)]
enum Sink {
    Stderr,
    File(Mutex<Appending>),
}

/// What a line says.
#[derive(Debug, Serialize)]
struct Line<'a> {
    timestamp: String,
    target: &'static str,
    request_id: Option<&'a str>,
    session: Option<&'a str>,
    principal: &'a str,
    tool: &'static str,
    outcome: &'static str,
    duration_ms: f64,
}

/// A call under way; its line is written when it ends.
#[derive(Debug)]
pub struct Entry {
    inner: Arc<Inner>,
    began: Timestamp,
    start: Instant,
    request_id: Option<String>,
    session: Option<String>,
    principal: Principal,
    tool: &'static str,
}

impl Audit {
    /// Opens the file, if it is to be one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(settings: &AuditSettings, metrics: Metrics) -> Result<Self, Error> {
        let sink = match settings {
            AuditSettings::Off => return Ok(Self(None)),
            AuditSettings::Stderr => Sink::Stderr,
            AuditSettings::File(path) => {
                let file = Appending::open(path).map_err(|source| Error::File {
                    path: path.clone(),
                    source,
                })?;
                Sink::File(Mutex::new(file))
            }
        };
        Ok(Self(Some(Arc::new(Inner { sink, metrics }))))
    }

    /// Opens the file anew on each SIGHUP, until `stop`; whoever moves it away need not wait for the next line.
    /// Without a file SIGHUP stays what it is.
    ///
    /// # Errors
    /// When the signal cannot be watched.
    pub fn follow_hangups(&self, stop: CancellationToken) -> Result<(), Error> {
        let Some(inner) = self.0.clone().filter(|inner| matches!(inner.sink, Sink::File(_))) else {
            return Ok(());
        };
        let hangup = tokio::signal::unix::SignalKind::hangup();
        let mut hangups = tokio::signal::unix::signal(hangup).map_err(Error::Signal)?;
        tokio::spawn(async move {
            while let Some(Some(())) = stop.run_until_cancelled(hangups.recv()).await {
                if let Sink::File(file) = &inner.sink
                    && let Err(error) = file.lock().reopen()
                {
                    tracing::error!(%error, "AUDIT_LOG cannot be opened anew; lines go where they went");
                }
            }
        });
        Ok(())
    }

    /// Begins the line of a call; `None` while there is no audit log.
    #[must_use]
    pub fn begin(
        &self,
        tool: &'static str,
        principal: Principal,
        context: &RequestContext<RoleServer>,
    ) -> Option<Entry> {
        let inner = self.0.as_ref()?;
        let head = context.extensions.get::<Parts>();
        let session = context.extensions.get::<SessionTag>().map(SessionTag::to_string);
        Some(Entry {
            inner: Arc::clone(inner),
            began: Timestamp::now(),
            start: Instant::now(),
            request_id: head
                .and_then(|head| request_id::of(&head.headers))
                .map(str::to_owned),
            session: session.or_else(|| request_id::session(&head?.headers)),
            principal,
            tool,
        })
    }
}

impl Entry {
    /// Writes the line.
    pub fn end(self, outcome: &'static str) {
        let named;
        let principal = if self.principal == Principal::ANONYMOUS {
            "anonymous"
        } else {
            named = hex::encode(self.principal.as_bytes());
            &named
        };
        let line = Line {
            timestamp: format!("{:.6}", self.began),
            target: "audit",
            request_id: self.request_id.as_deref(),
            session: self.session.as_deref(),
            principal,
            tool: self.tool,
            outcome,
            duration_ms: millis(self.start.elapsed()),
        };
        self.inner.write(&line);
    }
}

/// Milliseconds, to the microsecond.
fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Inner {
    fn write(&self, line: &Line<'_>) {
        let written = serde_json::to_vec(line)
            .map_err(std::io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                match &self.sink {
                    Sink::Stderr => std::io::stderr().lock().write_all(&line),
                    Sink::File(file) => file.lock().append(&line),
                }
            });
        if let Err(error) = written {
            // A full disk must not fill the log too: the counter says how many.
            if self.metrics.audit_lost.inc() == 0 {
                tracing::error!(%error, "AUDIT_LOG cannot be written; lines are lost, and counted in audit_lines_lost");
            }
        }
    }
}
