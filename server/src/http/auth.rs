//! The token check (protocol, section 6: servers with authorization MUST verify all inbound requests, and
//! tokens MUST NOT be in the query string). A session id is no proof of anything. Tokens stand in a file
//! ([`super::tokens`]), or an issuer made them ([`crate::oidc`]).

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

use super::{
    principal::Principal,
    proxies::Proxies,
    refusal::{Refusal, RefusalCode},
    resource::Resource,
    tokens::Tokens,
};
use crate::{
    config::{AuthSettings, HttpSettings},
    metrics::Metrics,
    oidc::{Fault, Oidc},
};

/// What clients are asked for by way of a challenge, before all else.
const REALM: &str = r#"Bearer realm="mcp""#;

/// Whose tokens are taken.
#[derive(Debug)]
pub struct Auth {
    kind: Kind,
    metrics: Metrics,
}

#[derive(Debug)]
enum Kind {
    Tokens(Arc<Tokens>),
    Oidc(Box<Oidc>, Resource),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No `Authorization`, or one of another scheme.
    #[error("this server asks for a token: send Authorization: Bearer TOKEN")]
    Missing,
    /// Several, or something that is none.
    #[error("the Authorization header is not Bearer with one token")]
    Malformed,
    /// A token, but not one of ours.
    #[error("this token is not known here, or not any more")]
    Unknown,
    /// A token that no issuer made for us.
    #[error("this token is not taken: {0}")]
    Token(Fault),
}

impl Denied {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Token(fault) => fault.category(),
        }
    }

    /// 401 asks for another token, 403 for one that allows more; no other token would help where none can be
    /// checked.
    fn status(self) -> StatusCode {
        match self {
            Self::Token(Fault::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Token(Fault::Scope) => StatusCode::FORBIDDEN,
            Self::Missing | Self::Malformed | Self::Unknown | Self::Token(_) => StatusCode::UNAUTHORIZED,
        }
    }

    /// RFC 6750, section 3: no error code for those who did not know that a token is needed.
    fn error(self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::Token(Fault::Unavailable) => None,
            Self::Token(Fault::Scope) => Some("insufficient_scope"),
            Self::Malformed | Self::Unknown | Self::Token(_) => Some("invalid_token"),
        }
    }
}

impl Auth {
    /// Takes these tokens, and those that will be in their file.
    #[must_use]
    pub fn tokens(tokens: Arc<Tokens>, metrics: Metrics) -> Self {
        Self {
            kind: Kind::Tokens(tokens),
            metrics,
        }
    }

    /// Whose request this is.
    ///
    /// # Errors
    /// Why it must not be served.
    pub async fn check(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        let token = bearer(headers)?;
        match &self.kind {
            Kind::Tokens(tokens) => tokens.owner(token).ok_or(Denied::Unknown),
            Kind::Oidc(oidc, _) => oidc.owner(token).await.map_err(Denied::Token),
        }
    }

    /// What a refused client should bring: for an issuer's tokens also where it is told which (RFC 9728, section
    /// 5.1), and what they must allow.
    fn challenge(&self, denied: Denied, request: &Request) -> HeaderValue {
        let mut text = REALM.to_owned();
        let mut say = |name: &str, value: &str| {
            for part in [", ", name, "=\"", value, "\""] {
                text.push_str(part);
            }
        };
        if let Some(error) = denied.error() {
            say("error", error);
        }
        if let Kind::Oidc(_, resource) = &self.kind {
            if let Denied::Token(fault) = denied {
                say("error_description", &fault.to_string());
            }
            if let Some(description) = resource.description(request) {
                say("resource_metadata", &description);
            }
            let scopes = resource.scopes();
            if !scopes.is_empty() {
                say("scope", &scopes);
            }
        }
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(REALM))
    }

    fn refuse(&self, denied: Denied, request: &Request) -> Response {
        let cause = vec![("cause", denied.category())];
        self.metrics.access.refused.get_or_create(&cause).inc();
        let status = denied.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Refusal::unavailable(denied.to_string()).into();
        }
        let code = RefusalCode::InvalidRequest;
        let mut response = Refusal::new(status, code, denied.to_string())
            .because("token")
            .into_response();
        let challenge = self.challenge(denied, request);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

/// The token that a request brings (RFC 6750, section 2.1); never one from its target, which ends up in logs.
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Denied::Missing)?;
    if values.next().is_some() {
        return Err(Denied::Malformed);
    }
    let value = value.to_str().map_err(|_| Denied::Malformed)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Denied::Missing);
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Denied::Malformed);
    }
    Ok(token)
}

/// The tokens of the file that these settings name, to be shared by all who look at them.
#[must_use]
pub fn tokens(http: &HttpSettings) -> Option<Arc<Tokens>> {
    match &http.auth {
        AuthSettings::Bearer { tokens } => Some(Arc::new(Tokens::new(tokens))),
        AuthSettings::None | AuthSettings::Oidc(_) => None,
    }
}

