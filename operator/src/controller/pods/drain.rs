//! Pods that drain: which are shown, which have to end at once, and which may not hold up a delete. Pure.

use iam_mcp_crds::DrainingPod;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    cost,
    poll::Report,
    seen::{Deletion, Seen},
};
use crate::controller::build::MARGIN;

/// A pod that says that its drain ends this much earlier, in seconds, was told so. Less is the time that
/// the kubelet took to ask it.
const TOLD_EARLIER: i64 = 5;

/// A draining pod as the status shows it; `None` for one that does not drain, has no session left, or was not
/// asked yet, and for one whose sessions nobody can know. A pod that does not answer is shown without sessions.
#[must_use]
pub fn shown(name: &str, seen: &Seen, report: Option<&Report>, asked: bool) -> Option<DrainingPod> {
    let deletion = seen.deletion.filter(|_| seen.drains() && !seen.silent)?;
    let sessions = match report {
        Some(report) if report.sessions == 0 => return None,
        Some(report) => cost::rounded(report.sessions),
        None if asked => 0,
        None => return None,
    };
    let until = until(deletion, report.and_then(|report| report.drain_until));
    Some(DrainingPod {
        name: name.to_owned(),
        until: Time(Timestamp::from_second(until).unwrap_or_default()),
        sessions,
    })
}

fn until(deletion: Deletion, said: Option<i64>) -> i64 {
    let granted = (deletion.at - MARGIN).max(deletion.began());
    said.filter(|said| said + TOLD_EARLIER < granted)
        .unwrap_or(granted)
}

/// How many of `draining` pods, those that began first, have to end at once.
#[must_use]
pub fn excess(draining: usize, most: i32) -> usize {
    draining.saturating_sub(usize::try_from(most).unwrap_or_default())
}

/// Whether a draining pod whose server is gone has a longer grace than it needs.
#[must_use]
pub fn lingers(seen: &Seen) -> bool {
    seen.drains() && seen.deletion.is_some_and(|deletion| deletion.grace > MARGIN)
}

#[cfg(test)]
mod tests {
    use super::{super::cost::Annotated, super::seen::Phase, *};

    fn pod() -> Seen {
        Seen {
            server: "jobs".to_owned(),
            uid: "u".to_owned(),
            ip: None,
            template: 0,
            ready: true,
            gate: None,
            silent: false,
            created: Timestamp::UNIX_EPOCH,
            phase: Phase::Running,
            deletion: Some(Deletion {
                at: 1_330,
                grace: 330,
            }),
            cost: Annotated::Absent,
        }
    }

    fn report(sessions: u32, drain_until: Option<i64>) -> Report {
        Report {
            sessions,
            drain_until,
            ..Report::default()
        }
    }

    fn show(seen: &Seen, report: Option<&Report>) -> Option<(i32, i64)> {
        shown("jobs-1", seen, report, true).map(|pod| (pod.sessions, pod.until.0.as_second()))
    }

    #[test]
    fn a_pod_is_shown_while_it_has_sessions() {
        assert_eq!(show(&pod(), Some(&report(90, None))), Some((64, 1_300)));
        assert_eq!(show(&pod(), Some(&report(0, None))), None);
        let stays = Seen {
            deletion: None,
            ..pod()
        };
        assert_eq!(show(&stays, Some(&report(90, None))), None);
        let over = Seen {
            phase: Phase::Over,
            ..pod()
        };
        assert_eq!(show(&over, Some(&report(90, None))), None);
    }

    #[test]
    fn a_pod_that_does_not_answer_is_shown_once_it_was_asked() {
        assert_eq!(show(&pod(), None), Some((0, 1_300)));
        assert_eq!(shown("jobs-1", &pod(), None, false), None);
    }

    #[test]
    fn a_drain_ends_when_the_pod_says_only_if_it_was_told_to_end_earlier() {
        assert_eq!(show(&pod(), Some(&report(1, Some(1_301)))), Some((1, 1_300)));
        assert_eq!(show(&pod(), Some(&report(1, Some(1_299)))), Some((1, 1_300)));
        assert_eq!(show(&pod(), Some(&report(1, Some(1_100)))), Some((1, 1_100)));
        let short = Seen {
            deletion: Some(Deletion { at: 1_010, grace: 10 }),
            ..pod()
        };
        assert_eq!(show(&short, Some(&report(1, None))), Some((1, 1_000)));
    }

    #[test]
    fn pods_beyond_the_number_allowed_are_in_excess() {
        assert_eq!(
            [excess(3, 2), excess(2, 2), excess(0, 1), excess(2, -1)],
            [1, 0, 0, 2]
        );
    }

    #[test]
    fn only_a_longer_grace_lingers() {
        assert!(lingers(&pod()));
        let short = Seen {
            deletion: Some(Deletion { at: 1_030, grace: 30 }),
            ..pod()
        };
        assert!(!lingers(&short), "it was shortened, or never was longer");
        assert!(!lingers(&Seen {
            deletion: None,
            ..pod()
        }));
    }
}
