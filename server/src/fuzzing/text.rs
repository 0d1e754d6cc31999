//! Text of headers, targets and files.

use std::sync::LazyLock;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Uri, header},
};

use crate::{
    config::Settings,
    http::{
        access::Access,
        host::{Host, HostPattern},
        origin::{Origin, OriginPattern},
        router, tokens,
    },
    jobs::{country::Country, place::Place},
};

static ACCESS: LazyLock<Access> = LazyLock::new(|| {
    let settings = Settings::read(|_| None).expect("the defaults");
    Access::new(&settings.http)
});

/// What the defaults serve.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// `Host` and `Origin`, as the first and second line: whatever passes is of this machine.
pub fn host_and_origin(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let (one, two) = (lines.next().unwrap_or_default(), lines.next());
    let text = String::from_utf8_lossy(one);
    let _ = (text.parse::<HostPattern>(), text.parse::<OriginPattern>());
    if let (Ok(pattern), Ok(host)) = (text.parse::<HostPattern>(), text.parse::<Host>()) {
        assert!(pattern.matches(&host), "a host is itself: {text}");
    }
    let mut headers = HeaderMap::new();
    let Ok(host) = HeaderValue::from_bytes(one) else {
        return;
    };
    headers.insert(header::HOST, host);
    if let Some(origin) = two {
        let Ok(origin) = HeaderValue::from_bytes(origin) else {
            return;
        };
        headers.insert(header::ORIGIN, origin);
    }
    let target = text.parse::<Uri>().unwrap_or_default();
    for target in [Uri::from_static("/mcp"), target] {
        if ACCESS.check(&target, &headers).is_err() {
            continue;
        }
        let host: Host = Host::written(&target, &headers)
            .and_then(|text| text.parse().ok())
            .expect("a host that passed");
        assert!(LOOPBACK.contains(&host.name()), "{host:?}");
        let Some(origin) = two else { continue };
        let origin: Origin = std::str::from_utf8(origin)
            .expect("an origin that passed")
            .parse()
            .expect("an origin that passed");
        let Origin::Tuple { scheme, host } = origin else {
            panic!("null passed")
        };
        assert!(["http", "https"].contains(&scheme.as_str()), "{scheme}");
        assert!(LOOPBACK.contains(&host.name()), "{host:?}");
    }
}

/// A request's query, and its `Accept`.
pub fn query(data: &[u8]) {
    let (query, accept) = data.split_at(data.len() / 2);
    let query = String::from_utf8_lossy(query);
    if let Some(id) = router::session_id(Some(&query)) {
        assert!(!id.contains('&') && query.contains(&format!("session_id={id}")));
    }
    if let Ok(accept) = HeaderValue::from_bytes(accept) {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(header::ACCEPT, accept);
        router::wants_stream(&request);
    }
}

/// The file of tokens: each that is taken has a line of its own, and each bad line a fault.
pub fn tokens_file(data: &[u8]) {
    let (taken, faults) = tokens::parse(data);
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(taken.len() + faults.len() <= lines);
    for fault in faults {
        assert!(!fault.to_string().is_empty());
    }
}

/// A place as people write it.
pub fn place(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Place::parse(&text).country();
    if let Some(country) = Country::find(&text) {
        assert_eq!(
            Country::find(country.code).map(|found| found.code),
            Some(country.code)
        );
    }
}
