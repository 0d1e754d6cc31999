//! What a client needs to go on with a session over a new stream, on any replica.
//!
//! It comes to the client as the `id` of events, which an `EventSource` sends back as `Last-Event-ID` when it
//! connects again by itself. Inside stands the session's id, what the client said in `initialize`, and what it wants
//! to hear of, sealed: nothing is stored, and the client need not say it again.

use std::{borrow::Cow, sync::Arc};

use rmcp::model::InitializeRequestParams;
use serde::{Deserialize, Serialize};

use super::{
    sealed::{self, NoRandom},
    session_id::SessionId,
};
use crate::{
    keyring::{Key, KeyRing},
    mcp::resources::subscriptions::Hears,
};

/// The format that follows, authenticated with it.
const VERSION: u8 = 1;

/// The most that is kept of what a client said of itself, in bytes of JSON: the id stands in a header, and
/// proxies take 8 kB of those. Of a client that says more, what it wants to hear of goes first, and then all but the
/// protocol version.
const CLIENT_BYTES: usize = 2048;

/// A session that can be gone on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumption {
    /// The session before.
    pub before: SessionId,
    /// What the client said of itself, with the version that was negotiated; `None` before `initialize`.
    pub client: Option<InitializeRequestParams>,
    /// What it wants to hear of, if anything.
    pub hears: Option<Hears>,
}

/// What is kept of a client. A replica of a release before knows the first part only, and reads it.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(flatten)]
    client: Cow<'a, InitializeRequestParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hears: Option<Cow<'a, Hears>>,
}

impl Resumption {
    /// What the client keeps.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self, keys: &KeyRing) -> Result<String, NoRandom> {
        let mut text = self.before.text();
        if let Some(client) = &self.client {
            text.extend(compact(client, self.hears.as_ref()));
        }
        sealed::seal(&keys.keys().sealing().resumption, VERSION, text)
    }

    /// Reads what a client kept, and with which key it was sealed; `None` when it is not ours, or too old.
    #[must_use]
    pub fn open(keys: &KeyRing, kept: &str) -> Option<(Arc<Key>, Self)> {
        let most = SessionId::TEXT_LEN + CLIENT_BYTES;
        let (key, text) = sealed::open(&keys.keys(), |key| &key.resumption, VERSION, most, kept)?;
        let before = SessionId::from_text(&text).filter(|id| !id.expired())?;
        let kept: Option<Kept<'_>> = text
            .get(SessionId::TEXT_LEN..)
            .and_then(|json| serde_json::from_slice(json).ok());
        let (client, hears) = kept.map(|kept| (kept.client, kept.hears)).unzip();
        let resumption = Self {
            before,
            client: client.map(Cow::into_owned),
            hears: hears.flatten().map(Cow::into_owned),
        };
        Some((key, resumption))
    }
}

fn compact(client: &InitializeRequestParams, hears: Option<&Hears>) -> Vec<u8> {
    let mut little = InitializeRequestParams::default();
    little.protocol_version = client.protocol_version.clone();
    [(client, hears), (client, None), (&little, None)]
        .into_iter()
        .map(|(client, hears)| {
            let kept = Kept {
                client: Cow::Borrowed(client),
                hears: hears.map(Cow::Borrowed),
            };
            serde_json::to_vec(&kept).unwrap_or_default()
        })
        .find(|kept| kept.len() <= CLIENT_BYTES)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rmcp::model::{ClientCapabilities, Implementation, ProtocolVersion};

    use super::{super::session_id::Owner, *};
    use crate::http::principal::Principal;

    fn resumption(name: &str) -> Resumption {
        let owner = Owner {
            uid: [1; 16],
            address: None,
        };
        let client =
            InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new(name, "1"))
                .with_protocol_version(ProtocolVersion::V_2025_06_18);
        Resumption {
            before: SessionId::new(owner, Principal::ANONYMOUS).expect("an id"),
            client: Some(client),
            hears: None,
        }
    }

    fn hears(count: usize) -> Hears {
        Hears {
            list: true,
            uris: (0..count)
                .map(|number| format!("jobs://saved/{number:040}"))
                .collect(),
        }
    }

    #[test]
    fn of_one_that_hears_too_much_what_it_said_is_kept() {
        let keys = KeyRing::random().expect("a key");
        let said = Resumption {
            hears: Some(hears(100)),
            ..resumption("a listener")
        };
        let kept = said.seal(&keys).expect("sealed");
        let (_, read) = Resumption::open(&keys, &kept).expect("ours");
        assert_eq!((read.client, read.hears), (said.client, None));
    }

    #[test]
    fn what_was_said_is_known_again() {
        let keys = KeyRing::random().expect("a key");
        for said in [
            resumption("a client"),
            Resumption {
                client: None,
                ..resumption("")
            },
            Resumption {
                hears: Some(hears(3)),
                ..resumption("a listener")
            },
        ] {
            let kept = said.seal(&keys).expect("sealed");
            assert_eq!(Resumption::open(&keys, &kept).expect("ours").1, said);
        }
    }

    #[test]
    fn of_a_client_that_says_too_much_the_version_is_kept() {
        let keys = KeyRing::random().expect("a key");
        let kept = resumption(&"x".repeat(10_000)).seal(&keys).expect("sealed");
        assert!(kept.len() < 1000, "{}", kept.len());
        let (_, read) = Resumption::open(&keys, &kept).expect("ours");
        let client = read.client.expect("a client");
        assert_eq!(client.protocol_version, ProtocolVersion::V_2025_06_18);
    }

    #[test]
    fn of_a_client_whose_very_version_is_too_long_nothing_is_kept() {
        let keys = KeyRing::random().expect("a key");
        let mut said = resumption("a client");
        let version = serde_json::from_value(serde_json::json!("2".repeat(3000))).expect("a version");
        said.client = said.client.map(|client| client.with_protocol_version(version));
        let kept = said.seal(&keys).expect("sealed");
        let (_, read) = Resumption::open(&keys, &kept).expect("ours");
        assert_eq!((read.before, read.client), (said.before, None));
    }

    #[test]
    fn a_session_id_is_none_and_neither_is_a_strangers() {
        let keys = KeyRing::random().expect("a key");
        let said = resumption("a client");
        let id = said.before.seal(&keys).expect("sealed");
        assert!(Resumption::open(&keys, &id).is_none());
        let strangers = said
            .seal(&KeyRing::random().expect("another key"))
            .expect("sealed");
        assert!(Resumption::open(&keys, &strangers).is_none());
    }
}
