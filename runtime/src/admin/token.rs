//! Who may change something by the admin port: whoever is on this machine, or has the admin token.

use std::{
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, header},
};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

/// Shorter ones can be guessed.
const MIN_TOKEN: usize = 16;

/// The most that is read of the file.
const MAX_BYTES: u64 = 4096;

/// What says that a request comes from somewhere else than its connection does: proxies' headers, and the one of
/// browsers, whose pages are somebody else's.
const FROM_ELSEWHERE: [&str; 5] = ["forwarded", "x-forwarded-for", "x-real-ip", "via", "origin"];

/// What is wrong with the file; it shows nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system says why.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Not one token.
    #[error("must hold one token of at least {MIN_TOKEN} visible ASCII characters, and nothing else")]
    NoToken,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NoToken => "no_token",
        }
    }
}

/// The token's file, read with each request that brings one: they are few, and so a change counts at once.
#[derive(Debug, Clone, Default)]
pub struct AdminToken(Option<PathBuf>);

impl AdminToken {
    /// The token in this file; without one, nobody has it.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self(file)
    }

    /// Whether a request may change something. The connection's address counts, and no header that names another.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap, extensions: &Extensions) -> bool {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let here = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
        let elsewhere = FROM_ELSEWHERE.iter().any(|name| headers.contains_key(*name));
        (here && !elsewhere) || self.knows(headers)
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(file), Some(value), None) = (&self.0, given.next(), given.next()) else {
            return false;
        };
        let Some(("Bearer" | "bearer", given)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        match read(file) {
            // Hashed first, so that not even the length can be felt.
            Ok(token) => {
                let [ours, theirs] = [token.as_str(), given].map(|text| digest(&SHA256, text.as_bytes()));
                ours.as_ref().ct_eq(theirs.as_ref()).into()
            }
            Err(error) => {
                tracing::warn!(path = %file.display(), "ADMIN_TOKEN_FILE {error}; nobody is let in by it");
                false
            }
        }
    }
}

/// Whether there is a token in this file.
///
/// # Errors
/// Why there is none.
pub fn check(file: &Path) -> Result<(), Error> {
    read(file).map(drop)
}

fn read(file: &Path) -> Result<String, Error> {
    let mut text = String::new();
    std::fs::File::open(file)?
        .take(MAX_BYTES)
        .read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::NoToken);
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn from(peer: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().expect("an address")));
        extensions
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn this_machine_may_unless_it_speaks_for_another() {
        let nobody = AdminToken::default();
        for peer in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(nobody.allows(&HeaderMap::new(), &from(peer)), "{peer}");
        }
        for header in [
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=10.0.0.9"),
            ("origin", "http://localhost:9090"),
            ("via", "1.1 proxy"),
        ] {
            assert!(
                !nobody.allows(&headers(&[header]), &from("127.0.0.1:1")),
                "{header:?}"
            );
        }
    }

    #[test]
    fn others_need_the_token_and_no_header_makes_them_local() {
        let file = file(&format!("  {TOKEN}\n"));
        let token = AdminToken::new(Some(file.path().into()));
        let good = format!("Bearer {TOKEN}");
        for (given, expected) in [
            (vec![], false),
            (vec![("x-forwarded-for", "127.0.0.1")], false),
            (vec![("forwarded", "for=127.0.0.1")], false),
            (vec![("authorization", good.as_str())], true),
            (vec![("authorization", "Bearer 0123456789abcdeF")], false),
            (vec![("authorization", "Bearer 0123456789abcde")], false),
            (vec![("authorization", "Bearer ")], false),
            (vec![("authorization", TOKEN)], false),
            (
                vec![("authorization", good.as_str()), ("authorization", good.as_str())],
                false,
            ),
        ] {
            assert_eq!(
                token.allows(&headers(&given), &from("10.1.2.3:1")),
                expected,
                "{given:?}"
            );
        }
        assert!(!AdminToken::default().allows(&headers(&[("authorization", &good)]), &from("10.1.2.3:1")));
        // No address at all is nobody on this machine.
        assert!(!token.allows(&HeaderMap::new(), &Extensions::new()));
    }

    #[test]
    fn a_changed_file_counts_at_once_and_a_bad_one_lets_nobody_in() {
        let file = file(TOKEN);
        let token = AdminToken::new(Some(file.path().into()));
        let given = headers(&[("authorization", &format!("Bearer {TOKEN}"))]);
        assert!(token.allows(&given, &from("10.1.2.3:1")));
        for content in ["another-0123456789", "", "short", "two words-0123456789"] {
            std::fs::write(file.path(), content).expect("written");
            assert!(!token.allows(&given, &from("10.1.2.3:1")), "{content}");
        }
        let empty = headers(&[("authorization", "Bearer ")]);
        assert!(!token.allows(&empty, &from("10.1.2.3:1")));
        assert!(check(file.path()).is_err());
        assert!(check(Path::new("/nonexistent/token")).is_err());
    }
}
