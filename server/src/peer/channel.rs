//! An encrypted channel between two replicas: Noise `NNpsk0` (noiseprotocol.org, revision 34), with the key that
//! replicas share as the pre-shared key and the receiver's pod uid in the prologue.
//!
//! The caller sends `version ‖ key id ‖ handshake`, the receiver answers; then both know that the other has the
//! key, and the caller that it talks to that very pod. Only then is a message sent. Keys are of one connection:
//! who learns the shared key later reads nothing of what went by.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use snow::{Builder, HandshakeState, TransportState};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::{
    codec::{Decoder, Encoder, Framed},
    io::{CopyToBytes, SinkWriter, StreamReader},
};

use crate::keyring::{Key, KeyId, KeyRing};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// What follows; a receiver that knows another closes the connection.
const VERSION: u8 = 1;

/// Bytes of either handshake message: a public key and a tag.
const HANDSHAKE: usize = 32 + TAG;
const TAG: usize = 16;

/// The most that Noise encrypts at once.
const CHUNK: usize = u16::MAX as usize - TAG;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side has not our key, or is another pod.
    #[error("the other side is not the replica that is meant: {0}")]
    Stranger(#[from] snow::Error),
    /// The other side speaks another version, or another key.
    #[error("the other side speaks another version or has another key")]
    Unknown,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Stranger(_) => "stranger",
            Self::Unknown => "unknown",
        }
    }
}

fn noise(key: &Key, receiver: &[u8; 16], calls: bool) -> Result<HandshakeState, Error> {
    let prologue = [b"iam-mcp peer".as_slice(), &[VERSION], receiver].concat();
    let builder = Builder::new(PATTERN.parse()?)
        .psk(0, &key.peers)?
        .prologue(&prologue)?;
    Ok(if calls {
        builder.build_initiator()?
    } else {
        builder.build_responder()?
    })
}

/// Opens a channel to the pod `receiver` over a new connection.
///
/// # Errors
/// When the connection breaks, or the other side is somebody else.
pub async fn call<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut stream: S,
    key: &Key,
    receiver: &[u8; 16],
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Error> {
    let mut noise = noise(key, receiver, true)?;
    let mut hello = [0; 1 + 8 + HANDSHAKE];
    hello[0] = VERSION;
    hello[1..9].copy_from_slice(&key.id.0);
    noise.write_message(&[], &mut hello[9..])?;
    stream.write_all(&hello).await?;
    let mut answer = [0; HANDSHAKE];
    stream.read_exact(&mut answer).await?;
    noise.read_message(&answer, &mut [])?;
    Ok(channel(stream, noise.into_transport_mode()?))
}

/// Answers a call; `own` is the uid of this pod. Nothing is said to a stranger.
///
/// # Errors
/// When the connection breaks, or the caller is no replica.
pub async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut stream: S,
    keys: &KeyRing,
    own: &[u8; 16],
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Error> {
    let mut hello = [0; 1 + 8 + HANDSHAKE];
    stream.read_exact(&mut hello).await?;
    let mut id = [0; 8];
    id.copy_from_slice(&hello[1..9]);
    let keys = keys.keys();
    let key = keys.named(KeyId(id)).filter(|_| hello[0] == VERSION);
    let mut noise = noise(key.ok_or(Error::Unknown)?, own, false)?;
    noise.read_message(&hello[9..], &mut [])?;
    let mut answer = [0; HANDSHAKE];
    noise.write_message(&[], &mut answer)?;
    stream.write_all(&answer).await?;
    Ok(channel(stream, noise.into_transport_mode()?))
}

/// Bytes in, bytes out; encrypted in between.
fn channel<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    state: TransportState,
) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
    let (sink, stream) = Framed::new(stream, Encryption(state)).split::<Bytes>();
    let writer = SinkWriter::new(CopyToBytes::new(sink.sink_map_err(io::Error::from)));
    tokio::io::join(StreamReader::new(stream), writer)
}

/// Frames of `length (2 bytes) ‖ ciphertext`.
struct Encryption(TransportState);

fn broken(error: snow::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Decoder for Encryption {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some((length, rest)) = buffer.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(frame) = rest.get(..length) else {
            buffer.reserve(2 + length - buffer.len());
            return Ok(None);
        };
        let mut text = vec![0; length];
        let plain = self.0.read_message(frame, &mut text).map_err(broken)?;
        text.truncate(plain);
        buffer.advance(2 + length);
        Ok(Some(text.into()))
    }
}

impl Encoder<Bytes> for Encryption {
    type Error = io::Error;

