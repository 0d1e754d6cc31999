//! How much each client may do: messages a second, and calls of each tool.
//!
//! A client is a principal, or without tokens an address ([`crate::http::client`]). Counted is in this process
//! ([`local`]) and, with `LIMITS_URL`, in a store that all replicas share ([`store`]): what is too much for one
//! replica is too much for all of them, so the store is asked only about what passes here, and while it is away
//! what is counted here decides.

mod local;
pub mod quota;
pub mod store;

use std::{sync::Arc, time::Duration};

use self::{local::Local, quota::Quota, store::Store};
use crate::{
    config::{LimitSettings, ToolQuotas},
    http::client::Client,
    metrics::Metrics,
};

/// The label under which messages are counted.
const MESSAGES: &str = "messages";

/// What calls of tools that do not exist are counted under.
const OTHER: &str = "other";

/// The limits of a server. Clones share what is counted.
#[derive(Debug, Clone)]
pub struct Limits {
    messages: Option<Arc<Limit>>,
    tools: ToolQuotas,
    counter: Counter,
}

/// The limits of a server's tools.
#[derive(Debug)]
pub struct ToolLimits {
    /// By name.
    tools: Vec<(&'static str, Option<Limit>)>,
    /// For names that no tool has.
    other: Option<Limit>,
    counter: Counter,
}

/// What counts.
#[derive(Debug, Clone)]
struct Counter {
    store: Option<Arc<Store>>,
    metrics: Metrics,
}

/// One too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many; try again in {} s", seconds(*wait))]
pub struct Exceeded {
    /// How long to wait.
    pub wait: Duration,
}

/// A quota with a name.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    quota: Quota,
    local: Local,
}

impl Limit {
    fn new(name: &'static str, quota: Option<Quota>) -> Option<Self> {
        let quota = quota?;
        Local::new(quota).map(|local| Self { name, quota, local })
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
#[must_use]
pub fn seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.max(1)
}

impl Limits {
    /// The limits of an HTTP server. With a store, a task keeps the connection to it, until the last clone is gone.
    #[must_use]
    pub fn http(settings: &LimitSettings, metrics: Metrics) -> Self {
        let store = settings
            .store
            .as_ref()
            .map(|url| Store::open(url, settings.store_answer, metrics.clone()));
        Self {
            messages: Limit::new(MESSAGES, Quota::per_second(settings.messages)).map(Arc::new),
            tools: settings.tools.clone(),
            counter: Counter {
                store: store.map(Arc::new),
                metrics,
            },
        }
    }

    /// The limits of a server on stdio: its one client is limited only where somebody asked for it.
    #[must_use]
    pub fn stdio(settings: &LimitSettings, metrics: Metrics) -> Self {
        let tools = Some(&settings.tools).filter(|tools| tools.asked_for);
        Self {
            messages: None,
            tools: tools.cloned().unwrap_or_default(),
            counter: Counter { store: None, metrics },
        }
    }

    /// Whether messages are limited.
    #[must_use]
    pub fn messages(&self) -> bool {
        self.messages.is_some()
    }

    /// Whether calls of any tool may be.
    #[must_use]
    pub fn tools(&self) -> bool {
        self.tools.any()
    }

    /// The limits of these tools.
    #[must_use]
    pub fn of_tools(&self, names: &[&'static str]) -> ToolLimits {
        for name in self.tools.names() {
            if !names.contains(&name) {
                tracing::warn!(tool = name, "TOOL_LIMITS names a tool that is not offered here");
            }
        }
        let tools = names
            .iter()
            .map(|name| (*name, Limit::new(name, self.tools.of(name))));
        ToolLimits {
            tools: tools.collect(),
            other: Limit::new(OTHER, self.tools.others),
            counter: self.counter.clone(),
        }
    }

    /// Counts one message.
    ///
    /// # Errors
    /// When it is one too many.
    pub async fn message(&self, client: &Client) -> Result<(), Exceeded> {
        match &self.messages {
            Some(limit) => self.counter.count(limit, client, &[("limit", MESSAGES)]).await,
            None => Ok(()),
        }
    }
}

impl ToolLimits {
    /// Counts one call of a tool; all that do not exist are one.
    ///
    /// # Errors
    /// When it is one too many.
    pub async fn call(&self, tool: &str, client: &Client) -> Result<(), Exceeded> {
        let known = self.tools.iter().find(|(name, _)| *name == tool);
        match known.map_or(&self.other, |(_, limit)| limit) {
            Some(limit) => {
                let labels = [("limit", "tool"), ("tool", limit.name)];
                self.counter.count(limit, client, &labels).await
            }
            None => Ok(()),
        }
    }
}

impl Counter {
    async fn count(
        &self,
        limit: &Limit,
        client: &Client,
        labels: &[(&'static str, &'static str)],
    ) -> Result<(), Exceeded> {
        let mut counted = limit.local.check(client);
        if let (Ok(()), Some(store)) = (counted, &self.store)
            && let Some(shared) = store.check(limit.name, limit.quota, client).await
        {
            counted = shared;
        }
        counted.map_err(|wait| {
            self.metrics
                .access
                .rate_limited
                .get_or_create(&labels.into())
                .inc();
            Exceeded { wait }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Settings, http::principal::Principal};

    fn settings(tools: &str) -> LimitSettings {
        let settings = Settings::read(|name| match name {
            "TOOL_LIMITS" => Some(tools.to_owned()),
            _ => None,
        });
        settings.expect("valid settings").limits
    }

    async fn served(limits: &ToolLimits, tool: &str, client: &Client) -> usize {
        let mut served = 0;
        while limits.call(tool, client).await.is_ok() {
            served += 1;
            assert!(served < 1000, "no limit");
        }
        served
    }

    #[tokio::test]
    async fn each_tool_and_client_has_a_quota_of_its_own_and_unknown_tools_share_one() {
        let settings = settings("a=3/hour, b=5/hour, *=7/hour, free=0");
        let limits = Limits::http(&settings, Metrics::new().0);
        let limits = limits.of_tools(&["a", "b", "c", "free"]);
        let [alice, bob] = ["alice", "bob"].map(|name| Client::known(Principal::named(name)));
        for (tool, expected) in [("a", 3), ("b", 5), ("c", 7), ("none", 7), ("nor this", 0)] {
            assert_eq!(served(&limits, tool, &alice).await, expected, "{tool}");
        }
        assert_eq!(served(&limits, "a", &bob).await, 3);
        for _ in 0..1000 {
            assert_eq!(limits.call("free", &bob).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn stdio_is_limited_where_somebody_asked_for_it() {
        let client = Client::known(Principal::ANONYMOUS);
        let none = Settings::read(|_| None).expect("defaults").limits;
        assert!(!Limits::stdio(&none, Metrics::new().0).tools());
        let limits = Limits::stdio(&settings("a=2/hour"), Metrics::new().0).of_tools(&["a"]);
        assert_eq!(served(&limits, "a", &client).await, 2);
    }

    #[test]
    fn a_wait_is_rounded_up() {
        for (millis, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }
}
