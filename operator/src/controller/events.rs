//! Events on resources: on transitions only, and never a reason for a reconcile to fail.

use iam_mcp_crds::McpServer;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource as _,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use crate::OPERATOR;

/// Longest note in bytes that the API takes.
const NOTE_MAX: usize = 1024;

/// What an event tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Happened {
    /// Children were made.
    Created,
    /// Children were changed because the resource changed.
    Updated,
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
}

impl Happened {
    const fn reason(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::DriftRepaired => "DriftRepaired",
            Self::Pruned => "Pruned",
            Self::Trouble(reason) => reason,
            Self::Recovered => "Recovered",
            Self::Ready => "Ready",
        }
    }

    const fn severity(self) -> EventType {
        match self {
            Self::DriftRepaired | Self::Trouble(_) => EventType::Warning,
            Self::Created | Self::Updated | Self::Pruned | Self::Recovered | Self::Ready => EventType::Normal,
        }
    }
}

/// Writes events. One for the process: it gathers repeated events into series.
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events by `instance`, this operator's pod name.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Writes one event on `server`.
    pub async fn publish(&self, server: &McpServer, happened: Happened, note: String) {
        self.publish_about(server, happened, note, None).await;
    }

    /// Writes one event on `server` that is about `child`, or about the field that `child` names.
    /// Repeated events about the same become one with a count, which keeps its first note.
    pub async fn publish_about(
        &self,
        server: &McpServer,
        happened: Happened,
        note: String,
        child: Option<ObjectReference>,
    ) {
        let event = Event {
            type_: happened.severity(),
            reason: happened.reason().to_owned(),
            note: Some(cut(note)),
            action: "Reconcile".to_owned(),
            secondary: child,
        };
        if let Err(error) = self.recorder.publish(&event, &server.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "cannot write an event");
        }
    }
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
    fn a_long_note_is_cut_between_characters() {
        let cut = cut("ä".repeat(2000));
        assert!(cut.len() <= NOTE_MAX && cut.ends_with('…'));
        assert_eq!(super::cut("short".to_owned()), "short");
    }
}
