//! Sealed session ids.
//!
//! An id is `version ‖ nonce ‖ ChaCha20-Poly1305(instance ‖ key)`, in URL-safe base64. Whoever holds the key,
//! which all replicas share, can tell an id of ours from a made-up one without looking anything up, and whose
//! it is; nobody else learns or makes anything.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

/// The format that follows, authenticated with it.
const VERSION: u8 = 1;

/// Bytes that name one process.
const INSTANCE_LEN: usize = 16;

/// Bytes that name one session of it.
const KEY_LEN: usize = 16;

const PLAIN_LEN: usize = INSTANCE_LEN + KEY_LEN;
const TAG_LEN: usize = 16;
const SEALED_LEN: usize = 1 + NONCE_LEN + PLAIN_LEN + TAG_LEN;

/// What a session is called inside the process that has it.
pub type SessionKey = [u8; KEY_LEN];

/// Why an id is no session of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not sealed by our key: made up, cut short, or older than the key.
    #[error("no session has this id: open a stream with GET /sse and use the address it names")]
    Forged,
    /// Sealed by our key, in another process.
    #[error("this session lives on another replica, or has ended with it: open a new stream with GET /sse")]
    Foreign,
}

/// Seals and opens the ids of one process.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
    instance: [u8; INSTANCE_LEN],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Sealer")
    }
}

impl Sealer {
    /// A process that seals with `key`, which has 32 bytes; `None` makes one that nobody shares.
    ///
    /// # Errors
    /// When the key has another length, or the system has no random numbers.
    pub fn new(key: Option<&[u8]>) -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let mut instance = [0; INSTANCE_LEN];
        random.fill(&mut instance)?;
        let mut own = [0; 32];
        random.fill(&mut own)?;
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.unwrap_or(&own))?);
        Ok(Self {
            key,
            random,
            instance,
        })
    }

    /// Makes up a session's key and its id.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self) -> Result<(SessionKey, String), ring::error::Unspecified> {
        let mut session = SessionKey::default();
        self.random.fill(&mut session)?;
        // 96 random bits: safe for 2^32 ids under one key, more than a cluster opens in its life.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce)?;
        let mut plain = [self.instance, session].concat();
        self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from([VERSION]),
            &mut plain,
        )?;
        let sealed = [&[VERSION], nonce.as_slice(), &plain].concat();
        Ok((session, URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens an id.
    ///
    /// # Errors
    /// When it is not one of this process.
    pub fn open(&self, id: &str) -> Result<SessionKey, Error> {
        let mut sealed = [0; SEALED_LEN];
        // The exact length, before any work is done on it.
        if URL_SAFE_NO_PAD.decode_slice(id, &mut sealed) != Ok(SEALED_LEN) || sealed[0] != VERSION {
            return Err(Error::Forged);
        }
        let (nonce, text) = sealed[1..].split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Forged)?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::from([VERSION]), text)
            .map_err(|_| Error::Forged)?;
        let (instance, session) = plain.split_at(INSTANCE_LEN);
        if instance != self.instance {
            return Err(Error::Foreign);
        }
        session.try_into().map_err(|_| Error::Forged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn sealer() -> Sealer {
        Sealer::new(Some(&KEY)).expect("a sealer")
    }

    #[test]
    fn an_id_opens_where_it_was_sealed() {
        let sealer = sealer();
        let (key, id) = sealer.seal().expect("sealed");
        assert_eq!(sealer.open(&id), Ok(key));
        assert!(
            id.bytes()
                .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'&'),
            "{id}"
        );
    }

    #[test]
    fn an_id_of_a_replica_is_foreign_and_one_under_another_key_is_forged() {
        let id = sealer().seal().expect("sealed").1;
        assert_eq!(sealer().open(&id), Err(Error::Foreign));
        assert_eq!(Sealer::new(None).expect("a sealer").open(&id), Err(Error::Forged));
    }

    #[test]
    fn no_two_ids_are_alike() {
        let sealer = sealer();
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| sealer.seal().expect("sealed").1).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        assert!(Sealer::new(Some(&[0; 31])).is_err());
    }

    proptest! {
        #[test]
        fn nothing_made_up_opens(id in ".{0,120}") {
            prop_assert_eq!(sealer().open(&id), Err(Error::Forged));
        }

        #[test]
        fn no_id_survives_a_flipped_bit(byte in 0..SEALED_LEN, bit in 0..8u8) {
            let sealer = sealer();
            let id = sealer.seal().expect("sealed").1;
            let mut raw = URL_SAFE_NO_PAD.decode(id).expect("base64");
            raw[byte] ^= 1 << bit;
            prop_assert_eq!(sealer.open(&URL_SAFE_NO_PAD.encode(raw)), Err(Error::Forged));
        }
    }
}
