//! What the operator shows to a server that asks for a token. It keeps none: a Secret is read when a server is asked,
//! so what is shown is what stands there now.

use hyper::header::HeaderValue;
use iam_mcp_crds::{McpServer, SecretKeyRef};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::timeout;

use super::LIMIT;
use crate::controller::{build::token_secret_name, key_kinds::TOKEN};

/// Fewest characters of a token, as the server has it.
const TOKEN_MIN: usize = 16;
/// Longest name of a token, as the server has it.
const NAME_MAX: usize = 64;

/// What the operator has to show.
#[derive(Clone, Debug, Default)]
pub enum Credential {
    /// Nothing, and the spec does not say that anything is asked for.
    #[default]
    None,
    /// A token, as the value of `Authorization`.
    Token(HeaderValue),
    /// Nothing, though something is asked for; why.
    Missing(String),
}

impl Credential {
    /// The value of `Authorization`.
    #[must_use]
    pub const fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Token(header) => Some(header),
            Self::None | Self::Missing(_) => None,
        }
    }

    /// A token as it is shown; nothing if it cannot be.
    fn token(token: &str) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(Self::Token(header))
    }
}

/// What there is to show to `server`.
pub async fn of(server: &McpServer, client: &Client) -> Credential {
    let Some(auth) = &server.spec.auth else {
        return Credential::None;
    };
    let Some(bearer) = &auth.bearer else {
        let why = "spec.auth.oidc: only its issuer makes tokens, and the operator has none";
        return Credential::Missing(why.to_owned());
    };
    let reference = bearer.tokens_secret_ref.clone();
    let reference = reference.unwrap_or_else(|| SecretKeyRef {
        name: token_secret_name(&server.name_any()),
        key: TOKEN.current.to_owned(),
    });
    let namespace = server.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let read = timeout(LIMIT, api.get_opt(&reference.name)).await;
    let SecretKeyRef { name, key } = &reference;
    let missing = |why: &str| Credential::Missing(format!("Secret {namespace}/{name} {why}"));
    let secret = match read {
        Ok(Ok(Some(secret))) => secret,
        Ok(Ok(None)) => return missing("does not exist"),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            return missing("cannot be read: the operator may not get Secrets there");
        }
        Ok(Err(_)) | Err(_) => return missing("cannot be read now"),
    };
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return missing(&format!("has no key {key:?}"));
    };
    let text = String::from_utf8_lossy(&value.0);
    let token = first_token(&text).and_then(Credential::token);
    token.unwrap_or_else(|| missing(&format!("holds no token under the key {key:?}")))
}

/// The first token in a file of tokens: `NAME TOKEN`, or only `TOKEN`, a line.
#[must_use]
pub fn first_token(file: &str) -> Option<&str> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    file.lines().find_map(|line| {
        let line = line.trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, token) = match words.as_slice() {
            [token] => ("", *token),
            [name, token] => (*name, *token),
            _ => return None,
        };
        let good = !line.starts_with('#') && visible(name) && name.len() <= NAME_MAX;
        (good && visible(token) && token.len() >= TOKEN_MIN).then_some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_good_token_is_shown() {
        let good = "0123456789abcdef";
        let long = "n".repeat(65);
        for (file, found) in [
            (format!("alice {good}\nbob {good}x\n"), Some(good)),
            (format!("# alice {good}y\n\nbob short\n {good} \r\n"), Some(good)),
            (format!("{long} {good}\na b {good}\nd\u{e4}ve {good}"), None),
            (String::new(), None),
        ] {
            assert_eq!(first_token(&file), found, "{file}");
        }
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let shown = Credential::token("0123456789abcdef").unwrap();
        assert_eq!(shown.header().unwrap(), "Bearer 0123456789abcdef");
        assert!(!format!("{shown:?}").contains("0123456789abcdef"));
    }
}
