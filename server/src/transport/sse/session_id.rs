//! Sealed session ids: any replica can tell from an id which pod has the session, and reach it.
//!
//! The text inside is `uid ‖ address ‖ port ‖ session ‖ principal ‖ opened`, fixed in length. A rollout mixes
//! versions, so a change of the format takes a new [`VERSION`] that replicas accept before any seals with it;
//! the golden vector below pins the present one.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::sealed::{self, NoRandom};
use crate::{
    http::{
        principal::{self, Principal},
        request_id,
    },
    keyring::{Key, KeyRing, Keys},
};

/// The format that follows, authenticated with it.
const VERSION: u8 = 2;

/// Bytes that name one process: its pod's uid.
const UID_LEN: usize = 16;

/// Bytes that name one session of it.
const KEY_LEN: usize = 16;

const TEXT_LEN: usize = UID_LEN + 16 + 2 + KEY_LEN + principal::BYTES + 8;

/// The longest a session lives. Its stream ends cleanly then, and the client opens another; so a key that seals
/// no more can be forgotten after this time.
pub const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// What a session is called inside the process that has it.
pub type SessionKey = [u8; KEY_LEN];

/// What stands for a session where people look: a hash, which no client can use. It goes with each of its requests.
#[derive(Debug, Clone, Copy)]
pub struct SessionTag(pub SessionKey);

impl std::fmt::Display for SessionTag {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&request_id::tag(&self.0))
    }
}

/// A process that has sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its pod's uid; of a process without a pod, something random.
    pub uid: [u8; UID_LEN],
    /// Where the other replicas reach it; `None` for one without replicas.
    pub address: Option<SocketAddr>,
}

impl Owner {
    /// A process without replicas.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn alone() -> Result<Self, NoRandom> {
        Ok(Self {
            uid: sealed::random()?,
            address: None,
        })
    }
}

/// What an id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId {
    /// Who has the session.
    pub owner: Owner,
    /// Which of its sessions it is.
    pub session: SessionKey,
    /// Whose it is.
    pub principal: Principal,
    /// When it was opened, in seconds since 1970.
    pub opened: u64,
}

/// Why an id is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not sealed by our keys: made up, cut short, or older than the keys.
    #[error("no session has this id: open a stream with GET /sse and use the address it names")]
    Forged,
    /// It is too old.
    #[error("this session has ended, it was opened more than {} days ago: open a new one with GET /sse", MAX_AGE.as_secs() / 86_400)]
    Expired,
}

