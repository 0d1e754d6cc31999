//! How much is allowed: so many at once, and as many again in each unit of time.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// The most that one quota may allow; beyond it there is no point in counting.
const MAX_COUNT: u32 = 1_000_000;

/// A quota, such as `10/s`: `at_once` may come together, and one more every `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    every: Duration,
    at_once: NonZeroU32,
}

impl Quota {
    /// `per_second` in a second, and twice that at once; `None` for 0, which is no limit.
    #[must_use]
    pub fn per_second(per_second: u32) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        Some(Self {
            every: Duration::from_secs(1) / per_second,
            at_once: rate.saturating_add(per_second),
        })
    }

    /// `count` at once, and as many again in each `unit`.
    #[must_use]
    pub fn new(count: NonZeroU32, unit: Duration) -> Self {
        Self {
            every: unit / count.get(),
            at_once: count,
        }
    }

    /// The time after which one more is allowed.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// How many may come together.
    #[must_use]
    pub fn at_once(&self) -> NonZeroU32 {
        self.at_once
    }

    /// As governor has it.
    pub(super) fn governed(&self) -> Option<governor::Quota> {
        governor::Quota::with_period(self.every).map(|quota| quota.allow_burst(self.at_once))
    }
}

/// A quota that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a number for each second, minute or hour, such as 10/s, 60/minute or 500/hour; 0 is no limit")]
pub struct NoQuota;

/// What a text allows; `None` where it is no limit.
///
/// # Errors
/// When it is no quota.
pub fn parse(text: &str) -> Result<Option<Quota>, NoQuota> {
    match text.trim() {
        "0" => Ok(None),
        text => text.parse().map(Some),
    }
}

impl FromStr for Quota {
    type Err = NoQuota;

    fn from_str(text: &str) -> Result<Self, NoQuota> {
        let (count, unit) = text.split_once('/').ok_or(NoQuota)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| NoQuota)?;
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "s" | "sec" | "second" => Duration::from_secs(1),
            "m" | "min" | "minute" => Duration::from_mins(1),
            "h" | "hour" => Duration::from_hours(1),
            _ => return Err(NoQuota),
        };
        if count.get() > MAX_COUNT {
            return Err(NoQuota);
        }
        Ok(Self::new(count, unit))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at once, then one every {:?}", self.at_once, self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        for (text, at_once, every) in [
            ("10/s", 10, Duration::from_millis(100)),
            ("60/minute", 60, Duration::from_secs(1)),
            (" 1 / MIN ", 1, Duration::from_mins(1)),
            ("3600/hour", 3600, Duration::from_secs(1)),
        ] {
            let quota = parse(text).expect(text).expect("a limit");
            assert_eq!((quota.at_once().get(), quota.every()), (at_once, every), "{text}");
        }
        assert_eq!(parse("0"), Ok(None));
        for bad in [
            "",
            "10",
            "0/s",
            "-1/s",
            "10/day",
            "10/",
            "/s",
            "1000001/s",
            "1.5/s",
        ] {
            assert_eq!(parse(bad), Err(NoQuota), "{bad}");
        }
    }
}
