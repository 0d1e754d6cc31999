//! A server's list of tools, reduced to what tells two of them apart. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use sha2::{Digest as _, Sha256};

/// Tools whose names are remembered, so that a lost one can be named.
const NAMES_MAX: usize = 256;
/// Longest name that is remembered, in bytes; MCP's own limit is 128 characters.
const NAME_BYTES: usize = 128;
/// Names that a note tells.
const TOLD_MAX: usize = 10;

/// A digest of a JSON value that does not depend on the order of its members, made while it is read: a schema
/// may have half a megabyte, and a tree of it several.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn of(kind: u8, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new().chain_update([kind]);
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        Self(first)
    }

    fn short(self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Fingerprint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Fingerprint, E> {
        Ok(Fingerprint::of(b'0', &[]))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Fingerprint, E> {
        Ok(Fingerprint::of(b'b', &[&[u8::from(value)]]))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Fingerprint, E> {
        Ok(Fingerprint::of(b'n', &[value.to_string().as_bytes()]))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Fingerprint, E> {
        Ok(Fingerprint::of(b'n', &[value.to_string().as_bytes()]))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Fingerprint, E> {
        // 1 and 1.0 are one number in JSON; as text they are "1" both.
        Ok(Fingerprint::of(b'n', &[value.to_string().as_bytes()]))
    }

    fn visit_str<E>(self, value: &str) -> Result<Fingerprint, E> {
        Ok(Fingerprint::of(b's', &[value.as_bytes()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Fingerprint, A::Error> {
        let mut parts = Vec::new();
        while let Some(Fingerprint(part)) = list.next_element()? {
            parts.extend(part);
        }
        Ok(Fingerprint::of(b'l', &[&parts]))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fingerprint, A::Error> {
        let mut members = Vec::new();
        while let Some((name, Fingerprint(value))) = map.next_entry::<String, Fingerprint>()? {
            members.push(Fingerprint::of(b'm', &[name.as_bytes(), &value]));
        }
        members.sort_unstable();
        if members.windows(2).any(|two| two[0] == two[1]) {
            return Err(A::Error::custom("a member stands there twice"));
        }
        let parts: Vec<u8> = members.into_iter().flat_map(|member| member.0).collect();
        Ok(Fingerprint::of(b'o', &[&parts]))
    }
}

/// A tool as `tools/list` gives it, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    name: String,
    #[serde(default)]
    input_schema: Option<Fingerprint>,
    #[serde(default)]
    output_schema: Option<Fingerprint>,
}

/// All tools of a server.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Tools {
    /// How many there are.
    pub count: u32,
    digest: Fingerprint,
    /// The first of them by name, each with a digest of its schemas.
    named: Box<[(Box<str>, u64)]>,
}

/// What became of a list of tools.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// One word for a metric: `lost`, `changed` or `added`, the worst of what happened.
    pub kind: &'static str,
    /// What happened, for people.
    pub note: String,
}

impl Tools {
    /// The list; its order does not matter.
    #[must_use]
    pub fn new(mut tools: Vec<Tool>) -> Self {
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = Vec::with_capacity(tools.len() * 16);
        let mut named = Vec::with_capacity(tools.len().min(NAMES_MAX));
        let count = u32::try_from(tools.len()).unwrap_or(u32::MAX);
        for tool in tools {
            let schema = |schema: Option<Fingerprint>| schema.unwrap_or_default().0;
            let (input, output) = (schema(tool.input_schema), schema(tool.output_schema));
            let print = Fingerprint::of(b't', &[tool.name.as_bytes(), &input, &output]);
            all.extend(print.0);
            if named.len() < NAMES_MAX {
                named.push((readable(&tool.name, NAME_BYTES).into(), print.short()));
            }
        }
        Self {
            count,
            digest: Fingerprint::of(b'T', &[&all]),
            named: named.into(),
        }
    }

    /// The digest as text.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:016x}", self.digest.short())
    }

    /// What happened on the way from `before` to these.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<Change> {
        if self.digest == before.digest {
            return None;
        }
        let names = |tools: &Self| -> BTreeMap<String, u64> {
            tools.named.iter().map(|(n, p)| (n.to_string(), *p)).collect()
        };
        let (old, new) = (names(before), names(self));
        let missing = |from: &BTreeMap<String, u64>, there: &BTreeMap<String, u64>| -> Vec<String> {
            from.keys()
                .filter(|name| !there.contains_key(*name))
                .cloned()
                .collect()
        };
        let altered = |(name, print): (&String, &u64)| {
            new.get(name)
                .is_some_and(|now| now != print)
                .then(|| name.clone())
        };
        let (lost, added) = (missing(&old, &new), missing(&new, &old));
        let changed: Vec<String> = old.iter().filter_map(altered).collect();
        let kind = match (lost.is_empty() && self.count >= before.count, changed.is_empty()) {
            (false, _) => "lost",
            (true, true) if !added.is_empty() => "added",
            (true, _) => "changed",
        };
        let parts = [("lost", lost), ("with another schema", changed), ("new", added)];
        let told = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<_> = told
            .map(|(what, names)| format!("; {what}: {}", list(&names)))
            .collect();
        let note = format!(
            "the server's list of tools is another: {} before, {} now{}",
            before.count,
            self.count,
            told.concat()
        );
        Some(Change { kind, note })
    }

    /// What happened since a list of which only number and digest are known.
    #[must_use]
    pub fn since_digest(&self, count: i32, digest: &str) -> Option<Change> {
        if self.digest() == digest {
            return None;
        }
        let kind = if i64::from(self.count) < i64::from(count) {
            "lost"
        } else {
            "changed"
        };
        let note = format!(
            "the server's list of tools is another: {count} before, {} now",
            self.count
        );
        Some(Change { kind, note })
    }
}

fn list(names: &[String]) -> String {
    let told = names
        .iter()
        .take(TOLD_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(TOLD_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// What somebody else's server wrote, fit for a status and a terminal: one line, at most `most` bytes.
#[must_use]
pub fn readable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for sign in text.trim().chars() {
        let sign = if sign.is_control()
            || matches!(sign, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            ' '
        } else {
            sign
        };
        if out.len() + sign.len_utf8() > most {
            break;
        }
        out.push(sign);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn tools(list: Value) -> Tools {
        Tools::new(serde_json::from_value(list).unwrap())
    }

    fn two() -> Value {
        json!([
            {"name": "a", "description": "one", "inputSchema": {"type": "object", "properties": {"x": {"type": "string"}}}},
            {"name": "b", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}},
        ])
    }

    #[test]
    fn what_is_another_list_and_what_is_not() {
        let before = tools(two());
        assert_eq!(tools(two()).since(&before), None);
        let mut same = two();
        same[0]["description"] = json!("another text");
        same.as_array_mut().unwrap().reverse();
        assert_eq!(tools(same).since(&before), None, "order and descriptions");

        let mut schema = two();
        schema[0]["inputSchema"]["properties"]["x"]["type"] = json!("integer");
        let change = tools(schema).since(&before).unwrap();
        assert_eq!(
            (change.kind, change.note.as_str()),
            (
                "changed",
                "the server's list of tools is another: 2 before, 2 now; with another schema: a"
            )
        );
        let mut output = two();
        output[1].as_object_mut().unwrap().remove("outputSchema");
        assert_eq!(tools(output).since(&before).unwrap().kind, "changed");

        let lost = tools(json!([two()[0], {"name": "c"}, {"name": "d"}]))
            .since(&before)
            .unwrap();
        assert_eq!(lost.kind, "lost");
        assert!(
            lost.note.ends_with("2 before, 3 now; lost: b; new: c, d"),
            "{}",
            lost.note
        );
        let added = before.since(&tools(json!([two()[0]]))).unwrap();
        assert_eq!((added.kind, added.note.ends_with("; new: b")), ("added", true));
    }

    #[test]
    fn a_list_of_before_the_operators_start_is_known_by_its_digest() {
        let now = tools(two());
        assert_eq!(now.since_digest(2, &now.digest()), None);
        assert_eq!(now.since_digest(3, "0").unwrap().kind, "lost");
        assert_eq!(now.since_digest(2, "0").unwrap().kind, "changed");
    }

    #[test]
    fn a_thousand_tools_cost_what_some_hundreds_do() {
        let many = |from: u32| {
            (from..from + 1000)
                .map(|n| json!({"name": format!("t{n:05}")}))
                .collect::<Vec<_>>()
        };
        let (first, second) = (tools(json!(many(0))), tools(json!(many(500))));
        assert_eq!((first.count, first.named.len()), (1000, NAMES_MAX));
        let note = second.since(&first).unwrap().note;
        assert!(note.len() < 600, "{note}");
    }

    #[test]
    fn what_a_server_writes_cannot_move_the_cursor() {
        assert_eq!(readable(" a\u{1b}[2Jb\nc\u{202e}d ", 100), "a [2Jb c d");
        assert_eq!(readable("ääää", 5), "ää");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) + 0.5)),
            "[a-c]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]{0,2}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    /// The same value with its members in the opposite order, as text.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let members = map.iter().rev();
                let members: Vec<_> = members
                    .map(|(name, value)| format!("{}: {}", json!(name), reversed(value)))
                    .collect();
                format!("{{{}}}", members.join(" , "))
            }
            Value::Array(list) => format!("[{}]", list.iter().map(reversed).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }

    fn print(text: &str) -> Fingerprint {
        serde_json::from_str(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_fingerprint_is_of_the_value_and_not_of_how_it_is_written(value in value(), other in value()) {
            let text = value.to_string();
            prop_assert_eq!(print(&text), print(&reversed(&value)));
            if value != other {
                prop_assert_ne!(print(&text), print(&other.to_string()));
            }
        }
    }
}
