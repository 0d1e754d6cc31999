//! Settings of sessions: their keys, the other replicas, and what becomes of them at the end.

use std::{net::IpAddr, path::Path, time::Duration};

use super::source::Reader;
use crate::{drain::DrainSettings, keyring::KeyRing};

/// The longest a drain may take: a day.
const LONGEST_DRAIN: u64 = 86_400;

/// How sessions are kept.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The keys that seal session ids; `None` for one made at start.
    pub keys: Option<KeyRing>,
    /// This process among the other replicas; `None` for one that is alone.
    pub replica: Option<ReplicaSettings>,
    /// What becomes of open streams when the process is told to stop.
    pub drain: DrainSettings,
}

/// One of several replicas.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Where the others reach it.
    pub address: IpAddr,
    /// The port for their messages; 0 takes any free one.
    pub port: u16,
    /// Its pod's uid.
    pub uid: [u8; 16],
    /// The same as Kubernetes writes it.
    pub uid_text: String,
}

impl SessionSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let keys = reader.parse("SESSION_KEY_FILE", None, |path| {
            KeyRing::load(Path::new(path))
                .map(Some)
                .map_err(|error| error.to_string())
        });
        let port = reader.parse("PEER_PORT", 0, super::http::port);
        let address = reader.parse("POD_IP", None, |text| super::http::address(text).map(Some));
        let uid = reader.parse("POD_UID", None, |text| uid(text).map(Some));
        if port != 0 && (address.is_none() || uid.is_none() || reader.get("SESSION_KEY_FILE").is_none()) {
            reader.reject(
                "PEER_PORT",
                Some(port.to_string()),
                "several replicas need SESSION_KEY_FILE, the same for all of them, and each its own POD_IP and POD_UID; unset PEER_PORT for a server that is alone",
            );
        }
        let seconds = |text: &str| {
            text.parse()
                .ok()
                .filter(|seconds| *seconds <= LONGEST_DRAIN)
                .map(Duration::from_secs)
                .ok_or_else(|| format!("use whole seconds, from 0 to {LONGEST_DRAIN}"))
        };
        let limit = reader.parse("DRAIN_SECONDS", Duration::ZERO, seconds);
        let idle = reader.parse("DRAIN_IDLE_SECONDS", None, |text| seconds(text).map(Some));
        if idle.is_some_and(|idle| idle > limit) {
            reader.reject(
                "DRAIN_IDLE_SECONDS",
                reader.get("DRAIN_IDLE_SECONDS"),
                "must not be greater than DRAIN_SECONDS, after which every stream ends in any case",
            );
        }
        Self {
            keys,
            replica: address
                .zip(uid)
                .filter(|_| port != 0)
                .map(|(address, (uid, uid_text))| ReplicaSettings {
                    address,
                    port,
                    uid,
                    uid_text,
                }),
            drain: DrainSettings {
                limit,
                idle,
                ..DrainSettings::default()
            },
        }
    }
}

/// Thirty-two hexadecimal digits, with or without hyphens.
fn uid(text: &str) -> Result<([u8; 16], String), String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == 32)
        .map(|number| (number.to_be_bytes(), text.to_owned()))
        .ok_or_else(|| "use the uid of the pod, from metadata.uid".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, *};

    fn read(pairs: &[(&str, &str)]) -> Result<SessionSettings, String> {
        Settings::read(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .map(|settings| settings.sessions)
        .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn alone_without_a_drain_is_the_default() {
        let settings = read(&[]).expect("defaults");
        assert!(settings.replica.is_none() && settings.keys.is_none());
        assert!(settings.drain.limit.is_zero() && settings.drain.idle.is_none());
    }

    #[test]
    fn several_replicas_without_a_shared_key_are_an_error() {
        let pod = ("POD_UID", "01234567-89ab-cdef-0123-456789abcdef");
        let error = read(&[("PEER_PORT", "9091"), ("POD_IP", "10.0.0.1"), pod]).expect_err("no key");
        assert!(
            error.contains("PEER_PORT") && error.contains("SESSION_KEY_FILE"),
            "{error}"
        );
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), [1; 32]).expect("written");
        let key = ("SESSION_KEY_FILE", file.path().to_str().expect("text"));
        let settings = read(&[("PEER_PORT", "9091"), ("POD_IP", "fd00::1"), pod, key]).expect("complete");
        let replica = settings.replica.expect("one of several");
        assert_eq!(replica.uid[..4], [0x01, 0x23, 0x45, 0x67]);
        assert!(replica.address.is_ipv6());
        assert!(read(&[("PEER_PORT", "9091"), pod, key]).is_err(), "no address");
    }

    #[test]
    fn a_drain_that_contradicts_itself_is_an_error() {
        let error =
            read(&[("DRAIN_SECONDS", "10"), ("DRAIN_IDLE_SECONDS", "20")]).expect_err("contradiction");
        assert!(error.contains("DRAIN_IDLE_SECONDS"), "{error}");
        assert!(read(&[("DRAIN_SECONDS", "86401")]).is_err());
        assert!(read(&[("POD_UID", "not-a-uid")]).is_err());
    }
}