/// Puts the check in front of all that `served` answers, its fallback too. Behind it every request has a
/// [`Principal`] among its extensions. Beside it, and open, is what clients need to get a token.
pub fn guard(
    served: Router,
    http: &HttpSettings,
    tokens: Option<Arc<Tokens>>,
    proxies: &Proxies,
    metrics: &Metrics,
) -> Router {
    let guarded = |auth| {
        served
            .clone()
            .layer(middleware::from_fn_with_state(Arc::new(auth), layer))
    };
    match &http.auth {
        AuthSettings::None => served.layer(Extension(Principal::ANONYMOUS)),
        AuthSettings::Bearer { tokens: file } => {
            let tokens = tokens.unwrap_or_else(|| Arc::new(Tokens::new(file)));
            guarded(Auth::tokens(tokens, metrics.clone()))
        }
        AuthSettings::Oidc(settings) => {
            let resource = Resource::new(http, settings, proxies);
            let oidc = Oidc::new(settings, metrics.clone());
            let auth = Auth {
                kind: Kind::Oidc(Box::new(oidc), resource.clone()),
                metrics: metrics.clone(),
            };
            guarded(auth).merge(resource.router())
        }
    }
}

async fn layer(State(auth): State<Arc<Auth>>, mut request: Request, next: Next) -> Response {
    match auth.check(request.headers()).await {
        Ok(principal) => {
            // It has done its work, and must reach neither a tool nor another server.
            request.headers_mut().remove(header::AUTHORIZATION);
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(denied) => auth.refuse(denied, &request),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "A-token/of+alice=_0123";

    fn auth() -> (Auth, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), format!("alice {TOKEN}\n")).expect("written");
        (
            Auth::tokens(Arc::new(Tokens::new(file.path())), Metrics::new().0),
            file,
        )
    }

    /// Tokens of a file are checked without waiting.
    fn check(auth: &Auth, values: &[&[u8]]) -> Result<Principal, Denied> {
        let headers = headers(values);
        let checked = auth.check(&headers).now_or_never();
        checked.expect("no waiting")
    }

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values
            .iter()
            .map(|value| {
                let value = HeaderValue::from_bytes(value).expect("a header value");
                (header::AUTHORIZATION, value)
            })
            .collect()
    }

    #[test]
    fn one_bearer_token_passes_and_nothing_else() {
        let (auth, _file) = auth();
        let good = format!("Bearer {TOKEN}");
        for (values, expected) in [
            (vec![], Err(Denied::Missing)),
            (vec![good.as_str()], Ok(Principal::named("alice"))),
            (
                vec!["bearer   A-token/of+alice=_0123"],
                Ok(Principal::named("alice")),
            ),
            (vec!["Basic YWxpY2U6YWxpY2U="], Err(Denied::Missing)),
            (vec![TOKEN], Err(Denied::Missing)),
            (vec!["Bearer"], Err(Denied::Malformed)),
            (vec!["Bearer "], Err(Denied::Malformed)),
            (vec!["Bearer two words"], Err(Denied::Malformed)),
            (vec!["Bearer A-token/of+alice=_0123\t"], Err(Denied::Malformed)),
            (vec!["Bearer \u{e4}"], Err(Denied::Malformed)),
            (vec![good.as_str(), good.as_str()], Err(Denied::Malformed)),
            (vec!["Bearer a-token/of+alice=_0123"], Err(Denied::Unknown)),
            (vec!["Bearer alice"], Err(Denied::Unknown)),
        ] {
            let values: Vec<_> = values.into_iter().map(str::as_bytes).collect();
            assert_eq!(check(&auth, &values), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_made_up_token_passes(token in "[!-~]{1,80}") {
            let (auth, _file) = auth();
            prop_assume!(token != TOKEN);
            let value = format!("Bearer {token}");
            prop_assert_eq!(check(&auth, &[value.as_bytes()]), Err(Denied::Unknown));
        }

        #[test]
        fn no_header_of_any_bytes_passes(value in prop::collection::vec(0x20..=0xffu8, 0..80)) {
            let (auth, _file) = auth();
            prop_assume!(!value.contains(&0x7f));
            prop_assert!(check(&auth, &[&value]).is_err());
        }

        #[test]
        fn no_neighbour_of_a_token_passes(at in 0..TOKEN.len(), byte in 0x21..0x7fu8, cut in 0..TOKEN.len()) {
            let (auth, _file) = auth();
            let mut changed = TOKEN.as_bytes().to_vec();
            changed[at] = byte;
            prop_assume!(changed != TOKEN.as_bytes());
            let longer = [TOKEN.as_bytes(), &[byte]].concat();
            for token in [&changed[..], &TOKEN.as_bytes()[..cut], &longer] {
                let value = [b"Bearer ", token].concat();
                prop_assert!(check(&auth, &[&value]).is_err());
            }
        }
    }
}
