//! What clients may know before they have a token (RFC 9728): which addresses this server protects, and whose
//! tokens it takes.
//!
//! A resource's description is at its host's `/.well-known/oauth-protected-resource`, followed by its path. With a
//! path prefix it is below that too, where an ingress that passes on nothing else lets clients through; refusals
//! name that address.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    host::Host,
    proxies::Proxies,
    refusal::{Refusal, RefusalCode},
    router::base,
};
use crate::config::{HttpSettings, OidcSettings, Scope, is_loopback};

/// Where descriptions are.
pub const METADATA: &str = "/.well-known/oauth-protected-resource";

/// What is described: where MCP is served.
const PATHS: [&str; 8] = [
    "",
    "/",
    "/mcp",
    "/mcp/",
    "/sse",
    "/sse/",
    "/messages",
    "/messages/",
];

/// The addresses of this server, as clients know them.
#[derive(Debug, Clone)]
pub struct Resource {
    public: Option<String>,
    /// What may stand before a path in a description's address.
    prefixes: Vec<String>,
    proxies: Proxies,
    issuer: String,
    scopes: Vec<String>,
}

/// A description (RFC 9728, section 2).
#[derive(Debug, Serialize)]
struct Metadata<'a> {
    resource: String,
    authorization_servers: [&'a str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes_supported: &'a [String],
    bearer_methods_supported: [&'static str; 1],
}

impl Resource {
    /// The server with these settings, whose tokens are an issuer's.
    #[must_use]
    pub fn new(http: &HttpSettings, oidc: &OidcSettings, proxies: &Proxies) -> Self {
        let path = |url: &String| reqwest::Url::parse(url).ok().map(|url| url.path().to_owned());
        let public = http.public_url.as_ref().and_then(path);
        let mut prefixes: Vec<_> = public.into_iter().chain(http.base_path.clone()).collect();
        prefixes.retain(|prefix| prefix != "/");
        Self {
            public: http.public_url.clone(),
            prefixes,
            proxies: proxies.clone(),
            issuer: oidc.issuer.clone(),
            scopes: oidc.scopes.iter().map(Scope::name).map(str::to_owned).collect(),
        }
    }

    /// Serves the descriptions.
    pub fn router(self) -> Router {
        Router::new()
            .route(METADATA, get(describe))
            .route(&format!("{METADATA}/{{*path}}"), get(describe))
            .with_state(Arc::new(self))
    }

    /// The scopes that clients are told to ask for, separated by spaces.
    #[must_use]
    pub fn scopes(&self) -> String {
        self.scopes.join(" ")
    }

    /// Where a request's resource is described.
    #[must_use]
    pub fn description(&self, request: &Request) -> Option<String> {
        let path = request.uri().path();
        let path = if PATHS.contains(&path) && path != "/" {
            path
        } else {
            ""
        };
        Some(format!(
            "{}{METADATA}{path}",
            self.public(request, base(request))?
        ))
    }

    /// The server's own address, `prefix` included; without `PUBLIC_URL` it is what the client called it, and a
    /// name that is not this machine's is taken to be behind TLS, as OAuth asks for.
    fn public(&self, request: &Request, prefix: &str) -> Option<String> {
        if let Some(public) = &self.public {
            return Some(public.clone());
        }
        // The check of hosts has let it through.
        let host: Host = Host::written(request.uri(), request.headers())?.parse().ok()?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let told = peer.and_then(|ConnectInfo(peer)| self.proxies.scheme(peer.ip(), request.headers()));
        let guessed = if is_loopback(host.name()) { "http" } else { "https" };
        Some(format!(
            "{}://{}{prefix}",
            told.unwrap_or(guessed),
            host.authority()
        ))
    }

    /// The prefix and the path that a description's address is about.
    fn about<'a>(&'a self, prefix: &'a str, rest: &'a str) -> Option<(&'a str, &'a str)> {
        let known = |path: &str| PATHS.contains(&path);
        let inserted = self.prefixes.iter().find_map(|inserted| {
            let path = rest.strip_prefix(inserted.as_str()).filter(|path| known(path))?;
            Some((inserted.as_str(), path))
        });
        inserted
            .filter(|_| prefix.is_empty())
            .or_else(|| known(rest).then_some((prefix, rest)))
    }
}

async fn describe(State(resource): State<Arc<Resource>>, request: Request) -> Response {
    let rest = request.uri().path().strip_prefix(METADATA).unwrap_or_default();
    let about = resource.about(base(&request), rest);
    let described = about.and_then(|(prefix, path)| {
        let public = resource.public(&request, prefix)?;
        Some(format!("{public}{path}"))
    });
    match described {
        Some(described) => {
            let metadata = Metadata {
                resource: described,
                authorization_servers: [&resource.issuer],
                scopes_supported: &resource.scopes,
                bearer_methods_supported: ["header"],
            };
            ([(header::CACHE_CONTROL, "no-cache")], Json(metadata)).into_response()
        }
        None => Refusal::new(
            StatusCode::NOT_FOUND,
            RefusalCode::InvalidRequest,
            "nothing is protected at this path; MCP is at /mcp, its older SSE transport at /sse",
        )
        .into(),
    }
}
