//! Who was not served: tokens and limits.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Labels;

/// What `/metrics` shows of tokens and limits.
#[derive(Debug, Default)]
pub struct AccessMetrics {
    /// Requests refused for want of a right, by `cause`.
    pub refused: Family<Labels, Counter>,
    /// Times the issuer's keys were asked for, by `outcome`.
    pub key_refreshes: Family<Labels, Counter>,
    /// Messages and calls above a limit, by `limit` (messages, tool) and `tool`.
    pub rate_limited: Family<Labels, Counter>,
    /// Questions that the limits' store did not answer, by `cause`.
    pub store_failures: Family<Labels, Counter>,
    /// 1 for what the limits' store is, by `state`: up, away. Empty without one.
    store: Family<Labels, Gauge>,
}

impl AccessMetrics {
    /// Says whether the limits' store answers.
    pub fn store_is(&self, up: bool) {
        for (state, now) in [("up", up), ("away", !up)] {
            self.store.get_or_create(&vec![("state", state)]).set(now.into());
        }
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "rate_limited",
            "Messages and tool calls refused by a limit",
            self.rate_limited.clone(),
        );
        r.register(
            "auth_refused",
            "Requests refused for want of a token or a right",
            self.refused.clone(),
        );
        r.register(
            "oidc_key_refreshes",
            "Times the issuer's keys were asked for",
            self.key_refreshes.clone(),
        );
        r.register(
            "limits_store",
            "1 for what the store that replicas share limits in is",
            self.store.clone(),
        );
        r.register(
            "limits_store_failures",
            "Questions that the limits' store did not answer",
            self.store_failures.clone(),
        );
    }
}
