//! Settings of the HTTP server.

use std::net::IpAddr;

use super::{auth::AuthSettings, source::Reader};
use crate::http::{host::HostPattern, origin::OriginPattern};

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
    /// The address that clients know this server by, without a slash at its end; `None` for what they ask for.
    pub public_url: Option<String>,
    /// A path below which every route is served too, such as `/jobs`; `None` for none.
    pub base_path: Option<String>,
    /// Open SSE sessions at a time.
    pub max_sessions: usize,
    /// Open connections at a time.
    pub max_connections: usize,
    /// Whether the server is ready only after it has spoken MCP with itself; `None`: as a replica it is.
    pub verify_at_start: Option<bool>,
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
            public_url: reader.parse("PUBLIC_URL", None, public_url),
            base_path: reader.parse("BASE_PATH", None, base_path),
            max_sessions: reader.parse("MAX_SESSIONS", 10_000, count),
            max_connections: reader.parse("MAX_CONNECTIONS", 20_000, count),
            verify_at_start: reader.parse("VERIFY_AT_START", None, |text| yes_or_no(text).map(Some)),
        }
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
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

/// Of the resource that RFC 9728 describes: no query, no fragment, and nobody's name in it.
fn public_url(text: &str) -> Result<Option<String>, String> {
    let advice = || "use the address that clients know, such as https://mcp.example.com".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| advice())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !plain || !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(advice());
    }
    Ok(Some(url.as_str().trim_end_matches('/').to_owned()))
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "use a whole number, at least 1".to_owned())
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.trim_matches(['[', ']'])
        .parse()
        .map_err(|_| "use an IP address: 127.0.0.1 for this machine only, 0.0.0.0 or :: for all".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn public_urls() {
        for (text, expected) in [
            ("https://MCP.example.com", "https://mcp.example.com"),
            ("https://mcp.example.com:443/", "https://mcp.example.com"),
            ("http://localhost:9999/jobs/", "http://localhost:9999/jobs"),
        ] {
            assert_eq!(public_url(text), Ok(Some(expected.to_owned())));
        }
        for bad in [
            "mcp.example.com",
            "ftp://a",
            "https://a/?b",
            "https://a/#b",
            "https://me@a",
            "/jobs",
        ] {
            assert!(public_url(bad).is_err(), "{bad}");
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
