//! When a server is asked again. Pure: chance is an argument.
//!
//! Nobody is asked at a fixed time, and a round takes a fifth of the interval less or more for each server, so that
//! servers that were made, or seen, together are soon asked apart.

use std::time::Duration;

/// A number by which times are spread: this is one whole.
pub const WHOLE: u32 = 1 << 16;

/// Longest wait for a second question after a first failure.
const AGAIN: Duration = Duration::from_secs(10);
/// Longest wait after a rollout has ended.
const SOON: Duration = Duration::from_secs(3);

/// The times that follow from one interval.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
}

impl Schedule {
    /// Everybody once in `interval`, at the latest.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval }
    }

    /// Before the first question to a server that was there before the operator: anywhere in the interval.
    #[must_use]
    pub fn first(&self, chance: u32) -> Duration {
        between(Duration::ZERO, self.interval, chance)
    }

    /// Before the next question after one that was answered, or failed again. With the time for a second
    /// question it is less than the interval.
    #[must_use]
    pub fn round(&self, chance: u32) -> Duration {
        between(self.interval * 7 / 10, self.interval * 9 / 10, chance)
    }

    /// Before the second question after a first failure, which may be a moment's.
    #[must_use]
    pub fn again(&self, chance: u32) -> Duration {
        let most = (self.interval / 20).min(AGAIN);
        between(most / 2, most, chance)
    }

    /// After a rollout, or a change of the spec that needs none.
    #[must_use]
    pub fn soon(&self, chance: u32) -> Duration {
        let most = (self.interval / 10).min(SOON);
        between(most / 3, most, chance)
    }
}

fn between(least: Duration, most: Duration, chance: u32) -> Duration {
    least + (most.saturating_sub(least) * (chance % WHOLE)) / WHOLE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_broken_server_is_told_within_one_interval(
            seconds in 1_u64..100_000, chance in 0..WHOLE, second in 0..WHOLE,
        ) {
            let schedule = Schedule::new(Duration::from_secs(seconds));
            let interval = Duration::from_secs(seconds);
            prop_assert!(schedule.first(chance) <= interval);
            prop_assert!(schedule.round(chance) + schedule.again(second) < interval);
            prop_assert!(schedule.round(chance) >= interval / 2, "and is not asked all the time");
            prop_assert!(schedule.soon(chance) <= Duration::from_secs(3));
        }
    }

    /// Ten thousand servers that an operator finds at its start, for an hour: no second has much more than its share,
    /// whether they answer or fail.
    #[test]
    fn ten_thousand_servers_make_no_storm() {
        const SERVERS: u32 = 10_000;
        let schedule = Schedule::new(Duration::from_mins(5));
        let mut chance = 1_u32;
        let mut draw = move || {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            chance >> 16
        };
        let mut seconds = vec![0_u32; 3600];
        for server in 0..SERVERS {
            let mut at = schedule.first(draw());
            let mut failed = false;
            while let Some(second) = seconds.get_mut(usize::try_from(at.as_secs()).unwrap()) {
                *second += 1;
                failed = server % 10 == 0 && !failed;
                at += if failed {
                    schedule.again(draw())
                } else {
                    schedule.round(draw())
                };
            }
        }
        let fair = f64::from(seconds.iter().sum::<u32>()) / 3600.0;
        let most = *seconds.iter().max().unwrap();
        assert!((35.0..60.0).contains(&fair), "{fair} a second");
        assert!(
            f64::from(most) < fair * 2.5,
            "{most} in one second, {fair} on average"
        );
    }
}
