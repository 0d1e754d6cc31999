//! Who a request comes from, and what an issuer and its tokens say.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    http::proxies::{self, Proxies},
    oidc,
};

/// `X-Forwarded-For` and `Forwarded`, as the first and second line, from a trusted proxy that adds the client:
/// whatever stands before is never believed, and a stranger's headers are not read.
pub fn forwarded(data: &[u8]) {
    let trusted = proxies::network("10.0.0.0/8").expect("a network");
    let proxies = Proxies::new(vec![trusted]);
    let (proxy, client, stranger) = (
        IpAddr::from([10, 0, 0, 1]),
        IpAddr::from([203, 0, 113, 9]),
        IpAddr::from([198, 51, 100, 1]),
    );
    let mut lines = data.split(|byte| *byte == b'\n');
    for (name, told) in [
        (HeaderName::from_static("x-forwarded-for"), "203.0.113.9"),
        (header::FORWARDED, "for=203.0.113.9;proto=https"),
    ] {
        let written = lines.next().unwrap_or_default();
        let Ok(as_sent) = HeaderValue::from_bytes(written) else {
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.insert(&name, as_sent);
        assert_eq!(proxies.client(stranger, &headers), stranger);
        let _ = proxies.client(proxy, &headers);
        let added = [written, b",", told.as_bytes()].concat();
        let Ok(added) = HeaderValue::from_bytes(&added) else {
            continue;
        };
        headers.insert(&name, added);
        assert_eq!(proxies.client(proxy, &headers), client);
    }
}

/// An issuer's keys, and behind the first empty line a token: of whatever is read, nothing is signed with a shared secret.
pub fn issuer(data: &[u8]) {
    let split = data.windows(2).position(|pair| pair == b"\n\n");
    let (keys, token) = match split {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, data),
    };
    for algorithm in oidc::read(keys, &String::from_utf8_lossy(token)) {
        assert!(!algorithm.starts_with("HS"), "{algorithm}");
    }
}
