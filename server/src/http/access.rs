//! The Host and Origin check: one layer over every route but `/health`, and the only one (rmcp's own is
//! switched off, so that one list decides).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};

use super::{
    host::{Host, HostPattern},
    origin::OriginPattern,
    refusal::{Refusal, RefusalCode},
};
use crate::config::HttpSettings;

/// Names this machine calls itself; a rebound name is none of them.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Who is served.
#[derive(Debug, Clone)]
pub struct Access {
    hosts: Vec<HostPattern>,
    origins: Vec<OriginPattern>,
}

/// Why somebody is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No Host, several, or something that is none.
    #[error("the request needs one valid Host header")]
    MalformedHost,
    /// A name that is not ours.
    #[error("this Host is not served here; add it to ALLOWED_HOSTS")]
    Host,
    /// A page of somebody else's.
    #[error("this Origin is not served here; add it to ALLOWED_ORIGINS or CORS_ORIGINS")]
    Origin,
}

impl Denied {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::MalformedHost => "malformed_host",
            Self::Host => "host",
            Self::Origin => "origin",
        }
    }
}

impl Access {
    /// The rules that follow from the settings: localhost, the address listened on and the allowed hosts;
    /// their pages, unless `ALLOWED_ORIGINS` says otherwise; and whoever gets CORS headers.
    #[must_use]
    pub fn new(settings: &HttpSettings) -> Self {
        let mut hosts: Vec<_> = LOOPBACK
            .iter()
            .map(|name| HostPattern::Exactly(Host::named(name)))
            .collect();
        if !settings.host.is_unspecified() {
            hosts.push(HostPattern::Exactly(Host::named(&settings.host.to_string())));
        }
        hosts.extend(settings.allowed_hosts.iter().cloned());
        // `ALLOWED_HOSTS=*` says that a proxy in front checks names; it says nothing about pages.
        let own_pages = hosts.iter().filter(|host| **host != HostPattern::Any).cloned();
        let mut origins: Vec<_> = match &settings.allowed_origins {
            Some(origins) => origins.clone(),
            None => own_pages.map(OriginPattern::of_host).collect(),
        };
        origins.extend(settings.cors_origins.iter().flatten().cloned());
        Self { hosts, origins }
    }

    /// Checks a request's target and headers.
    ///
    /// # Errors
    /// Why it must not be served.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        let written = Host::written(uri, headers).ok_or(Denied::MalformedHost)?;
        if !self.hosts.iter().any(|pattern| pattern.plainly_matches(written)) {
            let host = written.parse().map_err(|_| Denied::MalformedHost)?;
            if !self.hosts.iter().any(|pattern| pattern.matches(&host)) {
                return Err(Denied::Host);
            }
        }
        // Every value counts, lest a second header slip by the first.
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(Denied::Origin)?;
            if !self.origins.iter().any(|pattern| pattern.matches(&origin)) {
                return Err(Denied::Origin);
            }
        }
        Ok(())
    }
}

/// The layer.
pub async fn layer(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => {
            let status = match denied {
                Denied::MalformedHost => StatusCode::BAD_REQUEST,
                Denied::Host | Denied::Origin => StatusCode::FORBIDDEN,
            };
            Refusal::new(status, RefusalCode::InvalidRequest, denied.to_string())
                .because(denied.category())
                .into()
        }
    }
}
