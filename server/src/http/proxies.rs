//! Which proxies are believed when they say who a request comes from (`TRUSTED_PROXIES`).
//!
//! Each proxy adds at the right of `X-Forwarded-For` (or `Forwarded`, RFC 7239) whom it was asked by. What a
//! client wrote there itself is further left; so the rightmost address that is no trusted proxy is the client.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Proxies in a row that are followed.
const HOPS: usize = 16;

/// The networks of trusted proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those in these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of whoever asked, `peer` being the other end of the connection.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let told = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
            headers
                .contains_key(name)
                .then(|| self.rightmost(peer, name, headers, read))
        };
        let plain = told(&X_FORWARDED_FOR, address);
        let standard = told(&header::FORWARDED, forwarded_for);
        match (plain, standard) {
            // A proxy writes one of them and may pass on the other as the client wrote it: which, is not known.
            (Some(plain), Some(standard)) if plain != standard => peer,
            (plain, standard) => plain.or(standard).unwrap_or(peer),
        }
    }

    /// The rightmost entry of a list that no trusted proxy stands for. An entry that is no address ends the way
    /// at the proxy that wrote it.
    fn rightmost(
        &self,
        peer: IpAddr,
        name: &HeaderName,
        headers: &HeaderMap,
        read: fn(&str) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut last = peer;
        let values = headers.get_all(name).iter().rev();
        // Not the line as a text: what a client wrote into it need be none.
        let entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.take(HOPS) {
            let told = str::from_utf8(entry).ok().and_then(|entry| read(entry.trim()));
            let Some(address) = told else { break };
            last = address.to_canonical();
            if !self.trusts(last) {
                break;
            }
        }
        last
    }

    /// The scheme that the client used, where a trusted proxy says so.
    #[must_use]
    pub fn scheme(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
        if !self.trusts(peer.to_canonical()) {
            return None;
        }
        let nearest = headers
            .get_all(X_FORWARDED_PROTO)
            .iter()
            .next_back()?
            .to_str()
            .ok()?;
        match nearest.rsplit(',').next()?.trim() {
            scheme if scheme.eq_ignore_ascii_case("https") => Some("https"),
            scheme if scheme.eq_ignore_ascii_case("http") => Some("http"),
            _ => None,
        }
    }
}

/// A network, or an address alone.
///
/// # Errors
/// What would be right.
pub fn network(text: &str) -> Result<IpNet, String> {
    IpNet::from_str(text)
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "use an address or a network, such as 10.0.0.0/8 or fd00::/8".to_owned())
}

/// An address, perhaps with a port, perhaps in brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_matches(['[', ']']);
    let parsed = bare.parse::<IpAddr>().ok();
    parsed.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()))
}

/// The `for=` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> Proxies {
        let networks = ["10.0.0.0/8", "192.0.2.7", "fd00::/8"];
        Proxies::new(networks.map(|text| network(text).expect(text)).into())
    }

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
        proxies().client(peer.parse().expect(peer), &headers).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        let xff = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("198.51.100.1", vec![], "198.51.100.1"),
            ("198.51.100.1", vec![(xff, "203.0.113.9")], "198.51.100.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("::ffff:10.0.0.1", vec![(xff, "203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1", vec![(xff, "1.2.3.4, 203.0.113.9")], "203.0.113.9"),
            (
                "10.0.0.1",
                vec![(xff, "203.0.113.9,10.9.9.9 , 192.0.2.7")],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                vec![(xff, "1.2.3.4"), (xff, "203.0.113.9")],
                "203.0.113.9",
            ),
            ("10.0.0.1", vec![(xff, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (
                "10.0.0.1",
                vec![(xff, "203.0.113.9, unknown, 10.0.0.2")],
                "10.0.0.2",
            ),
            ("10.0.0.1", vec![(xff, "")], "10.0.0.1"),
            ("10.0.0.1", vec![(xff, "203.0.113.9:1234")], "203.0.113.9"),
            ("fd00::1", vec![(xff, "2001:db8::5")], "2001:db8::5"),
            ("fd00::1", vec![(xff, "[2001:db8::5]:443")], "2001:db8::5"),
            (
                "10.0.0.1",
                vec![("forwarded", "for=203.0.113.9;proto=https")],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                vec![(
                    "forwarded",
                    "for=1.2.3.4, proto=http;For=\"[2001:db8::5]:1\", for=10.0.0.2",
                )],
                "2001:db8::5",
            ),
            ("10.0.0.1", vec![("forwarded", "for=_hidden")], "10.0.0.1"),
            // A client may send the one that its proxy does not write.
            (
                "10.0.0.1",
                vec![(xff, "203.0.113.9"), ("forwarded", "for=1.2.3.4")],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                vec![(xff, "203.0.113.9"), ("forwarded", "for=203.0.113.9")],
                "203.0.113.9",
            ),
        ] {
            assert_eq!(client(peer, &headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn the_scheme_is_the_nearest_proxys_word() {
        let mut headers = HeaderMap::new();
        let proxies = proxies();
        let scheme = |headers: &HeaderMap, peer: [u8; 4]| proxies.scheme(peer.into(), headers);
        assert_eq!(scheme(&headers, [10, 0, 0, 1]), None);
        headers.insert(X_FORWARDED_PROTO, "http, HTTPS".parse().expect("a value"));
        assert_eq!(scheme(&headers, [10, 0, 0, 1]), Some("https"));
        assert_eq!(scheme(&headers, [198, 51, 100, 1]), None);
    }

    #[test]
    fn networks() {
        assert_eq!(
            network("10.1.2.3/8").map(|network| network.to_string()),
            Ok("10.0.0.0/8".into())
        );
        assert_eq!(
            network("::1").map(|network| network.to_string()),
            Ok("::1/128".into())
        );
        for bad in ["", "10.0.0.0/33", "proxy.example", "*"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_changes_nothing(
            written in prop::collection::vec(prop_oneof![0x20..0x7fu8, Just(b','), Just(b'"'), 0x80..=0xffu8], 0..60),
            apart: bool,
            standard: bool,
        ) {
            let (name, told) = if standard {
                (header::FORWARDED, "for=203.0.113.9")
            } else {
                (X_FORWARDED_FOR, "203.0.113.9")
            };
            let mut headers = HeaderMap::new();
            let together = [&written[..], b", ", told.as_bytes()].concat();
            // A proxy adds to the line that is there, or one of its own.
            let lines = if apart { vec![&written[..], told.as_bytes()] } else { vec![&together[..]] };
            for line in lines {
                headers.append(&name, HeaderValue::from_bytes(line).expect("a value"));
            }
            let client: IpAddr = [203, 0, 113, 9].into();
            let stranger: IpAddr = [198, 51, 100, 1].into();
            prop_assert_eq!(proxies().client([10, 0, 0, 1].into(), &headers), client);
            prop_assert_eq!(proxies().client(stranger, &headers), stranger);
        }
    }
}
