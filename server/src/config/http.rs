//! Settings of the HTTP server.

use std::{net::IpAddr, path::Path};

use base64::Engine as _;
use secrecy::SecretSlice;

use super::{auth::AuthSettings, source::Reader};
use crate::http::{host::HostPattern, origin::OriginPattern};

/// How many bytes a session key has.
pub const SESSION_KEY_BYTES: usize = 32;

/// How the HTTP server listens, and whom it serves.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address both ports listen on.
    pub host: IpAddr,
    /// The port for clients; 0 takes any free one.
    pub port: u16,
    /// The port for probes and metrics; `None` for none.
    pub admin_port: Option<u16>,
    /// Host names served besides localhost and `host`.
    pub allowed_hosts: Vec<HostPattern>,
    /// Origins served; `None` for the default (localhost, the allowed hosts, `cors_origins`).
    pub allowed_origins: Option<Vec<OriginPattern>>,
    /// Origins that get CORS headers; `None` for no CORS at all.
    pub cors_origins: Option<Vec<OriginPattern>>,
    /// Whether clients need a token.
    pub auth: AuthSettings,
    /// Messages a second for each client address; 0 for no limit.
    pub rate_limit: u32,
    /// A path below which every route is served too, such as `/jobs`; `None` for none.
    pub base_path: Option<String>,
    /// Open SSE sessions at a time.
    pub max_sessions: usize,
    /// Open connections at a time.
    pub max_connections: usize,
    /// The key that seals session ids; `None` for one made at start.
    pub session_key: Option<SecretSlice<u8>>,
}

impl HttpSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let admin_port = reader.parse("ADMIN_PORT", 9090, port);
        Self {
            host: reader.parse("HOST", IpAddr::from([127, 0, 0, 1]), address),
            port: reader.parse("PORT", 8080, port),
            admin_port: (admin_port != 0).then_some(admin_port),
            allowed_hosts: reader.list("ALLOWED_HOSTS", str::parse).unwrap_or_default(),
            allowed_origins: reader.list("ALLOWED_ORIGINS", str::parse),
            cors_origins: reader.list("CORS_ORIGINS", str::parse),
            auth: AuthSettings::read(reader),
            rate_limit: reader.parse("RATE_LIMIT", 100, |text| {
                text.parse()
                    .ok()
                    .filter(|limit| *limit <= 1_000_000)
                    .ok_or_else(|| {
                        "use messages a second for each client, from 0 (off) to 1000000".to_owned()
                    })
            }),
            base_path: reader.parse("BASE_PATH", None, base_path),
            max_sessions: reader.parse("MAX_SESSIONS", 10_000, count),
            max_connections: reader.parse("MAX_CONNECTIONS", 20_000, count),
            session_key: reader.parse("SESSION_KEY_FILE", None, |path| {
                session_key(Path::new(path)).map(Some)
            }),
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "use a port number from 0 to 65535".to_owned())
}

/// `/` is what there is without a base path.
fn base_path(text: &str) -> Result<Option<String>, String> {
    let path = text.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if path.is_empty() && text.starts_with('/') {
        return Ok(None);
    }
    if path.starts_with('/') && path.chars().all(plain) && !path.contains("//") {
        return Ok(Some(path.to_owned()));
    }
    Err("use a path such as /jobs".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "use a whole number, at least 1".to_owned())
}

fn address(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.trim_matches(['[', ']'])
        .parse()
        .map_err(|_| "use an IP address: 127.0.0.1 for this machine only, 0.0.0.0 or :: for all".to_owned())
}

/// Reads 32 bytes, or their base64: Secrets mounted as files hold the former, people write the latter.
fn session_key(path: &Path) -> Result<SecretSlice<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let key = if bytes.len() == SESSION_KEY_BYTES {
        bytes
    } else {
        let text = bytes.trim_ascii();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .or_else(|_| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text))
            .ok()
            .filter(|key| key.len() == SESSION_KEY_BYTES)
            .ok_or("must hold 32 random bytes, raw or in base64 (openssl rand 32 > FILE)")?
    };
    Ok(SecretSlice::from(key))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn a_session_key_is_raw_or_base64() {
        let key: Vec<u8> = (0..32).collect();
        let text = format!("{}\n", base64::engine::general_purpose::STANDARD.encode(&key));
        for content in [key.as_slice(), text.as_bytes()] {
            let read = session_key(file(content).path()).expect("valid");
            assert_eq!(read.expose_secret(), key.as_slice());
        }
    }

    #[test]
    fn a_short_or_missing_session_key_is_refused_with_advice() {
        let error = session_key(file(b"short").path()).expect_err("too short");
        assert!(error.contains("32 random bytes"), "{error}");
        assert!(session_key(Path::new("/nonexistent/key")).is_err());
    }

    #[test]
    fn base_paths() {
        assert_eq!(base_path("/"), Ok(None));
        assert_eq!(base_path("/jobs/"), Ok(Some("/jobs".to_owned())));
        assert_eq!(base_path("/a/b"), Ok(Some("/a/b".to_owned())));
        for bad in ["jobs", "/a b", "/{x}", "//a", "/a?b"] {
            assert!(base_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            address("localhost").map(|host| host.to_string()),
            Ok("127.0.0.1".to_owned())
        );
        assert_eq!(address("[::]").map(|host| host.to_string()), Ok("::".to_owned()));
        assert!(address("example.com").is_err());
    }
}
