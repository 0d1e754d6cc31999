//! Which `Origin` headers are served: a browser page of some other site must not drive this server
//! (2026-07-28 `basic/transports/streamable-http`, "Security Warning": validation is a MUST).

use std::str::FromStr;

use super::host::{Host, HostPattern};

/// A web origin (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `null`: sandboxed frames, local files.
    Opaque,
    /// Scheme, host and port.
    Tuple {
        /// In lower case.
        scheme: String,
        /// With the port written in the origin, if any.
        host: Host,
    },
}

/// One entry of `ALLOWED_ORIGINS` or `CORS_ORIGINS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`
    Any,
    /// `null`
    Opaque,
    /// `https://example.com`, `https://*.example.com`, `http://localhost:*`.
    Tuple {
        /// `None` for both http and https.
        scheme: Option<String>,
        /// Which hosts; any port goes for those that name none.
        host: HostPattern,
        /// The only port, once the scheme's own is filled in; `None` for any.
        port: Option<u16>,
    },
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "null" {
            return Ok(Self::Opaque);
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("use an origin like https://app.example.com")?;
        Ok(Self::Tuple {
            scheme: scheme.to_ascii_lowercase(),
            host: rest.parse()?,
        })
    }
}

impl OriginPattern {
    /// Pages of `host`, whatever their scheme and port: a page that is served by us or by a proxy before us.
    #[must_use]
    pub fn of_host(host: HostPattern) -> Self {
        match host {
            HostPattern::Any => Self::Any,
            host => Self::Tuple {
                scheme: None,
                host,
                port: None,
            },
        }
    }

    /// Whether `origin` is meant.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Any, _) | (Self::Opaque, Origin::Opaque) => true,
            (
                Self::Tuple {
                    scheme,
                    host: pattern,
                    port,
                },
                Origin::Tuple { scheme: given, host },
            ) => {
                let known = matches!(given.as_str(), "http" | "https");
                scheme.as_ref().map_or(known, |scheme| scheme == given)
                    && pattern.matches(host)
                    && port.is_none_or(|port| host.port().or_else(|| default_port(given)) == Some(port))
            }
            _ => false,
        }
    }
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = || "use an origin like https://app.example.com, http://localhost:* or *".to_owned();
        match text.trim_end_matches('/') {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Opaque),
            _ => {}
        }
        let (scheme, rest) = text.trim_end_matches('/').split_once("://").ok_or_else(advice)?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, any_port) = rest.strip_suffix(":*").map_or((rest, false), |host| (host, true));
        let host: HostPattern = host.parse().map_err(|_| advice())?;
        let (host, port) = match host {
            HostPattern::Any => return Err(advice()),
            HostPattern::Exactly(host) => (HostPattern::Exactly(Host::named(host.name())), host.port()),
            below @ HostPattern::Below(_) => (below, None),
        };
        // An origin without a port is that of its scheme, as in a browser's address line.
        let port = if any_port {
            None
        } else {
            port.or_else(|| default_port(&scheme))
        };
        Ok(Self::Tuple {
            scheme: Some(scheme),
            host,
            port,
        })
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        let pattern: OriginPattern = pattern.parse().expect(pattern);
        origin.parse().is_ok_and(|origin| pattern.matches(&origin))
    }

    #[test]
    fn ports() {
        assert!(matches("https://app.example.com", "https://app.example.com"));
        assert!(matches("https://app.example.com:443", "https://app.example.com"));
        assert!(!matches(
            "https://app.example.com",
            "https://app.example.com:8443"
        ));
        assert!(matches("http://localhost:*", "http://localhost:6274"));
        assert!(matches("http://[::1]:*", "http://[::1]:3000"));
    }

    #[test]
    fn schemes_and_hosts() {
        assert!(!matches("https://app.example.com", "http://app.example.com"));
        assert!(!matches(
            "https://app.example.com",
            "https://app.example.com.evil.net"
        ));
        assert!(matches("https://*.example.com", "https://app.example.com"));
        assert!(matches("vscode-webview://abc", "vscode-webview://abc"));
    }

    #[test]
    fn opaque_origins_are_served_only_when_named() {
        assert!(!matches("http://localhost:*", "null"));
        assert!(matches("null", "null"));
        assert!(matches("*", "null"));
    }

    #[test]
    fn an_allowed_hosts_pages_may_use_any_port_of_http_and_https() {
        let pattern = OriginPattern::of_host("mcp.example.com".parse().expect("host"));
        for good in ["https://mcp.example.com", "http://mcp.example.com:8080"] {
            assert!(pattern.matches(&good.parse().expect("origin")), "{good}");
        }
        assert!(!pattern.matches(&"ftp://mcp.example.com".parse().expect("origin")));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in ["example.com", "https://", "https://a b", "https://x/path"] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        assert!("example.com".parse::<OriginPattern>().is_err());
    }
}
