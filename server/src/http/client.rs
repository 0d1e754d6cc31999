//! Who a limit counts: the principal, or without one the address that a request came from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap},
};

use super::{principal::Principal, proxies::Proxies};

/// How many bytes tell clients apart.
pub const BYTES: usize = 17;

/// Whom a limit counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client([u8; BYTES]);

/// The first byte, so that no address is like a principal.
const PRINCIPAL: u8 = 0;
const ADDRESS: u8 = 1;

impl Client {
    /// Somebody with a token.
    #[must_use]
    pub fn known(principal: Principal) -> Self {
        Self::tagged(PRINCIPAL, *principal.as_bytes())
    }

    /// Whoever is at this address. IPv6 users own a /64, and could else be a new client each time.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
            }
        };
        Self::tagged(ADDRESS, address.octets())
    }

    fn tagged(tag: u8, rest: [u8; 16]) -> Self {
        let mut bytes = [tag; BYTES];
        bytes[1..].copy_from_slice(&rest);
        Self(bytes)
    }

    /// Who sent a request with these headers and extensions.
    #[must_use]
    pub fn of(headers: &HeaderMap, extensions: &Extensions, proxies: &Proxies) -> Self {
        let principal = extensions.get().copied().unwrap_or(Principal::ANONYMOUS);
        match extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) if principal == Principal::ANONYMOUS => {
                Self::at(proxies.client(peer.ip(), headers))
            }
            _ => Self::known(principal),
        }
    }

    /// As [`as_bytes`](Self::as_bytes) gave it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Client {
        Client::at(text.parse().expect(text))
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_one() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    #[test]
    fn no_address_is_a_principal() {
        let address = "2001:db8:1:2::".parse::<Ipv6Addr>().expect("an address");
        let alike = Principal::from_bytes(address.octets());
        assert_ne!(Client::known(alike), Client::at(address.into()));
    }

    #[test]
    fn a_principal_is_one_client_wherever_it_is() {
        let alice = Principal::named("alice");
        let (none, mut extensions) = (HeaderMap::new(), Extensions::new());
        for peer in ["192.0.2.1:1", "[2001:db8::1]:1"] {
            extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().expect(peer)));
            extensions.insert(alice);
            let client = Client::of(&none, &extensions, &Proxies::default());
            assert_eq!(client, Client::known(alice));
            extensions.insert(Principal::ANONYMOUS);
            let client = Client::of(&none, &extensions, &Proxies::default());
            assert_ne!(client, Client::known(alice));
        }
    }
}
