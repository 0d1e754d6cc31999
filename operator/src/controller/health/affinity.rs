//! What `service.sessionAffinity: Auto` comes to.

use iam_mcp_crds::{ChosenAffinity, McpServer, McpServerStatus, Protocol, SessionAffinity};

use crate::controller::{
    context::Context,
    validate::{Program, ValidatedServer},
};

/// Answers in a row without a session id before a server that gave one counts as one that gives none: while
/// pods of two kinds take turns, the Service must not be written each time.
const SURE_AFTER: u8 = 3;

/// Whether a server gives session ids, as its answers say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sessions {
    /// What is acted on.
    pub decided: Option<bool>,
    without: u8,
}

impl Sessions {
    /// What was decided before.
    #[must_use]
    pub const fn known(decided: Option<bool>) -> Self {
        Self { decided, without: 0 }
    }

    /// Takes in an answer; `None` when it says nothing of sessions.
    pub fn see(&mut self, stateful: Option<bool>) {
        match stateful {
            None => {}
            Some(true) => *self = Self::known(Some(true)),
            Some(false) => {
                self.without = self.without.saturating_add(1);
                if self.decided != Some(true) || self.without >= SURE_AFTER {
                    self.decided = Some(false);
                }
            }
        }
    }
}

/// Whether the operator chooses.
#[must_use]
pub fn is_automatic(server: &McpServer) -> bool {
    let service = server.spec.service.as_ref();
    service.is_some_and(|service| service.session_affinity == SessionAffinity::Auto)
}

/// Whether the operator has to find out.
#[must_use]
pub fn is_found_out(server: &McpServer) -> bool {
    is_automatic(server) && Declared::of(server) == Declared::Nothing
}

/// What the resource says of sessions, so that nobody has to ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Declared {
    /// Nothing.
    Nothing,
    /// It has streams of the HTTP+SSE transport, each of which lives in one pod.
    Streams,
    /// Only the versions that begin with `initialize`.
    Legacy,
    /// Only the version in which each message stands alone.
    Stateless,
}

impl Declared {
    /// What `server` says.
    #[must_use]
    pub fn of(server: &McpServer) -> Self {
        let endpoint = server.spec.endpoint.as_ref();
        let streams = endpoint.is_some_and(|endpoint| endpoint.sse_path.is_some());
        Self::new(server.spec.protocol.unwrap_or_default(), streams)
    }

    fn of_validated(server: &ValidatedServer) -> Self {
        let streams = matches!(&server.program, Program::Http(image) if image.endpoint.sse_path.is_some());
        Self::new(server.protocol, streams)
    }

    const fn new(protocol: Protocol, streams: bool) -> Self {
        match protocol {
            _ if streams => Self::Streams,
            Protocol::Auto => Self::Nothing,
            Protocol::Legacy => Self::Legacy,
            Protocol::Stateless => Self::Stateless,
        }
    }
}

/// Puts what is known in the place of `Auto`.
pub fn resolve(server: &mut ValidatedServer, context: &Context, previous: &McpServerStatus) {
    if server.service.session_affinity != SessionAffinity::Auto {
        return;
    }
    let name = (server.namespace.clone(), server.name.clone());
    let seen = context.health.verdict(&name).and_then(|verdict| verdict.sessions);
    let before = || previous.server.as_ref().and_then(|server| server.session_ids);
    server.service.session_affinity = choose(Declared::of_validated(server), seen.or_else(before));
}

/// The same for who has nothing but the status.
pub fn resolve_as_told(server: &mut ValidatedServer, told: &McpServerStatus) {
    if server.service.session_affinity == SessionAffinity::Auto {
        let sessions = told.server.as_ref().and_then(|server| server.session_ids);
        server.service.session_affinity = choose(Declared::of_validated(server), sessions);
    }
}

const fn choose(declared: Declared, sessions: Option<bool>) -> SessionAffinity {
    match (declared, sessions) {
        (Declared::Stateless, _) | (Declared::Nothing, Some(false)) => SessionAffinity::None,
        (Declared::Streams | Declared::Legacy, _) | (Declared::Nothing, Some(true) | None) => {
            SessionAffinity::ClientIP
        }
    }
}

/// As the status shows it.
#[must_use]
pub fn shown(declared: Declared, sessions: Option<bool>) -> ChosenAffinity {
    let reason = match (declared, sessions) {
        (Declared::Streams, _) => "endpoint.ssePath says that it has streams, each of which lives in one pod",
        (Declared::Legacy, _) => {
            "protocol is Legacy: a session, if the server has any, is known to the pod that began it"
        }
        (Declared::Stateless, _) => "protocol is Stateless: any pod answers any client",
        (Declared::Nothing, Some(false)) => "the server gives no session ids: any pod answers any client",
        (Declared::Nothing, Some(true)) => {
            "the server gives session ids, which only the pod that gave one knows"
        }
        (Declared::Nothing, None) => "it is not known yet whether the server gives session ids",
    };
    ChosenAffinity {
        value: match choose(declared, sessions) {
            SessionAffinity::None => "None",
            SessionAffinity::ClientIP | SessionAffinity::Auto => "ClientIP",
        }
        .to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decided(answers: &[Option<bool>]) -> Option<bool> {
        let mut sessions = Sessions::default();
        for answer in answers {
            sessions.see(*answer);
        }
        sessions.decided
    }

    #[test]
    fn a_session_id_counts_at_once_and_its_absence_when_it_is_sure() {
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(decided(&[None]), None);
        assert_eq!(decided(&[no]), no);
        assert_eq!(decided(&[no, yes]), yes);
        assert_eq!(decided(&[yes, no, no]), yes);
        assert_eq!(decided(&[yes, no, None, no, no]), no);
        let shown = |sessions| shown(Declared::Nothing, sessions).value;
        assert_eq!(shown(no), "None");
        assert_eq!(
            (shown(yes), shown(None)),
            ("ClientIP".to_owned(), "ClientIP".to_owned())
        );
    }

    #[test]
    fn what_is_declared_is_not_found_out() {
        for sessions in [None, Some(false), Some(true)] {
            for (protocol, streams, value) in [
                (Protocol::Stateless, false, "None"),
                (Protocol::Legacy, false, "ClientIP"),
                (Protocol::Legacy, true, "ClientIP"),
                (Protocol::Auto, true, "ClientIP"),
            ] {
                assert_eq!(shown(Declared::new(protocol, streams), sessions).value, value);
            }
        }
    }

    proptest! {
        #[test]
        fn pods_that_differ_do_not_make_it_flap(answers in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut sessions = Sessions::default();
            let mut changes = Vec::new();
            for (at, answer) in answers.iter().enumerate() {
                let before = sessions.decided;
                sessions.see(Some(*answer));
                if before != sessions.decided {
                    changes.push(at);
                }
            }
            // To and fro again takes three answers of one kind at least.
            prop_assert!(changes.len() <= 2 + answers.len() / 2);
            for three in changes.windows(3) {
                prop_assert!(three[2] - three[0] >= usize::from(SURE_AFTER));
            }
        }
    }
}
