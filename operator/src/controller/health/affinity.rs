//! What `service.sessionAffinity: Auto` comes to.

use iam_mcp_crds::{ChosenAffinity, McpServer, McpServerStatus, SessionAffinity};

use crate::controller::{context::Context, validate::ValidatedServer};

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

/// Puts what is known in the place of `Auto`.
pub fn resolve(server: &mut ValidatedServer, context: &Context, previous: &McpServerStatus) {
    if server.service.session_affinity != SessionAffinity::Auto {
        return;
    }
    let name = (server.namespace.clone(), server.name.clone());
    let seen = context.health.verdict(&name).and_then(|verdict| verdict.sessions);
    let before = || previous.server.as_ref().and_then(|server| server.session_ids);
    server.service.session_affinity = choose(seen.or_else(before));
}

/// The same for who has nothing but the status.
pub fn resolve_as_told(server: &mut ValidatedServer, told: &McpServerStatus) {
    if server.service.session_affinity == SessionAffinity::Auto {
        let sessions = told.server.as_ref().and_then(|server| server.session_ids);
        server.service.session_affinity = choose(sessions);
    }
}

const fn choose(sessions: Option<bool>) -> SessionAffinity {
    match sessions {
        Some(false) => SessionAffinity::None,
        Some(true) | None => SessionAffinity::ClientIP,
    }
}

/// As the status shows it.
#[must_use]
pub fn shown(sessions: Option<bool>) -> ChosenAffinity {
    let reason = match sessions {
        Some(false) => "the server gives no session ids: any pod answers any client",
        Some(true) => "the server gives session ids, which only the pod that gave one knows",
        None => "it is not known yet whether the server gives session ids",
    };
    ChosenAffinity {
        value: match choose(sessions) {
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
        assert_eq!(shown(no).value, "None");
        assert_eq!(
            (shown(yes).value, shown(None).value),
            ("ClientIP".to_owned(), "ClientIP".to_owned())
        );
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
