//! Which `Host` headers are served: the defence against DNS rebinding.

use std::str::FromStr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};

/// A host name, perhaps with a port; IPv6 addresses without their brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// One entry of `ALLOWED_HOSTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`, held as `.example.com`.
    Below(String),
    /// `example.com`, on any port, or `example.com:8080`.
    Exactly(Host),
}

impl Host {
    /// A host on any port.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: normal(name),
            port: None,
        }
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its port, where one is given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// As it stands in an address.
    #[must_use]
    pub fn authority(&self) -> String {
        let name = &self.name;
        let name = if name.contains(':') {
            format!("[{name}]")
        } else {
            name.clone()
        };
        match self.port {
            Some(port) => format!("{name}:{port}"),
            None => name,
        }
    }

    /// What a request says it is for, as it is written: the target's authority (RFC 9112, 3.2.2), else the one `Host`
    /// header. `None` if that is missing or doubled.
    #[must_use]
    pub fn written<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
        if let Some(authority) = uri.authority() {
            return Some(authority.as_str());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next()?.to_str().ok()?;
        hosts.next().is_none().then_some(host)
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = || "use a host name like mcp.example.com, with :PORT if only that".to_owned();
        let authority = Authority::from_str(text).map_err(|_| advice())?;
        // `user@host` is an authority, but never a Host header.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(advice());
        }
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None | Some("") => None,
            Some(port) => Some(port.parse().map_err(|_| advice())?),
        };
        let name = normal(authority.host());
        // Of dots alone, nothing is left; and brackets are for addresses.
        let bracketed = authority.host().starts_with('[');
        if name.is_empty() || bracketed && name.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(advice());
        }
        Ok(Self { name, port })
    }
}

fn normal(name: &str) -> String {
    // A trailing dot names the same host.
    name.trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

impl HostPattern {
    /// Whether `text` can be seen to match without parsing it: it is the name, perhaps with a port. Nearly every request
    /// has it so. `false` says nothing.
    #[must_use]
    pub fn plainly_matches(&self, text: &str) -> bool {
        let Self::Exactly(own) = self else {
            return false;
        };
        // The colons of an IPv6 address need their brackets.
        let Some(rest) = text
            .strip_prefix(own.name.as_str())
            .filter(|_| !own.name.contains(':'))
        else {
            return false;
        };
        let Some(port) = rest.strip_prefix(':') else {
            return rest.is_empty() && own.port.is_none();
        };
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port
                .parse::<u16>()
                .is_ok_and(|port| own.port.is_none_or(|own| own == port))
    }

    /// Whether `host` is meant.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Below(suffix) => host.name.len() > suffix.len() && host.name.ends_with(suffix.as_str()),
            Self::Exactly(own) => {
                own.name == host.name && own.port.is_none_or(|port| host.port == Some(port))
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(Self::Any),
            _ => match text.strip_prefix("*.") {
                Some(rest) => Ok(Self::Below(format!(".{}", Host::from_str(rest)?.name))),
                // A bare IPv6 address has colons that are no port.
                None if text.parse::<std::net::Ipv6Addr>().is_ok() => Ok(Self::Exactly(Host::named(text))),
                None => text.parse().map(Self::Exactly),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        let pattern: HostPattern = pattern.parse().expect(pattern);
        host.parse().is_ok_and(|host| pattern.matches(&host))
    }

    #[test]
    fn patterns() {
        assert!(matches("example.com", "EXAMPLE.com:8080"));
        assert!(matches("example.com:8080", "example.com:8080"));
        assert!(!matches("example.com:8080", "example.com"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "evilexample.com"));
        assert!(!matches("example.com", "example.com.evil.net"));
        assert!(matches("::1", "[::1]:9999"));
        assert!(matches("[::1]", "[::1]"));
        assert!(matches("example.com", "example.com."));
        assert!(matches("*", "anything"));
    }

    #[test]
    fn a_host_as_it_stands_in_an_address() {
        for (text, expected) in [
            ("MCP.example.com.", "mcp.example.com"),
            ("[::1]:9999", "[::1]:9999"),
            ("[::1]", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(text.parse::<Host>().expect(text).authority(), expected);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "user@example.com",
            "http://example.com",
            "a b",
            "example.com:port",
            "example.com/x",
            ".",
            "..",
            "[]",
            "[localhost]",
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        assert!("*..".parse::<HostPattern>().is_err());
    }

    #[test]
    fn a_requests_host_is_its_targets_or_its_only_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(Host::written(&Uri::from_static("/"), &headers), None);
        headers.insert(header::HOST, "localhost:1".parse().expect("value"));
        assert_eq!(
            Host::written(&Uri::from_static("/"), &headers),
            Some("localhost:1")
        );
        let absolute = Uri::from_static("http://evil.example/");
        assert_eq!(Host::written(&absolute, &headers), Some("evil.example"));
        headers.append(header::HOST, "other".parse().expect("value"));
        assert_eq!(Host::written(&Uri::from_static("/"), &headers), None);
    }

    const OWN: [&str; 6] = ["localhost", "127.0.0.1", "::1", "a.b:80", "*.b", "*"];

    #[test]
    fn what_clients_send_needs_no_parsing() {
        let plainly = |text| OWN.map(|own| own.parse::<HostPattern>().expect(own).plainly_matches(text));
        assert_eq!(
            plainly("localhost:3000"),
            [true, false, false, false, false, false]
        );
        assert_eq!(plainly("127.0.0.1"), [false, true, false, false, false, false]);
        assert_eq!(plainly("a.b:80"), [false, false, false, true, false, false]);
    }

    proptest::proptest! {
        #[test]
        fn what_needs_no_parsing_matches_when_parsed(
            name in "localhost|127\\.0\\.0\\.1|::1|\\[::1\\]|a\\.b|x\\.b|[a-z@.]{0,3}",
            port in "|:|:\\+?[0-9]{1,6}|:[0-9a]{2}|\\.|[ -~]{0,3}",
        ) {
            let text = [name, port].concat();
            for own in OWN {
                let own: HostPattern = own.parse().expect("a pattern");
                if own.plainly_matches(&text) {
                    let host: Host = text.parse().expect("a host");
                    proptest::prop_assert!(own.matches(&host), "{}", text);
                }
            }
        }
    }
}
