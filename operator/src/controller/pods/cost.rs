//! `pod-deletion-cost` from a pod's open sessions, so that a scale-down takes the emptiest pod first.

/// The annotation that the `ReplicaSet` controller ranks pods by when it has to delete some.
pub const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Greatest power of two that an `i32`, which is what the annotation holds, can be.
const GREATEST_EXPONENT: u32 = 30;

/// What the annotation says now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Annotated {
    /// Nothing, which counts as 0.
    Absent,
    /// A number.
    Cost(i32),
    /// Something that is none; the `ReplicaSet` controller takes it as 0.
    Unreadable,
}

impl Annotated {
    /// Reads the annotation.
    #[must_use]
    pub fn parse(value: Option<&str>) -> Self {
        match value.map(str::parse) {
            None => Self::Absent,
            Some(Ok(cost)) => Self::Cost(cost),
            Some(Err(_)) => Self::Unreadable,
        }
    }
}

/// Sessions rounded down to a power of two, zero apart: few values, so that few writes follow a number that
/// changes all the time.
#[must_use]
pub fn rounded(sessions: u32) -> i32 {
    match sessions.checked_ilog2() {
        None => 0,
        Some(exponent) => 1 << exponent.min(GREATEST_EXPONENT),
    }
}

/// The cost to write for a pod with `sessions`; `None` when what stands there says the same.
#[must_use]
pub fn to_write(now: Annotated, sessions: u32) -> Option<i32> {
    let wanted = rounded(sessions);
    match now {
        Annotated::Absent if wanted == 0 => None,
        Annotated::Cost(cost) if cost == wanted => None,
        _ => Some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn costs_of_some_numbers() {
        for (sessions, cost) in [(0, 0), (1, 1), (2, 2), (3, 2), (20, 16), (90, 64), (400, 256)] {
            assert_eq!(rounded(sessions), cost, "{sessions} sessions");
        }
        assert_eq!(rounded(u32::MAX), 1 << 30, "the annotation is a signed number");
    }

    #[test]
    fn nothing_is_written_for_what_is_said_already() {
        assert_eq!(to_write(Annotated::Absent, 0), None);
        assert_eq!(to_write(Annotated::parse(Some("16")), 20), None);
        assert_eq!(
            to_write(Annotated::parse(Some("16")), 0),
            Some(0),
            "an old cost is taken back"
        );
        assert_eq!(to_write(Annotated::parse(Some("many")), 0), Some(0));
        assert_eq!(to_write(Annotated::parse(Some("many")), 5), Some(4));
        assert_eq!(to_write(Annotated::Absent, 5), Some(4));
    }

    proptest! {
        #[test]
        fn a_cost_never_ranks_a_fuller_pod_below_an_emptier_one(a: u32, b: u32) {
            let (emptier, fuller) = (a.min(b), a.max(b));
            prop_assert!(rounded(emptier) <= rounded(fuller));
        }

        #[test]
        fn a_cost_is_a_power_of_two_within_half_of_the_sessions(sessions in 1_u32..1 << 30) {
            let cost = u32::try_from(rounded(sessions)).unwrap();
            prop_assert!(cost.is_power_of_two());
            prop_assert!(cost <= sessions && sessions / 2 < cost);
        }

        #[test]
        fn an_empty_pod_stands_apart_from_every_other(sessions in 1_u32..) {
            prop_assert!(rounded(0) < rounded(sessions));
        }

        #[test]
        fn what_was_written_is_not_written_again(sessions: u32, before: Option<i32>) {
            let now = before.map_or(Annotated::Absent, Annotated::Cost);
            let after = to_write(now, sessions).map_or(now, Annotated::Cost);
            prop_assert_eq!(to_write(after, sessions), None);
        }
    }
}
