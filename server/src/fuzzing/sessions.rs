//! What clients keep for us, and send back.

use std::sync::LazyLock;

use rmcp::model::InitializeRequestParams;

use crate::{
    http::principal::Principal,
    keyring::KeyRing,
    transport::sse::{
        resumption::Resumption,
        session_id::{Owner, SessionId},
    },
};

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::random().expect("a key"));

/// One of ours, and how a client sees it.
static OURS: LazyLock<(SessionId, String)> = LazyLock::new(|| {
    let owner = Owner {
        uid: [7; 16],
        address: "10.1.2.3:9091".parse().ok(),
    };
    let id = SessionId::new(owner, Principal::named("alice")).expect("an id");
    let sealed = id.seal(&KEYS).expect("sealed");
    (id, sealed)
});

/// One of ours, with `data` written over it: each pair of bytes is a place, and what is put there.
fn tampered(ours: &str, data: &[u8]) -> String {
    let mut text: Vec<_> = ours.chars().collect();
    for pair in data.chunks_exact(2) {
        let at = usize::from(pair[0]) % text.len();
        text[at] = char::from(pair[1]);
    }
    text.into_iter().collect()
}

/// Session ids: whatever is none of ours opens nothing.
pub fn session_id(data: &[u8]) {
    let (id, sealed) = &*OURS;
    for said in [String::from_utf8_lossy(data).into_owned(), tampered(sealed, data)] {
        let opened = SessionId::open(&KEYS.keys(), &said);
        assert_eq!(opened.is_ok(), said == *sealed, "{said}");
        if let Ok((_, opened)) = opened {
            assert_eq!(opened, *id);
        }
    }
}

/// `Last-Event-ID`: the same, and what a client said of itself comes back as it was, or as its version.
pub fn resumption(data: &[u8]) {
    let (id, sealed) = &*OURS;
    assert!(Resumption::open(&KEYS, &String::from_utf8_lossy(data)).is_none());
    assert!(
        Resumption::open(&KEYS, sealed).is_none(),
        "a session id is no resumption"
    );
    let client = serde_json::from_slice::<InitializeRequestParams>(data).ok();
    let version = client.as_ref().map(|client| client.protocol_version.clone());
    let kept = Resumption {
        before: *id,
        client,
        hears: serde_json::from_slice(data).ok(),
    };
    let kept = kept.seal(&KEYS).expect("sealed");
    assert!(kept.len() < 4096, "it stands in a header: {}", kept.len());
    let (_, opened) = Resumption::open(&KEYS, &kept).expect("ours");
    assert_eq!(opened.before, *id);
    match opened.client {
        Some(client) => assert_eq!(Some(client.protocol_version), version),
        // One that is longer than all that is kept of a client cannot have been negotiated.
        None => assert!(version.is_none_or(|version| version.as_str().len() > 1024)),
    }
    let changed = tampered(&kept, data);
    assert_eq!(Resumption::open(&KEYS, &changed).is_some(), changed == kept);
}
