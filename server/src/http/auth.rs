//! The token check (protocol, section 6: servers with authorization MUST verify all inbound requests, and
//! tokens MUST NOT be in the query string). A session id is no proof of anything.

use std::{path::Path, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

use super::{
    principal::Principal,
    refusal::{Refusal, RefusalCode},
    tokens::Tokens,
};
use crate::{config::AuthSettings, metrics::Metrics};

/// Whose tokens are taken.
#[derive(Debug)]
pub struct Auth {
    tokens: Tokens,
    metrics: Metrics,
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
}

impl Denied {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
        }
    }

    /// RFC 6750, section 3: no error code for those who did not know that a token is needed.
    fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Missing => r#"Bearer realm="mcp""#,
            Self::Malformed | Self::Unknown => r#"Bearer realm="mcp", error="invalid_token""#,
        })
    }
}

impl Auth {
    /// Takes the tokens in this file, and those that will be in it.
    #[must_use]
    pub fn new(tokens: &Path, metrics: Metrics) -> Self {
        Self {
            tokens: Tokens::new(tokens),
            metrics,
        }
    }

    /// Whose request this is.
    ///
    /// # Errors
    /// Why it must not be served.
    pub fn check(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        self.tokens.owner(bearer(headers)?).ok_or(Denied::Unknown)
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

/// Puts the check in front of all that `served` answers, its fallback too. Behind it every request has a
/// [`Principal`] among its extensions.
pub fn guard(served: Router, settings: &AuthSettings, metrics: &Metrics) -> Router {
    match settings {
        AuthSettings::None => served.layer(Extension(Principal::ANONYMOUS)),
        AuthSettings::Bearer { tokens } => {
            let auth = Arc::new(Auth::new(tokens, metrics.clone()));
            served.layer(middleware::from_fn_with_state(auth, layer))
        }
    }
}

async fn layer(State(auth): State<Arc<Auth>>, mut request: Request, next: Next) -> Response {
    match auth.check(request.headers()) {
        Ok(principal) => {
            // It has done its work, and must reach neither a tool nor another server.
            request.headers_mut().remove(header::AUTHORIZATION);
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(denied) => {
            let cause = vec![("cause", denied.category())];
            auth.metrics.auth_refused.get_or_create(&cause).inc();
            let code = RefusalCode::InvalidRequest;
            let mut response = Refusal::new(StatusCode::UNAUTHORIZED, code, denied.to_string())
                .because("token")
                .into_response();
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, denied.challenge());
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "A-token/of+alice=_0123";

    fn auth() -> (Auth, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), format!("alice {TOKEN}\n")).expect("written");
        (Auth::new(file.path(), Metrics::new().0), file)
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
            assert_eq!(auth.check(&headers(&values)), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_made_up_token_passes(token in "[!-~]{1,80}") {
            let (auth, _file) = auth();
            prop_assume!(token != TOKEN);
            let value = format!("Bearer {token}");
            prop_assert_eq!(auth.check(&headers(&[value.as_bytes()])), Err(Denied::Unknown));
        }

        #[test]
        fn no_header_of_any_bytes_passes(value in prop::collection::vec(0x20..=0xffu8, 0..80)) {
            let (auth, _file) = auth();
            prop_assume!(!value.contains(&0x7f));
            prop_assert!(auth.check(&headers(&[&value])).is_err());
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
                prop_assert!(auth.check(&headers(&[&value])).is_err());
            }
        }
    }
}
