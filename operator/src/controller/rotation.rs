//! Rotating a session key or a token without losing a session. Pure: the next step follows from what the Secret
//! holds, what the pods say and the time, so an operator that starts anew goes on where it stands.
//!
//! A key is first accepted by every pod, then seals, and its predecessor goes last: a pod that does not know
//! a key yet would answer 404 for sessions that another pod sealed with it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// Longest session, and as much as a pod may lag in taking up a new key.
const LONGEST_SESSION: SignedDuration = SignedDuration::from_secs(7 * 86_400 + 600);
/// A pod made this long after a step has its result: the kubelet reads a Secret when it starts a pod. The
/// rest is for clocks that differ.
const SURE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// A pod whose containers do not run yet may have mounted the keys of before. After this long the
/// kubelet, which looks once in a minute or a little more, has brought them up to date.
const MOUNT_LAG: SignedDuration = SignedDuration::from_secs(180);

/// A pod that was asked to end so long ago gets messages for its own sessions only, from other pods and sealed with
/// keys that it knows: every answer that it gave to a client since then closed its connection. The kubelet brings
/// such a pod no new keys, so to wait for it would be to wait for the end of its drain.
const OUT_OF_REACH: SignedDuration = SignedDuration::from_secs(60);

/// What a key is called where it may be seen: the first bytes of a digest of it.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"iam-mcp key id").chain_update(key);
        let mut id = Self::default();
        id.0.copy_from_slice(&digest.finalize()[..8]);
        id
    }

    fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let mut id = Self::default();
        for (byte, pair) in id.0.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a key id is 16 lower-case hex digits"))
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Material {
    /// Pods seal session ids with it.
    #[default]
    SessionKey,
    /// Clients show it to pods.
    Token,
}

/// The keys in a Secret, by their ids, and what is noted beside them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SecretKeys {
    /// What they are for.
    pub material: Material,
    /// Whether the one in use is as old as it may be.
    pub due: bool,
    /// Seals, or is shown.
    pub sealing: KeyId,
    /// Is accepted, and is to seal next.
    pub next: Option<KeyId>,
    /// Is accepted, and sealed before.
    pub previous: Option<KeyId>,
    /// When the step was taken that led here.
    pub since: Option<Timestamp>,
    /// The wish, a value of the McpServer's annotation, that was last acted on.
    pub acted_on: Option<String>,
}

/// A pod that exists, as far as keys go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodKeys {
    /// When it was made.
    pub created: Timestamp,
    /// Whether its containers run; else it is on a node and starts.
    pub running: bool,
    /// When it was asked to end, if it was.
    pub draining: Option<Timestamp>,
    /// What it said last: the key that it seals with, and those that it accepts.
    pub said: Option<(KeyId, Vec<KeyId>)>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// No rotation is wanted or under way.
    Rest,
    /// Add a new key, accepted only.
    Start,
    /// Let the new key seal, and accept the old one still.
    Promote,
    /// Remove the old key: no session is old enough to have been sealed with it.
    Retire,
    /// The same, because the pods that may have sealed with it are gone.
    Unneeded,
    /// Note the time: somebody put keys in by hand, and waiting has to start from somewhere.
    Stamp,
    /// Wait for pods.
    Await(Awaited),
}

/// What a rotation waits for, with the number of pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Awaited {
    /// Pods that do not say that they accept the next key.
    Acceptance(usize),
    /// Pods that do not say that they seal with the new key.
    Sealing(usize),
    /// Pods that may have sealed with the old key.
    OldPods(usize),
    /// Clients that may still show the old token.
    Clients,
}

/// The next step of a rotation. For a token, pods say only which they accept. `wanted` is the McpServer's wish; `pods` are all of its pods that are on
/// a node and have not ended.
#[must_use]
pub fn next_step(keys: &SecretKeys, wanted: Option<&str>, pods: &[PodKeys], now: Timestamp) -> Step {
    if keys.next.is_none() && keys.previous.is_none() {
        let new = wanted.is_some_and(|wanted| keys.acted_on.as_deref() != Some(wanted));
        return if new || keys.due { Step::Start } else { Step::Rest };
    }
    let Some(since) = keys.since else {
        return Step::Stamp;
    };
    // There is room for one old key: it goes before the next is made the sealing one.
    match (keys.previous, keys.next) {
        // Clients have it until they take the new one: no pod can say when that is.
        (Some(_), _) if keys.material == Material::Token => {
            if now.duration_since(since) > LONGEST_SESSION {
                Step::Retire
            } else {
                Step::Await(Awaited::Clients)
            }
        }
        (Some(_), _) => before_retiring(keys.sealing, since, pods, now),
        (None, Some(next)) => before_promoting(next, since, pods, now),
        (None, None) => Step::Rest,
    }
}

fn before_promoting(next: KeyId, since: Timestamp, pods: &[PodKeys], now: Timestamp) -> Step {
    let out_of_reach = |pod: &PodKeys| {
        let draining = pod.draining;
        draining.is_some_and(|began| now.duration_since(began) > OUT_OF_REACH)
    };
    let accepts = |pod: &PodKeys| match &pod.said {
        _ if out_of_reach(pod) => true,
        Some((_, accepted)) => accepted.contains(&next),
        None => !pod.running && now.duration_since(since) > MOUNT_LAG,
    };
    match pods.iter().filter(|pod| !accepts(pod)).count() {
        0 => Step::Promote,
        missing => Step::Await(Awaited::Acceptance(missing)),
    }
}

fn before_retiring(sealing: KeyId, since: Timestamp, pods: &[PodKeys], now: Timestamp) -> Step {
    let seals = |pod: &PodKeys| match &pod.said {
        Some((seals_with, _)) => *seals_with == sealing,
        None => !pod.running,
    };
    // One that drains seals no more; whether its sessions are old is asked below.
    let staying = pods.iter().filter(|pod| pod.draining.is_none());
    let missing = staying.filter(|pod| !seals(pod)).count();
    if missing > 0 {
        return Step::Await(Awaited::Sealing(missing));
    }
    if now.duration_since(since) > LONGEST_SESSION {
        return Step::Retire;
    }
    let is_old = |pod: &PodKeys| pod.created.duration_since(since) <= SURE_AFTER;
    match pods.iter().filter(|pod| is_old(pod)).count() {
        0 => Step::Unneeded,
        left => Step::Await(Awaited::OldPods(left)),
    }
}

#[cfg(test)]
mod tests;
