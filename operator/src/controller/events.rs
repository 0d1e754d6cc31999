//! Events on resources: on transitions only, and never a reason for a reconcile to fail.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use iam_mcp_crds::McpServer;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::watch::chain;
use crate::OPERATOR;

/// What is said again within this time becomes a series; as in client-go.
const SERIES: Duration = Duration::from_mins(6);
/// Most events that are remembered for a series.
const REMEMBERED: usize = 4096;
/// Longest note in bytes that the API takes.
const NOTE_MAX: usize = 1024;

/// What an event tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Happened {
    /// Children were made.
    Created,
    /// Children were changed because the resource changed.
    Updated,
    /// Children of a server of this name that is gone were taken back.
    Adopted,
    /// Somebody changed or deleted a child; it was put back.
    DriftRepaired,
    /// Children that are no longer wanted were deleted.
    Pruned,
    /// A condition needs a person, for the reason given.
    Trouble(&'static str),
    /// Trouble is over.
    Recovered,
    /// All wanted pods answer.
    Ready,
    /// Pods were asked to stop and serve their open sessions on.
    DrainStarted,
    /// Pods have no session left, or are gone.
    DrainEnded,
    /// Pods had to end their sessions because too many drained.
    DrainCut,
    /// A new session key was added, which no pod seals with yet.
    KeyRotationStarted,
    /// The new session key seals.
    KeyPromoted,
    /// The old session key is accepted no longer.
    KeyRetired,
    /// The resource says that nothing may be changed.
    Paused,
    /// It says so no longer.
    Resumed,
    /// The server speaks MCP, and did not before, or nobody had asked.
    Verified,
    /// The server offers other tools than before.
    ToolsChanged {
        /// Whether some are gone.
        lost: bool,
    },
}

impl Happened {
    const fn reason(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Adopted => "Adopted",
            Self::DriftRepaired => "DriftRepaired",
            Self::Pruned => "Pruned",
            Self::Trouble(reason) => reason,
            Self::Recovered => "Recovered",
            Self::Ready => "Ready",
            Self::DrainStarted => "DrainStarted",
            Self::DrainEnded => "DrainEnded",
            Self::DrainCut => "DrainCut",
            Self::KeyRotationStarted => "KeyRotationStarted",
            Self::KeyPromoted => "KeyPromoted",
            Self::KeyRetired => "KeyRetired",
            Self::Paused => "Paused",
            Self::Resumed => "Resumed",
            Self::Verified => "Verified",
            Self::ToolsChanged { .. } => "ToolsChanged",
        }
    }

    const fn severity(self) -> &'static str {
        match self {
            Self::DriftRepaired | Self::Trouble(_) | Self::DrainCut | Self::ToolsChanged { lost: true } => {
                "Warning"
            }
            Self::Created
            | Self::Updated
            | Self::Adopted
            | Self::Pruned
            | Self::Recovered
            | Self::Ready
            | Self::DrainStarted
            | Self::DrainEnded
            | Self::KeyRotationStarted
            | Self::KeyPromoted
            | Self::KeyRetired
            | Self::Paused
            | Self::Resumed
            | Self::Verified
            | Self::ToolsChanged { lost: false } => "Normal",
        }
    }
}

/// Writes events. One for the process: it gathers what is said again into a series.
///
/// kube's recorder gathers by reason alone, so the second of two different notes would never be seen.
pub struct Events {
    client: Client,
    instance: String,
    said: Mutex<Remembered>,
}

/// Digest of what makes two events the same: the server, the reason and the note.
type Said = [u8; 16];

/// What was said a short while ago.
struct Remembered {
    said: HashMap<Said, Repeated>,
    tidied: Instant,
}

#[derive(Clone, Copy)]
struct Repeated {
    /// The random part of the event's name.
    event: u64,
    count: i32,
    last: Instant,
}

impl Remembered {
    /// Forgets what was said too long ago. Where very much is said, as at the making of thousands of servers, all of it
    /// is forgotten: said again, it becomes an event of its own.
    fn tidy(&mut self) {
        if self.tidied.elapsed() > SERIES / 6 || self.said.len() > REMEMBERED {
            self.said.retain(|_, repeated| repeated.last.elapsed() < SERIES);
            if self.said.len() > REMEMBERED {
                self.said.clear();
            }
            self.said.shrink_to(self.said.len() * 2);
            self.tidied = Instant::now();
        }
    }
}