/// Seconds since 1970.
#[must_use]
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl SessionId {
    /// A new session's.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(owner: Owner, principal: Principal) -> Result<Self, NoRandom> {
        Ok(Self {
            owner,
            session: sealed::random()?,
            principal,
            opened: unix_now(),
        })
    }

    /// What clients see of it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self, keys: &KeyRing) -> Result<String, NoRandom> {
        sealed::seal(&keys.keys().sealing().sessions, VERSION, self.text())
    }

    /// Reads what a client sent, and with which key it was sealed.
    ///
    /// # Errors
    /// When it is not one of ours, or too old.
    pub fn open(keys: &Keys, id: &str) -> Result<(Arc<Key>, Self), Error> {
        let (key, text) =
            sealed::open(keys, |key| &key.sessions, VERSION, TEXT_LEN, id).ok_or(Error::Forged)?;
        let id = Self::from_text(&text).ok_or(Error::Forged)?;
        if id.expired() {
            return Err(Error::Expired);
        }
        Ok((key, id))
    }

    /// Whether it is older than a session may be.
    #[must_use]
    pub fn expired(&self) -> bool {
        unix_now().saturating_sub(self.opened) > MAX_AGE.as_secs()
    }

    /// The text that is sealed.
    #[must_use]
    pub(super) fn text(&self) -> Vec<u8> {
        let address = self.owner.address;
        let ip = address.map_or(Ipv6Addr::UNSPECIFIED, |address| match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        });
        [
            self.owner.uid.as_slice(),
            &ip.octets(),
            &address.map_or(0, |address| address.port()).to_be_bytes(),
            &self.session,
            self.principal.as_bytes(),
            &self.opened.to_be_bytes(),
        ]
        .concat()
    }

    /// Reads that text; what follows it is not looked at.
    #[must_use]
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let (uid, rest) = text.split_first_chunk::<UID_LEN>()?;
        let (ip, rest) = rest.split_first_chunk::<16>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (session, rest) = rest.split_first_chunk::<KEY_LEN>()?;
        let (principal, rest) = rest.split_first_chunk::<{ principal::BYTES }>()?;
        let (opened, _) = rest.split_first_chunk::<8>()?;
        let port = u16::from_be_bytes(*port);
        let ip = Ipv6Addr::from(*ip).to_canonical();
        Some(Self {
            owner: Owner {
                uid: *uid,
                address: (port != 0).then_some(SocketAddr::new(ip, port)),
            },
            session: *session,
            principal: Principal::from_bytes(*principal),
            opened: u64::from_be_bytes(*opened),
        })
    }

    /// How long [`text`](Self::text) is.
    pub(super) const TEXT_LEN: usize = TEXT_LEN;
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn ring() -> KeyRing {
        KeyRing::random().expect("a key")
    }

    fn id(address: Option<&str>) -> SessionId {
        let owner = Owner {
            uid: [1; 16],
            address: address.map(|address| address.parse().expect("an address")),
        };
        SessionId::new(owner, Principal::from_bytes([2; 16])).expect("an id")
    }

    #[test]
    fn an_id_says_the_same_to_every_holder_of_the_key() {
        let ring = ring();
        for address in [None, Some("10.1.2.3:9091"), Some("[fd00::7]:9091")] {
            let id = id(address);
            let sealed = id.seal(&ring).expect("sealed");
            assert_eq!(SessionId::open(&ring.keys(), &sealed).expect("ours").1, id);
            assert!(
                sealed
                    .bytes()
                    .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'&'),
                "{sealed}"
            );
        }
    }

    #[test]
    fn an_id_under_another_key_is_forged() {
        let sealed = id(None).seal(&ring()).expect("sealed");
        assert_eq!(
            SessionId::open(&ring().keys(), &sealed).err(),
            Some(Error::Forged)
        );
    }

    #[test]
    fn an_old_id_is_expired() {
        let ring = ring();
        let mut id = id(None);
        id.opened -= MAX_AGE.as_secs() + 1;
        let sealed = id.seal(&ring).expect("sealed");
        assert_eq!(SessionId::open(&ring.keys(), &sealed).err(), Some(Error::Expired));
    }

    #[test]
    fn no_two_ids_are_alike() {
        let ring = ring();
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| id(None).seal(&ring).expect("sealed")).collect();
        assert_eq!(ids.len(), 1000);
    }

    /// Replicas of two releases stand side by side in a rollout: what one seals, the other must read. If this
    /// fails, the format changed: raise the version, and accept the old one for a release.
    #[test]
    fn the_format_is_pinned() {
        let key = Key::new(&[7; 32]).expect("a key");
        let id = SessionId {
            owner: Owner {
                uid: [1; 16],
                address: Some("10.1.2.3:9091".parse().expect("an address")),
            },
            session: [3; 16],
            principal: Principal::from_bytes([2; 16]),
            opened: 1_790_000_000,
        };
        let sealed = sealed::seal_for_test(&key.sessions, VERSION, id.text());
        insta::assert_snapshot!(sealed, @"AgkJCQkJCQkJCQkJCXRsqS5W03T-RcFEqMIvV_ZY57nOjEOBLUjHjaWIBTVkoBV-8ypnybcOUsb6NKJGMdBEXTCw8WB21bb5ptxHGNnaXVNe1EQ0OKt-CogEtDVeM3uUL9itCGIbbQ");
    }

    proptest! {
        #[test]
        fn nothing_made_up_opens(made_up in ".{0,200}") {
            prop_assert_eq!(SessionId::open(&ring().keys(), &made_up).err(), Some(Error::Forged));
        }

        #[test]
        fn no_id_survives_a_flipped_bit(byte in 0..TEXT_LEN + sealed::OVERHEAD, bit in 0..8u8) {
            let ring = ring();
            let sealed = id(Some("10.1.2.3:9091")).seal(&ring).expect("sealed");
            let mut raw = URL_SAFE_NO_PAD.decode(sealed).expect("base64");
            raw[byte] ^= 1 << bit;
            let flipped = URL_SAFE_NO_PAD.encode(raw);
            prop_assert_eq!(SessionId::open(&ring.keys(), &flipped).err(), Some(Error::Forged));
        }
    }
}
