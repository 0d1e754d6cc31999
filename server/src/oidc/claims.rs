//! What a token says.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::Scope;

/// The longest name of a person or program.
const MAX_SUBJECT: usize = 1024;

/// The claims that are looked at; audience and time are the JWT library's.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    /// Who made it; one text, not several.
    pub(super) iss: String,
    /// When it ends, in seconds since 1970. Some issuers write fractions.
    #[serde(deserialize_with = "whole")]
    pub(super) exp: u64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Rust's casts stop at the smallest and the largest, and a token of the year 10^11 may end then"
)]
fn whole<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    f64::deserialize(from).map(|seconds| seconds as u64)
}

impl Claims {
    /// A claim that is a text, and names somebody.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        let text = self.rest.get(claim)?.as_str()?;
        (!text.is_empty() && text.len() <= MAX_SUBJECT).then_some(text)
    }

    /// Whether it allows all of this.
    pub(super) fn allows(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| scope.is_in(self.granted()))
    }

    /// `scope` is RFC 9068's, a text; `scp`, a text or a list, is what two large issuers write.
    fn granted(&self) -> impl Iterator<Item = &str> {
        let claims = ["scope", "scp"]
            .into_iter()
            .filter_map(|name| self.rest.get(name));
        claims.flat_map(|claim| {
            let listed = claim.as_array().into_iter().flatten().filter_map(Value::as_str);
            claim
                .as_str()
                .into_iter()
                .chain(listed)
                .flat_map(|text| text.split(' '))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(more: &Value) -> Claims {
        let mut all = json!({ "iss": "i", "exp": 1.5 });
        let all_map = all.as_object_mut().expect("an object");
        all_map.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(all).expect("claims")
    }

    #[test]
    fn whose_it_is() {
        assert_eq!(claims(&json!({ "sub": "alice" })).text("sub"), Some("alice"));
        for bad in [
            json!({}),
            json!({ "sub": "" }),
            json!({ "sub": 7 }),
            json!({ "sub": ["alice"] }),
        ] {
            assert_eq!(claims(&bad).text("sub"), None, "{bad}");
        }
        assert_eq!(claims(&json!({ "sub": "a".repeat(1025) })).text("sub"), None);
    }

    #[test]
    fn what_it_allows() {
        for (claim, granted) in [
            (json!({ "scope": "a b" }), vec!["a", "b"]),
            (json!({ "scp": ["a", "b c"] }), vec!["a", "b", "c"]),
            (json!({ "scp": "a", "scope": "b" }), vec!["b", "a"]),
            (json!({ "scope": { "a": true } }), vec![]),
        ] {
            assert_eq!(claims(&claim).granted().collect::<Vec<_>>(), granted);
        }
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(claims(&json!({})).exp, 1);
        assert_eq!(claims(&json!({ "exp": 1e300 })).exp, u64::MAX);
        assert_eq!(claims(&json!({ "exp": -5 })).exp, 0);
    }
}
