//! The keys that all replicas of a server share, read again while they rotate.
//!
//! One key seals, up to two more are accepted: the next one, so that every replica knows it before any seals
//! with it, and the previous one, for what it sealed. From each key others are derived, one a purpose.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::Engine as _;
use parking_lot::RwLock;
use ring::{
    aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey},
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use tokio_util::sync::CancellationToken;

use crate::hex;

/// How many bytes a key has.
pub const KEY_BYTES: usize = 32;

/// How often the files are looked at: a rotated Secret takes the kubelet a minute.
const REREAD: Duration = Duration::from_secs(2);

/// Endings of the files of keys that are accepted, beside the one that seals.
const ACCEPTED: [&str; 2] = ["-next", "-previous"];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or not ours to read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It holds something else.
    #[error("must hold {KEY_BYTES} random bytes, raw or in base64 (openssl rand {KEY_BYTES} > FILE)")]
    NotAKey,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NotAKey => "not_a_key",
            Self::Random => "random",
        }
    }
}

/// Names a key without telling it: the start of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// The id of a key, or of a token that nobody can guess.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let named = digest::digest(&digest::SHA256, &[b"iam-mcp key id", secret].concat());
        let mut id = [0; 8];
        id.copy_from_slice(&named.as_ref()[..8]);
        Self(id)
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex::encode(&self.0))
    }
}

/// One key, and what follows from it.
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// Seals session ids.
    pub sessions: LessSafeKey,
    /// Seals what a stream can be gone on with.
    pub resumption: LessSafeKey,
    /// What replicas prove to each other that they know.
    pub peers: [u8; KEY_BYTES],
    /// Proves that a drain may be shortened.
    pub drain: hmac::Key,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({})", self.id)
    }
}

impl Key {
    /// What follows from 32 secret bytes.
    ///
    /// # Errors
    /// Never, in truth: the derived keys have the right length.
    pub fn new(secret: &[u8; KEY_BYTES]) -> Result<Self, Error> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |purpose: &str| hmac::sign(&master, purpose.as_bytes());
        let sealing = |purpose: &str| {
            UnboundKey::new(&CHACHA20_POLY1305, derive(purpose).as_ref())
                .map(LessSafeKey::new)
                .map_err(|_| Error::NotAKey)
        };
        let mut peers = [0; KEY_BYTES];
        peers.copy_from_slice(derive("iam-mcp peer key").as_ref());
        Ok(Self {
            id: KeyId::of(secret),
            sessions: sealing("iam-mcp session id key")?,
            resumption: sealing("iam-mcp resumption key")?,
            peers,
            drain: hmac::Key::new(hmac::HMAC_SHA256, derive("iam-mcp drain key").as_ref()),
        })
    }
}

/// The keys at one moment: the one that seals first, then those that are accepted besides.
#[derive(Debug, Clone)]
pub struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// The key that seals.
    #[must_use]
    pub fn sealing(&self) -> &Arc<Key> {
        &self.0[0]
    }

    /// All that are accepted, the one that seals first.
    #[must_use]
    pub fn accepted(&self) -> &[Arc<Key>] {
        &self.0
    }

    /// The one with this name.
    #[must_use]
    pub fn named(&self, id: KeyId) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.id == id)
    }

    fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(|key| key.id).collect()
    }
}

/// The keys now. Clones share them.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    keys: RwLock<Keys>,
}

impl KeyRing {
    /// A ring with one key, made up now, that no other process shares.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> Result<Self, Error> {
        let mut secret = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| Error::Random)?;
        Ok(Self::of(None, Keys(vec![Arc::new(Key::new(&secret)?)])))
    }

    /// The keys in `file` and beside it.
    ///
    /// # Errors
    /// When the file that seals cannot be read, or a file holds no key.
    pub fn load(file: &Path) -> Result<Self, Error> {
        Ok(Self::of(Some(file.to_owned()), read(file)?))
    }

    fn of(file: Option<PathBuf>, keys: Keys) -> Self {
        Self(Arc::new(Inner {
            file,
            keys: RwLock::new(keys),
        }))
    }

    /// The keys now.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.0.keys.read().clone()
    }

    /// Looks at the files again. A file that went bad leaves the keys as they were.
    pub fn refresh(&self) {
        let Some(file) = &self.0.file else { return };
        match read(file) {
            Ok(keys) => {
                if keys.ids() != self.0.keys.read().ids() {
                    tracing::info!(sealing = %keys.sealing().id, accepted = keys.accepted().len(), "the session keys changed");
                    *self.0.keys.write() = keys;
                }
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the session keys cannot be read again; those known go on");
            }
        }
    }

    /// Looks at the files every two seconds, until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REREAD);
        while self.0.file.is_some() && stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.refresh();
        }
    }
}

