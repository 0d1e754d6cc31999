//! What came of asking a server, and how its status tells it. Pure.

use std::sync::Arc;

use iam_mcp_crds::{ConditionType, McpServerStatus, ObservedServer, Reason, Verify};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Failure, Unauthorized, said::Said};
use crate::controller::events::Happened;

/// What came of asking a server.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It answered as it should.
    Answered(Arc<Said>),
    /// It did not.
    Failed {
        /// The pod that was asked.
        pod: Box<str>,
        /// What went wrong.
        failure: Failure,
    },
    /// It asks for a credential.
    NotAuthorized(Unauthorized),
    /// There was no pod to ask.
    Nobody,
}

impl Outcome {
    /// Whether the status tells both alike. What a server writes into an error may differ each time.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Answered(one), Self::Answered(other)) => one == other,
            (
                Self::Failed { pod, failure },
                Self::Failed {
                    pod: other_pod,
                    failure: other,
                },
            ) => pod == other_pod && failure.kind() == other.kind(),
            (Self::NotAuthorized(one), Self::NotAuthorized(other)) => one == other,
            (Self::Nobody, Self::Nobody) => true,
            _ => false,
        }
    }

    /// `True`, `False` or `Unknown`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Answered(_) => "True",
            Self::Failed { .. } => "False",
            Self::NotAuthorized(_) | Self::Nobody => "Unknown",
        }
    }
}

/// What came of it, and of which spec it speaks.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The generation whose rollout had ended.
    pub generation: Option<i64>,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether it gives session ids, as far as it was seen.
    pub sessions: Option<bool>,
}

/// What decides on the condition besides the verdict.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// `spec.verify`.
    pub verify: Verify,
    /// Pods wanted, if there is a Deployment.
    pub wanted: Option<i32>,
    /// The generation of the spec.
    pub generation: Option<i64>,
}

/// Puts the condition `Verified`, and what the server said, into `status`. Without a verdict, as after a start of the
/// operator, it says what it said before.
pub fn show(
    status: &mut McpServerStatus,
    about: About,
    verdict: Option<&Verdict>,
    previous: &McpServerStatus,
) {
    let before = condition(previous);
    let (word, reason, message, generation) = match verdict {
        _ if about.verify == Verify::Off => {
            status.server = None;
            let message = "spec.verify is Off: nobody asks whether the server speaks MCP".to_owned();
            ("Unknown", Reason::VerifyOff, message, about.generation)
        }
        _ if about.wanted == Some(0) => {
            let message = "scaled to zero: there is no pod to ask".to_owned();
            ("Unknown", Reason::ScaledToZero, message, about.generation)
        }
        Some(verdict) => {
            if let Outcome::Answered(said) = &verdict.outcome {
                status.server = Some(ObservedServer {
                    session_ids: verdict.sessions,
                    ..said.shown()
                });
            }
            let (reason, message) = tell(&verdict.outcome);
            (verdict.outcome.word(), reason, message, verdict.generation)
        }
        None => {
            // What was said while it was not to be asked holds no longer.
            let stale = [Reason::VerifyOff.as_str(), Reason::ScaledToZero.as_str()];
            if let Some(before) = before.filter(|before| !stale.contains(&before.reason.as_str())) {
                status.conditions.push(before.clone());
                return;
            }
            let message = "the server was not asked yet whether it speaks MCP".to_owned();
            ("Unknown", Reason::NotAskedYet, message, about.generation)
        }
    };
    let since = before.filter(|before| before.status == word);
    status.conditions.push(Condition {
        type_: ConditionType::Verified.as_str().to_owned(),
        status: word.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: since.map_or_else(
            || Time(jiff::Timestamp::now()),
            |before| before.last_transition_time.clone(),
        ),
    });
}

fn tell(outcome: &Outcome) -> (Reason, String) {
    match outcome {
        Outcome::Answered(said) => (Reason::ProtocolAnswered, said.sentence()),
        Outcome::Failed { pod, failure } => (
            Reason::ProtocolFailed,
            format!("pod {pod} does not speak MCP as it should: {failure}; see kubectl logs {pod}"),
        ),
        Outcome::NotAuthorized(Unauthorized::Unexpected) => (
            Reason::NotAuthorized,
            "the server answers, and asks for a credential that the operator does not have".to_owned(),
        ),
        Outcome::NotAuthorized(why @ Unauthorized::Refused) => {
            (Reason::NotAuthorized, format!("the server answers; {why}"))
        }
        Outcome::NotAuthorized(Unauthorized::Missing(why)) => (
            Reason::CredentialMissing,
            format!("the server answers, and asks for a credential that the operator does not have: {why}"),
        ),
        Outcome::Nobody => (Reason::PodsNotReady, "there is no ready pod to ask".to_owned()),
    }
}

