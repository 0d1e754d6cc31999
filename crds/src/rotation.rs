//! When a key or token that the operator made is followed by another.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// When a token that the operator made is followed by another. An annotation asks for one at any time.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationSpec {
    /// Time from one to the next in hours, such as `720h`; at least `192h`. Unset: only on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 6), regex(pattern = "^[1-9][0-9]{2,4}h$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('192h')").message("rotateEvery: at least 192h, which is 8 days: the one before is accepted for 7 days, and goes before the next comes"))]
    pub rotate_every: Option<String>,
}

/// Fewest hours from one to the next: the one before is accepted as long as a session may live, which is 7 days.
pub const FEWEST_HOURS: u32 = 192;

/// The hours in `text`, such as `720h`; `None` if there are too few, or it is something else.
#[must_use]
pub fn hours(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('h').filter(|digits| digits.len() <= 5)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|hours| plain && *hours >= FEWEST_HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_whole_and_enough() {
        assert_eq!((hours("192h"), hours("99999h")), (Some(192), Some(99_999)));
        for bad in ["191h", "720", "720m", "+720h", "100000h", "h", "", "30d"] {
            assert_eq!(hours(bad), None, "{bad}");
        }
    }
}