    fn encode(&mut self, text: Bytes, buffer: &mut BytesMut) -> io::Result<()> {
        for chunk in text.chunks(CHUNK) {
            let length = chunk.len() + TAG;
            let start = buffer.len();
            buffer.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            buffer.resize(start + 2 + length, 0);
            self.0
                .write_message(chunk, &mut buffer[start + 2..])
                .map_err(broken)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const POD: [u8; 16] = [5; 16];

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.expect("connected"), other.expect("accepted").0)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_whatever_its_size() {
        let keys = KeyRing::random().expect("a key");
        let key = keys.keys().sealing().clone();
        let (one, other) = connected().await;
        let (called, answered) = tokio::join!(call(one, &key, &POD), answer(other, &keys, &POD));
        let (mut called, mut answered) = (called.expect("a channel"), answered.expect("a channel"));
        let large: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let sent = large.clone();
        let writing = tokio::spawn(async move {
            called.write_all(b"a word, then much").await.expect("written");
            called.write_all(&sent).await.expect("written");
            called.shutdown().await.expect("closed");
            called
        });
        let mut read = Vec::new();
        answered.read_to_end(&mut read).await.expect("read");
        assert_eq!(&read[..17], b"a word, then much");
        assert!(read[17..] == large);
        drop(writing.await.expect("ran"));
    }

    #[tokio::test]
    async fn a_pod_that_took_over_the_address_is_told_nothing() {
        let keys = KeyRing::random().expect("a key");
        let key = keys.keys().sealing().clone();
        let (one, other) = connected().await;
        let (called, answered) = tokio::join!(call(one, &key, &[6; 16]), async {
            // Its end is dropped with the error, which the caller sees.
            answer(other, &keys, &POD).await.err()
        });
        assert!(called.is_err());
        assert!(matches!(answered, Some(Error::Stranger(_))), "{answered:?}");
    }

    #[tokio::test]
    async fn a_caller_without_the_key_is_told_nothing() {
        let keys = KeyRing::random().expect("a key");
        let strangers = KeyRing::random().expect("another");
        let key = strangers.keys().sealing().clone();
        let (one, other) = connected().await;
        let (called, answered) = tokio::join!(call(one, &key, &POD), async {
            answer(other, &keys, &POD).await.err()
        });
        assert!(called.is_err());
        assert!(matches!(answered, Some(Error::Unknown)), "{answered:?}");
    }

    /// One that knows the key's id, which is no secret, but not the key.
    #[tokio::test]
    async fn a_receiver_without_the_key_gets_no_message() {
        let keys = KeyRing::random().expect("a key");
        let key = keys.keys().sealing().clone();
        let (one, mut other) = connected().await;
        let (called, heard) = tokio::join!(call(one, &key, &POD), async {
            let mut hello = [0; 1 + 8 + HANDSHAKE];
            other.read_exact(&mut hello).await.expect("read");
            other.write_all(&[7; HANDSHAKE]).await.expect("written");
            let mut more = Vec::new();
            other.read_to_end(&mut more).await.expect("read");
            more
        });
        assert!(matches!(called.err(), Some(Error::Stranger(_))));
        assert_eq!(heard, b"", "the hello is all that was ever sent");
    }

    #[tokio::test]
    async fn a_tampered_frame_ends_the_channel() {
        let keys = KeyRing::random().expect("a key");
        let key = keys.keys().sealing().clone();
        let (one, middle_one) = connected().await;
        let (middle_other, other) = connected().await;
        let relay = tokio::spawn(async move {
            let (mut from, mut to) = (middle_one, middle_other);
            let mut hello = [0; 1 + 8 + HANDSHAKE];
            from.read_exact(&mut hello).await.expect("read");
            to.write_all(&hello).await.expect("written");
            let mut answer = [0; HANDSHAKE];
            to.read_exact(&mut answer).await.expect("read");
            from.write_all(&answer).await.expect("written");
            let mut frame = vec![0; 2 + 5 + TAG];
            from.read_exact(&mut frame).await.expect("read");
            frame[4] ^= 1;
            to.write_all(&frame).await.expect("written");
            (from, to)
        });
        let (called, answered) = tokio::join!(call(one, &key, &POD), answer(other, &keys, &POD));
        let (mut called, mut answered) = (called.expect("a channel"), answered.expect("a channel"));
        called.write_all(b"hello").await.expect("written");
        called.flush().await.expect("flushed");
        assert!(answered.read_u8().await.is_err());
        drop(relay.await.expect("ran"));
    }
}
