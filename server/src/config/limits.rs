//! Settings of the limits.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use super::source::Reader;
use crate::{
    http::proxies::{self, Proxies},
    limits::{
        quota::{self, Quota},
        store::{self, StoreUrl},
    },
};

/// Of so many messages one may call the same tool, unless `TOOL_LIMITS` says otherwise: whoever raises, lowers or turns
/// off the limit of messages means this one too.
const MESSAGES_A_CALL: u32 = 2;

/// How much each client may do.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Messages a second over HTTP; 0 for no limit.
    pub messages: u32,
    /// Calls of tools.
    pub tools: ToolQuotas,
    /// Where replicas count together; `None` if each counts for itself.
    pub store: Option<StoreUrl>,
    /// How long a request waits for that. No variable sets it.
    pub store_answer: Duration,
    /// Who is believed to say whom a request comes from.
    pub proxies: Proxies,
}

/// A quota a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolQuotas {
    /// Of every tool that is not named.
    pub others: Option<Quota>,
    /// Of those that are; `None` for no limit.
    named: BTreeMap<String, Option<Quota>>,
    /// Whether somebody set them.
    pub asked_for: bool,
}

impl ToolQuotas {
    /// The quota of one tool.
    #[must_use]
    pub fn of(&self, tool: &str) -> Option<Quota> {
        self.named.get(tool).copied().unwrap_or(self.others)
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.others.is_some() || self.named.values().any(Option::is_some)
    }

    /// The tools that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

impl LimitSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let messages: u32 = reader.parse("RATE_LIMIT", 100, |text| {
            text.parse()
                .ok()
                .filter(|limit| *limit <= 1_000_000)
                .ok_or_else(|| "use messages a second for each client, from 0 (off) to 1000000".to_owned())
        });
        let calls = NonZeroU32::new(messages.div_ceil(MESSAGES_A_CALL));
        let others = calls.map(|calls| Quota::new(calls, Duration::from_secs(1)));
        let proxies = reader
            .list("TRUSTED_PROXIES", proxies::network)
            .unwrap_or_default();
        Self {
            messages,
            tools: tools(reader, others),
            store: store_url(reader),
            store_answer: store::ANSWER,
            proxies: Proxies::new(proxies),
        }
    }
}

fn tools(reader: &mut Reader<'_>, others: Option<Quota>) -> ToolQuotas {
    let given = reader.list("TOOL_LIMITS", |item| {
        let (name, quota) = item
            .split_once('=')
            .ok_or("use TOOL=LIMIT, such as search_jobs=10/s, or *=60/minute for the other tools")?;
        let quota = quota::parse(quota).map_err(|error| error.to_string())?;
        let name = name.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name == "*" || (!name.is_empty() && name.bytes().all(plain)) {
            Ok((name.to_owned(), quota))
        } else {
            Err("this is no tool's name".to_owned())
        }
    });
    let asked_for = given.is_some();
    let mut named: BTreeMap<_, _> = given.into_iter().flatten().collect();
    ToolQuotas {
        others: named.remove("*").unwrap_or(others),
        named,
        asked_for,
    }
}

fn store_url(reader: &mut Reader<'_>) -> Option<StoreUrl> {
    let url = StoreUrl::parse(&reader.get("LIMITS_URL")?);
    url.map_err(|advice| reader.reject("LIMITS_URL", None, advice))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn read(pairs: &[(&str, &str)]) -> Result<LimitSettings, String> {
        let settings = Settings::read(|name| {
            let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        });
        match settings {
            Ok(settings) => Ok(settings.limits),
            Err(invalid) => Err(invalid.to_string()),
        }
    }

    #[test]
    fn every_tool_is_limited_unless_limits_are_off() {
        let every = "50/s".parse().ok();
        let defaults = read(&[]).expect("defaults");
        assert_eq!((defaults.messages, defaults.tools.of("any")), (100, every));
        assert!(!defaults.tools.asked_for && defaults.store.is_none());
        for (messages, calls) in [("1", "1/s"), ("5000", "2500/s")] {
            let tools = read(&[("RATE_LIMIT", messages)]).expect(messages).tools;
            assert_eq!(tools.of("any"), calls.parse().ok(), "{messages}");
        }
        let off = read(&[("RATE_LIMIT", "0")]).expect("off").tools;
        assert_eq!(off.of("any"), None);
        let some = read(&[("RATE_LIMIT", "0"), ("TOOL_LIMITS", "a=1/s")])
            .expect("one")
            .tools;
        assert_eq!((some.of("a").is_some(), some.of("b")), (true, None));
        let some = read(&[("TOOL_LIMITS", "a=0, b = 60/minute")]).expect("two").tools;
        assert_eq!(
            (some.of("a"), some.of("b"), some.of("c")),
            (None, "60/minute".parse().ok(), every)
        );
        let all = read(&[("TOOL_LIMITS", "*=0")]).expect("none").tools;
        assert!(all.asked_for && all.of("a").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_is_shown() {
        for (variable, value, advice) in [
            ("TOOL_LIMITS", "search_jobs", "use TOOL=LIMIT"),
            ("TOOL_LIMITS", "search_jobs=10", "such as 10/s"),
            ("TOOL_LIMITS", "a b=1/s", "no tool's name"),
            (
                "TRUSTED_PROXIES",
                "10.0.0.0/8, ingress",
                "\"ingress\": use an address or a network",
            ),
            (
                "LIMITS_URL",
                "amqp://alice:s3cret@queue",
                "LIMITS_URL: use redis://",
            ),
        ] {
            let told = read(&[(variable, value)]).expect_err(value);
            assert!(told.contains(advice) && !told.contains("s3cret"), "{told}");
        }
    }
}
