//! `X-Request-ID` and `X-Session-ID`: taken over where they are sane, made where there are none, and put on the answer,
//! so that a client, its proxy and our log call a request the same.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use uuid::{NoContext, Timestamp, Uuid};

use crate::hex;

/// One request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What belongs together.
pub const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// The longest id that is taken over.
const MAX_LENGTH: usize = 128;

/// Bytes of a hash that are shown.
const SHOWN: usize = 8;

/// The ids of one request.
#[derive(Debug)]
pub struct Ids {
    /// The request's, which its headers have too.
    pub request: HeaderValue,
    /// The session's, if the client sent one.
    session: Option<HeaderValue>,
}

impl Ids {
    /// Reads a request's ids. Afterwards its headers hold its id, and no insane one of a session.
    #[must_use]
    pub fn take(headers: &mut HeaderMap) -> Self {
        let session = sane(headers, &SESSION_ID).cloned();
        if session.is_none() {
            headers.remove(SESSION_ID);
        }
        let request = if let Some(request) = sane(headers, &REQUEST_ID) {
            request.clone()
        } else {
            let request = make();
            headers.insert(REQUEST_ID, request.clone());
            request
        };
        Self { request, session }
    }

    /// Puts them on the answer. A session of the older transport is already there, and gives way to what the client
    /// calls it. A client without a session may start one: with this request, and so by its id.
    pub fn answer(self, headers: &mut HeaderMap) {
        match self.session {
            Some(session) => {
                headers.insert(SESSION_ID, session);
            }
            None => {
                headers.entry(SESSION_ID).or_insert_with(|| self.request.clone());
            }
        }
        headers.insert(REQUEST_ID, self.request);
    }

    /// What logs call the session: the one of the older transport, if `answer` names it; else the hash of what the
    /// client calls it, or would.
    #[must_use]
    pub fn session(&self, answer: &HeaderMap) -> String {
        match (answer.get(SESSION_ID).map(HeaderValue::to_str), &self.session) {
            (Some(Ok(tag)), _) => tag.to_owned(),
            (_, session) => tag(session.as_ref().unwrap_or(&self.request).as_bytes()),
        }
    }
}

/// The id of a request that [`Ids::take`] has seen, or that another replica has passed on.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<&str> {
    sane(headers, &REQUEST_ID)?.to_str().ok()
}

/// What logs call the session of such a request, where the older transport has none.
#[must_use]
pub fn session(headers: &HeaderMap) -> Option<String> {
    let session = sane(headers, &SESSION_ID).or_else(|| sane(headers, &REQUEST_ID))?;
    Some(tag(session.as_bytes()))
}

/// What stands for an id that is nobody's business: the first 16 hex digits of its SHA-256.
#[must_use]
pub fn tag(id: &[u8]) -> String {
    hex::encode(&digest(&SHA256, id).as_ref()[..SHOWN])
}

/// The only value, if it is short visible ASCII.
fn sane<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let bytes = value.as_bytes();
    let sane = (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    sane.then_some(value)
}

/// A UUID of version 7, so that ids sort by time.
fn make() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    Uuid::new_v7(Timestamp::now(NoContext))
        .hyphenated()
        .encode_lower(&mut text);
    // Hex digits and hyphens are a valid value; and if they were not, an empty one is.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    fn answered(mut sent: HeaderMap) -> (String, String) {
        let ids = Ids::take(&mut sent);
        assert_eq!(of(&sent), ids.request.to_str().ok(), "what is passed on");
        let mut answer = HeaderMap::new();
        ids.answer(&mut answer);
        let text = |name| answer[name].to_str().expect("text").to_owned();
        (text(REQUEST_ID), text(SESSION_ID))
    }

    #[test]
    fn sane_ids_are_taken_over() {
        let sent = headers(&[(&REQUEST_ID, b"abc/1=2"), (&SESSION_ID, &[b's'; 128])]);
        assert_eq!(answered(sent), ("abc/1=2".to_owned(), "s".repeat(128)));
    }

    #[test]
    fn others_are_made_anew() {
        let long = [b'x'; 129];
        for bad in [b"".as_slice(), b"two words", b"caf\xe9", b"tab\there", &long] {
            let (request, session) = answered(headers(&[(&REQUEST_ID, bad), (&SESSION_ID, bad)]));
            let made = Uuid::parse_str(&request).expect("a UUID");
            assert_eq!(made.get_version_num(), 7);
            assert_eq!(session, request);
        }
        let twice = headers(&[(&REQUEST_ID, b"a"), (&REQUEST_ID, b"b")]);
        assert!(Uuid::parse_str(&answered(twice).0).is_ok());
        assert_ne!(answered(HeaderMap::new()), answered(HeaderMap::new()));
    }

    #[test]
    fn logs_show_a_hash_of_the_clients_session_and_the_tag_of_ours() {
        let mut sent = headers(&[(&SESSION_ID, b"alice")]);
        let ids = Ids::take(&mut sent);
        // printf alice | sha256sum
        let hash = "2bd806c97f0e00af";
        assert_eq!(ids.session(&HeaderMap::new()), hash);
        assert_eq!(session(&sent).as_deref(), Some(hash));
        assert_eq!(ids.session(&headers(&[(&SESSION_ID, b"0123")])), "0123");
        let mut bare = HeaderMap::new();
        let ids = Ids::take(&mut bare);
        assert_eq!(Some(ids.session(&HeaderMap::new())), session(&bare));
    }
}
