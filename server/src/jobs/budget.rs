//! How often a paid key is used, at most.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::Budget;

/// Counts requests against a budget. A period begins with the first request after the one before is over, so
/// that a plan whose months begin some other day is overdrawn by one budget at most.
#[derive(Debug)]
pub(super) struct Spending {
    budget: Option<Budget>,
    /// When the period began, and requests since.
    period: Mutex<Option<(Instant, u32)>>,
}

/// It is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) budget: Budget,
    /// Until there will be more.
    pub(super) wait: Duration,
}

impl Spending {
    /// Nothing is spent yet; without a budget nothing ever is.
    pub(super) fn new(budget: Option<Budget>) -> Self {
        Self {
            budget,
            period: Mutex::default(),
        }
    }

    /// Takes one request out of the budget.
    pub(super) fn take(&self) -> Result<(), Spent> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Spent> {
        let Some(budget) = self.budget else { return Ok(()) };
        let lasting = budget.period.duration();
        let mut period = self.period.lock();
        match &mut *period {
            Some((began, requests)) if now.saturating_duration_since(*began) < lasting => {
                if *requests >= budget.requests {
                    let wait = lasting.saturating_sub(now.saturating_duration_since(*began));
                    return Err(Spent { budget, wait });
                }
                *requests += 1;
            }
            over => *over = Some((now, 1)),
        }
        Ok(())
    }
}

/// A time as people say it, rounded up: "23 minutes".
pub(super) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let (count, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5_400 => (seconds.div_ceil(60), "minute"),
        5_401..=172_800 => (seconds.div_ceil(3_600), "hour"),
        _ => (seconds.div_ceil(86_400), "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn a_budget_is_spent_and_there_is_more_when_its_time_is_over() {
        let budget = Budget {
            requests: 2,
            period: Period::Hour,
        };
        let spending = Spending::new(Some(budget));
        let start = Instant::now();
        let minutes = |minutes: u64| start + Duration::from_mins(minutes);
        assert_eq!(spending.take_at(start), Ok(()));
        assert_eq!(spending.take_at(minutes(10)), Ok(()));
        let spent = spending.take_at(minutes(20)).expect_err("spent");
        assert_eq!(spent.wait, Duration::from_mins(40));
        assert_eq!(spending.take_at(minutes(60)), Ok(()));
        assert_eq!(spending.take_at(minutes(61)), Ok(()));
        assert!(
            spending.take_at(minutes(62)).is_err(),
            "the next hour has its own budget"
        );
        let unlimited = Spending::new(None);
        assert!((0..1000).all(|_| unlimited.take().is_ok()));
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        for (seconds, said) in [
            (1, "1 second"),
            (90, "90 seconds"),
            (1_341, "23 minutes"),
            (7_000, "2 hours"),
            (864_000, "10 days"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), said);
        }
    }
}
