//! Words for generators of JSON: what is left out is `null` here, and not in an object that is made.

use std::{collections::BTreeSet, ops::Range, ops::RangeInclusive};

use proptest::{collection::vec, prelude::*, strategy::Union, string::string_regex};
use serde_json::{Map, Value, json};

/// A generator of JSON.
pub type Any = BoxedStrategy<Value>;

/// An object of these fields.
pub(crate) fn object<const N: usize>(fields: [(&'static str, Any); N]) -> Any {
    fields_of(fields.into()).boxed()
}

/// The same, for a list of fields that is put together.
pub(crate) fn fields_of(fields: Vec<(&'static str, Any)>) -> impl Strategy<Value = Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    values.prop_map(move |values| {
        let fields = names.iter().zip(values).filter(|(_, value)| !value.is_null());
        Value::Object(fields.map(|(name, value)| ((*name).to_owned(), value)).collect())
    })
}

/// Half the time.
pub(crate) fn maybe(any: Any) -> Any {
    prop_oneof![Just(Value::Null), any].boxed()
}

/// Seldom, for what is large.
pub(crate) fn seldom(any: Any) -> Any {
    prop_oneof![3 => Just(Value::Null), 1 => any].boxed()
}

/// One of these generators.
pub(crate) fn one_of<const N: usize>(all: [Any; N]) -> Any {
    Union::new(all).boxed()
}

/// This value.
pub(crate) fn just(value: Value) -> Any {
    Just(value).boxed()
}

/// One of these words.
pub(crate) fn words(all: &[&str]) -> Any {
    Union::new(all.iter().map(|word| Just(json!(word)))).boxed()
}

/// A text by a regular expression.
pub(crate) fn text(pattern: &str) -> Any {
    string_regex(pattern)
        .expect("a regular expression")
        .prop_map(Value::String)
        .boxed()
}

/// A number.
pub(crate) fn number(range: RangeInclusive<i64>) -> Any {
    range.prop_map(Value::from).boxed()
}

/// `true` or `false`.
pub(crate) fn yes_or_no() -> Any {
    any::<bool>().prop_map(Value::from).boxed()
}

/// A list; `null` when it is empty.
pub(crate) fn list(item: Any, length: Range<usize>) -> Any {
    keyed(&[], item, length)
}

/// A list without two items of which all of `keys` are the same.
pub(crate) fn keyed(keys: &'static [&'static str], item: Any, length: Range<usize>) -> Any {
    vec(item, length)
        .prop_map(move |items| {
            let mut seen = BTreeSet::new();
            let key = |item: &Value| {
                if keys.is_empty() {
                    item.to_string()
                } else {
                    keys.iter().map(|key| item[*key].to_string() + " ").collect()
                }
            };
            let distinct: Vec<_> = items.into_iter().filter(|item| seen.insert(key(item))).collect();
            if distinct.is_empty() {
                Value::Null
            } else {
                Value::Array(distinct)
            }
        })
        .boxed()
}

/// A map of texts; `null` when it is empty.
pub(crate) fn map_of(key: &str, value: &str, size: Range<usize>) -> Any {
    let entries = vec(
        (
            string_regex(key).expect("a regular expression"),
            string_regex(value).expect("a regular expression"),
        ),
        size,
    );
    entries
        .prop_map(|entries| {
            if entries.is_empty() {
                return Value::Null;
            }
            let entries = entries.into_iter().map(|(key, value)| (key, json!(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        })
        .boxed()
}

/// Changes what another generates.
pub(crate) fn then(any: Any, change: impl Fn(&mut Value) + 'static) -> Any {
    any.prop_map(move |mut value| {
        change(&mut value);
        value
    })
    .boxed()
}
