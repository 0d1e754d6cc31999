//! Reading metrics in the text format.

use std::collections::BTreeMap;

/// Counters and gauges of one scrape, by name with labels, such as `x_total{a="b"}`. What is no whole
/// number is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metrics {
    samples: BTreeMap<String, u64>,
}

impl Metrics {
    /// Reads the text format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect();
        Self { samples }
    }

    /// Sum over all label sets of `name` that contain each of `labels`, such as `kind="Service"`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let matches = |key: &str| {
            let (base, rest) = key.split_once('{').unwrap_or((key, ""));
            base == name && labels.iter().all(|label| rest.contains(label))
        };
        self.samples
            .iter()
            .filter(|(key, _)| matches(key))
            .map(|(_, value)| value)
            .sum()
    }

    /// All samples of `name`, for messages.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<(&str, u64)> {
        self.samples
            .iter()
            .filter(|(key, _)| key.starts_with(name))
            .map(|(k, v)| (k.as_str(), *v))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_label_sets() {
        let metrics = Metrics::parse(
            "# TYPE w counter\nw_total{kind=\"A\",verb=\"x\"} 2\nw_total{kind=\"B\"} 3\nup 1\nseconds_sum 0.5\n# EOF\n",
        );
        assert_eq!(metrics.sum("w_total", &[]), 5);
        assert_eq!(metrics.sum("w_total", &["kind=\"B\""]), 3);
        assert_eq!(metrics.sum("w", &[]), 0);
        assert_eq!(metrics.sum("up", &[]), 1);
    }
}
