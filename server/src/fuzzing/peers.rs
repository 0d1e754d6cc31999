//! What comes to the port for replicas.

use std::sync::LazyLock;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::run;
use crate::{
    hex,
    keyring::KeyRing,
    peer::{channel, known},
};

static KEYS: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::random().expect("a key"));

const POD: [u8; 16] = [1; 16];

/// The handshake: nobody gets in without the key, and a stranger is told nothing.
pub fn peer_hello(data: &[u8]) {
    // Half of the tries know which key is asked for, as somebody does who listened.
    let mut known_key = vec![1];
    known_key.extend_from_slice(&KEYS.keys().sealing().id.0);
    known_key.extend_from_slice(data);
    for hello in [data, &known_key] {
        run(async {
            let (mut stranger, own) = duplex(1 << 20);
            stranger.write_all(hello).await.expect("room");
            stranger.shutdown().await.expect("closed");
            assert!(channel::answer(own, &KEYS, &POD).await.is_err());
            let mut told = Vec::new();
            stranger.read_to_end(&mut told).await.expect("closed");
            assert_eq!(told, b"");
        });
    }
}

/// Frames that somebody put into a channel: none is ever taken for a replica's.
pub fn peer_frames(data: &[u8]) {
    run(async {
        let key = KEYS.keys().sealing().clone();
        let (one, mut middle_one) = duplex(1 << 20);
        let (mut middle_other, other) = duplex(1 << 20);
        let relay = async {
            let mut hello = [0; 57];
            middle_one.read_exact(&mut hello).await.expect("a hello");
            middle_other.write_all(&hello).await.expect("room");
            let mut answer = [0; 48];
            middle_other.read_exact(&mut answer).await.expect("an answer");
            middle_one.write_all(&answer).await.expect("room");
        };
        let (called, answered, ()) = tokio::join!(
            channel::call(one, &key, &POD),
            channel::answer(other, &KEYS, &POD),
            relay
        );
        let (_called, mut answered) = (called.expect("a channel"), answered.expect("a channel"));
        middle_other.write_all(data).await.expect("room");
        middle_other.shutdown().await.expect("closed");
        let mut heard = Vec::new();
        let ended = answered.read_to_end(&mut heard).await;
        assert_eq!(heard, b"");
        assert_eq!(ended.is_ok(), data.is_empty(), "half a frame is no end");
    });
}

/// Who else there is, as replicas tell each other.
pub fn peer_headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let replicas = known::read(&text);
    assert_eq!(known::read(&known::write(&replicas)), replicas);
    if let Some(bytes) = hex::decode(&text) {
        assert_eq!(hex::encode(&bytes), text.to_ascii_lowercase());
    }
}
