//! When a pod is asked again. Pure.

use std::time::Duration;

/// Pause after something changed; doubled while nothing does.
pub const SHORTEST: Duration = Duration::from_secs(5);
/// Pause before the first question to a pod that was there before the operator.
pub const LISTED: Duration = Duration::from_secs(30);
/// Longest pause between two questions.
pub const LONGEST: Duration = Duration::from_mins(1);
/// Pause while a pod drains: its end and its last session are news within seconds.
const DRAINING: Duration = Duration::from_secs(2);
/// Pause while its server's session key is rotated and pods are waited for.
const ROTATING: Duration = Duration::from_secs(3);
/// Longest pause of those two, when the pod does not answer.
const LONGEST_URGENT: Duration = Duration::from_secs(30);

/// What decides on the pause.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Whether its containers run, at an address that is known.
    pub answers: bool,
    /// Whether it was asked to stop.
    pub drains: bool,
    /// Whether its server waits for it in a rotation.
    pub rotates: bool,
    /// Pods that its server is to keep, this one included if it is one.
    pub siblings: usize,
    /// Questions in a row that it did not answer.
    pub failures: u32,
    /// The pause that its last answers led to, see [`calmer`].
    pub calm: Duration,
}

/// The pause before the next question; `None` when there is nothing to ask: deletion cost means nothing
/// where there is one pod.
#[must_use]
pub fn pause(situation: &Situation) -> Option<Duration> {
    let urgent = |pause: Duration| (pause * (1 << situation.failures.min(4))).min(LONGEST_URGENT);
    match situation {
        Situation { answers: false, .. } => None,
        Situation { drains: true, .. } => Some(urgent(DRAINING)),
        Situation { rotates: true, .. } => Some(urgent(ROTATING)),
        Situation { siblings: 0 | 1, .. } => None,
        Situation { calm, .. } => Some(*calm),
    }
}

/// The pause that follows on `calm`.
#[must_use]
pub fn calmer(calm: Duration, changed: bool) -> Duration {
    if changed {
        SHORTEST
    } else {
        (calm * 2).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Situation = Situation {
        answers: true,
        drains: false,
        rotates: false,
        siblings: 2,
        failures: 0,
        calm: SHORTEST,
    };

    fn seconds(situation: Situation) -> Option<u64> {
        pause(&situation).map(|pause| pause.as_secs())
    }

    #[test]
    fn who_is_asked_and_how_often() {
        assert_eq!(seconds(PLAIN), Some(5));
        assert_eq!(seconds(Situation { siblings: 1, ..PLAIN }), None, "a lone pod");
        let rotates = Situation {
            rotates: true,
            siblings: 1,
            ..PLAIN
        };
        assert_eq!(seconds(rotates), Some(3), "a lone pod in a rotation");
        assert_eq!(
            seconds(Situation {
                drains: true,
                siblings: 0,
                ..PLAIN
            }),
            Some(2)
        );
        assert_eq!(
            seconds(Situation {
                answers: false,
                drains: true,
                ..PLAIN
            }),
            None
        );
        assert_eq!(
            seconds(Situation {
                failures: 9,
                drains: true,
                ..PLAIN
            }),
            Some(30)
        );
    }

    #[test]
    fn the_pause_doubles_to_a_minute_and_starts_anew_with_a_change() {
        let mut calm = Duration::ZERO;
        let pauses: Vec<_> = std::iter::repeat_with(|| {
            calm = calmer(calm, false);
            calm.as_secs()
        })
        .take(6)
        .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(calmer(calm, true), SHORTEST);
    }
}