/// Reads the key that seals and those beside it.
fn read(file: &Path) -> Result<Keys, Error> {
    // A Secret's volume is replaced by one symbolic link. Resolved once, all keys come from one version: else
    // a rotation could be seen half, and the key that another replica seals with be missed.
    let file = std::fs::canonicalize(file)?;
    let mut keys = vec![Arc::new(Key::new(&secret(&file)?)?)];
    for ending in ACCEPTED {
        let mut beside = file.clone().into_os_string();
        beside.push(ending);
        match secret(Path::new(&beside)) {
            Ok(secret) => keys.push(Arc::new(Key::new(&secret)?)),
            Err(Error::Unreadable(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Keys(keys))
}

/// Reads 32 bytes, or their base64: Secrets mounted as files hold the former, people write the latter.
fn secret(path: &Path) -> Result<[u8; KEY_BYTES], Error> {
    let bytes = std::fs::read(path)?;
    if let Ok(key) = bytes.as_slice().try_into() {
        return Ok(key);
    }
    let text = bytes.trim_ascii();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .or_else(|_| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text))
        .ok()
        .and_then(|key| key.try_into().ok())
        .ok_or(Error::NotAKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("session-key");
        std::fs::write(&file, [1; KEY_BYTES]).expect("written");
        (folder, file)
    }

    fn id(byte: u8) -> KeyId {
        Key::new(&[byte; KEY_BYTES]).expect("a key").id
    }

    #[test]
    fn a_key_is_raw_or_base64() {
        let (_folder, file) = folder();
        let ring = KeyRing::load(&file).expect("raw");
        let text = base64::engine::general_purpose::STANDARD.encode([1; KEY_BYTES]);
        std::fs::write(&file, format!("{text}\n")).expect("written");
        let again = KeyRing::load(&file).expect("base64");
        assert_eq!(ring.keys().ids(), again.keys().ids());
    }

    #[test]
    fn a_short_or_missing_key_is_refused_with_advice() {
        let (_folder, file) = folder();
        std::fs::write(&file, "short").expect("written");
        let error = KeyRing::load(&file).expect_err("too short").to_string();
        assert!(error.contains("32 random bytes"), "{error}");
        assert!(KeyRing::load(Path::new("/nonexistent/key")).is_err());
    }

    #[test]
    fn a_rotation_is_followed_and_a_bad_file_changes_nothing() {
        let (_folder, file) = folder();
        let ring = KeyRing::load(&file).expect("a ring");
        std::fs::write(file.with_file_name("session-key-next"), [2; KEY_BYTES]).expect("written");
        ring.refresh();
        assert_eq!(ring.keys().ids(), [id(1), id(2)]);
        std::fs::rename(&file, file.with_file_name("session-key-previous")).expect("renamed");
        std::fs::rename(file.with_file_name("session-key-next"), &file).expect("renamed");
        ring.refresh();
        assert_eq!(ring.keys().ids(), [id(2), id(1)]);
        assert_eq!(ring.keys().named(id(1)).map(|key| key.id), Some(id(1)));
        std::fs::write(&file, "").expect("written");
        ring.refresh();
        assert_eq!(ring.keys().ids(), [id(2), id(1)]);
    }

    /// The operator names keys in the same way; both pin it.
    #[test]
    fn a_keys_name_is_pinned() {
        assert_eq!(id(0).to_string(), "3d29dacb93ea40ce");
    }
}
