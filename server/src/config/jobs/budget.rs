//! How many requests a paid key may be used for.

use std::time::Duration;

/// So many requests in so long a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests, at least one.
    pub requests: u32,
    /// The time that they are for.
    pub period: Period,
}

/// A time that a budget is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days.
    Month,
}

impl Budget {
    /// More than people search for, and less than a loop does.
    pub(super) const DEFAULT: Self = Self {
        requests: 1000,
        period: Period::Hour,
    };
}

impl Period {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// As in "100 requests an hour".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// How long it is.
    #[must_use]
    pub fn duration(self) -> Duration {
        const MINUTE: u64 = 60;
        Duration::from_secs(match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Month => 30 * 24 * 60 * MINUTE,
        })
    }
}

/// Reads `100/hour`; `0` and `off` mean no limit.
pub(super) fn parse(text: &str) -> Result<Option<Budget>, String> {
    if text == "0" || text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let budget = || {
        let (requests, period) = text.split_once('/')?;
        let requests = requests.trim().parse().ok().filter(|&requests| requests > 0)?;
        let period = Period::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(period.trim()))?;
        Some(Budget { requests, period })
    };
    budget()
        .map(Some)
        .ok_or_else(|| "use a number and minute, hour, day or month, like 100/hour; or off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_and_a_time() {
        for (text, requests, seconds) in [
            ("100/hour", 100, 3600),
            (" 1 / Day ", 1, 86_400),
            ("200/month", 200, 30 * 86_400),
        ] {
            let budget = parse(text.trim()).expect("valid").expect("a budget");
            assert_eq!(
                (budget.requests, budget.period.duration().as_secs()),
                (requests, seconds)
            );
        }
        assert_eq!(parse("off"), Ok(None));
        for bad in ["100", "0/hour", "-1/hour", "100/year", "many/hour", "/hour"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