fn said(server: &str, reason: &str, note: &str) -> Said {
    let mut hasher = Sha256::new();
    for part in [server, reason, note] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let mut said = Said::default();
    said.copy_from_slice(&hasher.finalize()[..16]);
    said
}

impl Events {
    /// Events by `instance`, this operator's pod name.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            said: Mutex::new(Remembered {
                said: HashMap::new(),
                tidied: Instant::now(),
            }),
        }
    }

    /// Writes one event on `server`.
    pub async fn publish(&self, server: &McpServer, happened: Happened, note: String) {
        self.publish_about(server, happened, note, None).await;
    }

    /// Writes one event on `server` that is about `child`, or about the field that `child` names.
    pub async fn publish_about(
        &self,
        server: &McpServer,
        happened: Happened,
        note: String,
        child: Option<ObjectReference>,
    ) {
        if let Err(error) = self.write(server, happened, cut(note), child).await {
            tracing::warn!(error = %chain(&error), reason = happened.reason(), "cannot write an event");
        }
    }

    async fn write(
        &self,
        server: &McpServer,
        happened: Happened,
        note: String,
        child: Option<ObjectReference>,
    ) -> Result<(), kube::Error> {
        let said = said(&server.uid().unwrap_or_default(), happened.reason(), &note);
        let api: Api<Event> = Api::namespaced(self.client.clone(), &server.namespace().unwrap_or_default());
        let now = MicroTime(jiff::Timestamp::now());
        if let Some((id, count)) = self.said_before(said) {
            let name = event_name(server, id);
            let series = EventSeries {
                count,
                last_observed_time: now.clone(),
            };
            let patch = serde_json::json!({"series": series});
            match api
                .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
            {
                // The API server forgets events after an hour or so; then it is news again.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                answer => return answer.map(|_| ()),
            }
        }
        let mut id = [0; 8];
        // Without randomness the name is taken, and the event is lost with a line in the log.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut id);
        let id = u64::from_be_bytes(id);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(event_name(server, id)),
                namespace: server.namespace(),
                ..ObjectMeta::default()
            },
            type_: Some(happened.severity().to_owned()),
            reason: Some(happened.reason().to_owned()),
            note: Some(note),
            action: Some("Reconcile".to_owned()),
            event_time: Some(now),
            regarding: Some(server.object_ref(&())),
            related: child,
            reporting_controller: Some(OPERATOR.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        api.create(&PostParams::default(), &event).await?;
        let first = Repeated {
            event: id,
            count: 1,
            last: Instant::now(),
        };
        self.said.lock().said.insert(said, first);
        Ok(())
    }

    /// The event that said the same a short while ago, and how often that makes it.
    fn said_before(&self, said: Said) -> Option<(u64, i32)> {
        let mut all = self.said.lock();
        all.tidy();
        let repeated = all.said.get_mut(&said)?;
        if repeated.last.elapsed() >= SERIES {
            return None;
        }
        repeated.count += 1;
        repeated.last = Instant::now();
        Some((repeated.event, repeated.count))
    }
}

fn event_name(server: &McpServer, id: u64) -> String {
    format!("{}.{id:016x}", server.name_any())
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_MAX {
        let mut end = NOTE_MAX - '…'.len_utf8();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_too_much_is_forgotten() {
        let mut all = Remembered {
            said: HashMap::new(),
            tidied: Instant::now(),
        };
        for number in 0..=REMEMBERED as u64 {
            let repeated = Repeated {
                event: number,
                count: 1,
                last: Instant::now(),
            };
            all.tidy();
            all.said
                .insert(said("u", "Created", &number.to_string()), repeated);
        }
        assert!(all.said.len() > REMEMBERED);
        all.tidy();
        assert!(all.said.is_empty());
    }

    #[test]
    fn events_differ_by_any_of_their_parts() {
        let all = [
            said("u", "a", "b"),
            said("u", "a", "c"),
            said("v", "a", "b"),
            said("u", "ab", ""),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let cut = cut("ä".repeat(2000));
        assert!(cut.len() <= NOTE_MAX && cut.ends_with('…'));
        assert_eq!(super::cut("short".to_owned()), "short");
    }
}