/// The condition `Verified`.
#[must_use]
pub fn condition(status: &McpServerStatus) -> Option<&Condition> {
    let type_ = ConditionType::Verified.as_str();
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// The event that tells of the way from `before` to `after`, if it is worth one.
#[must_use]
pub fn transition(before: &McpServerStatus, after: &McpServerStatus) -> Option<(Happened, String)> {
    let (was, is) = (condition(before), condition(after)?);
    let was = was.map(|was| was.status.as_str());
    if was == Some(is.status.as_str()) {
        return None;
    }
    match is.status.as_str() {
        "True" => Some((Happened::Verified, is.message.clone())),
        "False" => Some((
            Happened::Trouble(Reason::ProtocolFailed.as_str()),
            is.message.clone(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tools::Tools, *};

    const ABOUT: About = About {
        verify: Verify::Probe,
        wanted: Some(2),
        generation: Some(3),
    };

    fn answered() -> Outcome {
        let said = Said::bounded("jobs", "1", &["2026-07-28".to_owned()], Tools::default(), None);
        Outcome::Answered(Arc::new(said))
    }

    fn failed(message: &str) -> Outcome {
        Outcome::Failed {
            pod: "jobs-1".into(),
            failure: Failure::Refused {
                method: "initialize",
                code: -32603,
                message: message.to_owned(),
            },
        }
    }

    fn next(about: About, outcome: Option<Outcome>, previous: &McpServerStatus) -> McpServerStatus {
        let mut status = McpServerStatus {
            server: previous.server.clone(),
            ..McpServerStatus::default()
        };
        let verdict = outcome.map(|outcome| Verdict {
            generation: Some(2),
            outcome,
            sessions: None,
        });
        show(&mut status, about, verdict.as_ref(), previous);
        status
    }

    fn shape(status: &McpServerStatus) -> String {
        let condition = condition(status).unwrap();
        format!("{}/{}", condition.status, condition.reason)
    }

    #[test]
    fn what_the_status_says() {
        let none = McpServerStatus::default();
        let unasked = next(ABOUT, None, &none);
        assert_eq!(shape(&unasked), "Unknown/NotAskedYet");
        let good = next(ABOUT, Some(answered()), &unasked);
        assert_eq!(shape(&good), "True/ProtocolAnswered");
        assert_eq!(condition(&good).unwrap().observed_generation, Some(2));
        assert_eq!(next(ABOUT, None, &good), good, "as after a start of the operator");
        let bad = next(ABOUT, Some(failed("a")), &good);
        assert_eq!(shape(&bad), "False/ProtocolFailed");
        assert_eq!(bad.server, good.server, "who it was is still of use");
        assert_eq!(
            shape(&next(
                ABOUT,
                Some(Outcome::NotAuthorized(Unauthorized::Unexpected)),
                &good
            )),
            "Unknown/NotAuthorized"
        );
        let refused = next(ABOUT, Some(Outcome::NotAuthorized(Unauthorized::Refused)), &good);
        assert_eq!(shape(&refused), "Unknown/NotAuthorized");
        assert!(condition(&refused).unwrap().message.contains("refuses the token"));
        let missing = Unauthorized::Missing("Secret n/t does not exist".to_owned());
        let missing = next(ABOUT, Some(Outcome::NotAuthorized(missing)), &good);
        assert_eq!(shape(&missing), "Unknown/CredentialMissing");
        assert!(
            condition(&missing)
                .unwrap()
                .message
                .ends_with("Secret n/t does not exist")
        );
        assert_eq!(
            shape(&next(ABOUT, Some(Outcome::Nobody), &good)),
            "Unknown/PodsNotReady"
        );
        let zero = About {
            wanted: Some(0),
            ..ABOUT
        };
        let zero = next(zero, Some(answered()), &good);
        assert_eq!(shape(&zero), "Unknown/ScaledToZero");
        assert_eq!(shape(&next(ABOUT, None, &zero)), "Unknown/NotAskedYet");
        let off = About {
            verify: Verify::Off,
            ..ABOUT
        };
        let off = next(off, Some(answered()), &good);
        assert_eq!((shape(&off).as_str(), &off.server), ("Unknown/VerifyOff", &None));
    }

    #[test]
    fn which_changes_are_events() {
        let good = next(ABOUT, Some(answered()), &McpServerStatus::default());
        let bad = next(ABOUT, Some(failed("a")), &good);
        let unknown = next(
            ABOUT,
            Some(Outcome::NotAuthorized(Unauthorized::Unexpected)),
            &good,
        );
        assert_eq!(
            transition(&McpServerStatus::default(), &good).unwrap().0,
            Happened::Verified
        );
        assert_eq!(
            transition(&good, &bad).unwrap().0,
            Happened::Trouble("ProtocolFailed")
        );
        assert_eq!(transition(&bad, &good).unwrap().0, Happened::Verified);
        assert_eq!(transition(&good, &good), None);
        assert_eq!(transition(&good, &unknown), None);
    }

    #[test]
    fn an_error_with_another_text_each_time_is_one_failure() {
        assert!(failed("at 12:00").same(&failed("at 12:05")));
        assert!(!failed("a").same(&answered()));
    }
}
