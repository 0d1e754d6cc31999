//! What clients keep for us and must neither read nor make: `version ‖ nonce ‖ ChaCha20-Poly1305(text)`, in
//! URL-safe base64. Whoever holds the key, which all replicas share, can tell ours from a made-up one without
//! looking anything up.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce},
    rand::{SecureRandom as _, SystemRandom},
};

use crate::keyring::{Key, Keys};

/// Bytes that sealing adds.
pub(super) const OVERHEAD: usize = 1 + NONCE_LEN + 16;

/// The system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// Seals `text`; `version` says what format it has, and is authenticated with it.
pub(super) fn seal(key: &LessSafeKey, version: u8, text: Vec<u8>) -> Result<String, NoRandom> {
    // 96 random bits: safe for 2^32 texts under one key, more than a cluster opens sessions in its life.
    seal_with(key, version, random()?, text)
}

fn seal_with(
    key: &LessSafeKey,
    version: u8,
    nonce: [u8; NONCE_LEN],
    mut text: Vec<u8>,
) -> Result<String, NoRandom> {
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from([version]),
        &mut text,
    )
    .map_err(|_| NoRandom)?;
    Ok(URL_SAFE_NO_PAD.encode([&[version], nonce.as_slice(), &text].concat()))
}

/// Opens what was sealed under any of the accepted keys, and says under which. `None` for anything else, and
/// for what is longer than `most` bytes of text.
pub(super) fn open(
    keys: &Keys,
    purpose: fn(&Key) -> &LessSafeKey,
    version: u8,
    most: usize,
    sealed: &str,
) -> Option<(Arc<Key>, Vec<u8>)> {
    // The length first, before any work is done on it.
    if sealed.len() > (most + OVERHEAD).div_ceil(3) * 4 {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let ([found], rest) = sealed.split_at_checked(1)? else {
        return None;
    };
    if *found != version {
        return None;
    }
    let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
    keys.accepted().iter().find_map(|key| {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = purpose(key)
            .open_in_place(nonce, Aad::from([version]), &mut text)
            .ok()?
            .to_vec();
        Some((Arc::clone(key), plain))
    })
}

/// For golden vectors: the same text gives the same seal.
#[cfg(test)]
pub(super) fn seal_for_test(key: &LessSafeKey, version: u8, text: Vec<u8>) -> String {
    seal_with(key, version, [9; NONCE_LEN], text).expect("sealed")
}
