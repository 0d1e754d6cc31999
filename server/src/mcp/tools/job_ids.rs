//! Arguments that name jobs.

use rmcp::model::JsonObject;
use serde_json::Value;

use crate::mcp::resources::uri::{self, MOST_ID_BYTES};

/// The most jobs that one call is about.
pub(super) const MOST: usize = 20;

/// Why they were refused, in words for the model that wrote them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("Say which job: job_id is missing. It stands in what search_jobs answered.")]
    Missing,
    #[error("{0} must be a list of job ids, as search_jobs answered them, {MOST} at most.")]
    List(&'static str),
    #[error("A job_id is text of 1 to {MOST_ID_BYTES} bytes, as search_jobs answered it.")]
    Id,
}

/// `job_id`.
pub(super) fn one(arguments: &JsonObject) -> Result<String, Error> {
    match arguments.get("job_id") {
        None | Some(Value::Null) => Err(Error::Missing),
        Some(value) => id(value),
    }
}

/// A list of ids, each once; empty if it is missing. A single id does for a list, since models write that.
pub(super) fn list(arguments: &JsonObject, name: &'static str) -> Result<Vec<String>, Error> {
    let mut ids = match arguments.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values.iter().map(id).collect::<Result<_, _>>()?,
        Some(single @ Value::String(_)) => vec![id(single)?],
        Some(_) => return Err(Error::List(name)),
    };
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.len() > MOST {
        return Err(Error::List(name));
    }
    Ok(ids)
}

fn id(value: &Value) -> Result<String, Error> {
    value
        .as_str()
        .map(str::trim)
        .filter(|id| uri::is_id(id))
        .map(str::to_owned)
        .ok_or(Error::Id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(value: impl Into<Value>) -> Result<Vec<String>, Error> {
        let Value::Object(arguments) = json!({ "job_ids": value.into() }) else {
            panic!("an object")
        };
        list(&arguments, "job_ids")
    }

    #[test]
    fn ids_come_once_each_and_not_too_many() {
        assert_eq!(
            listed(json!(["a", " b ", "a"])),
            Ok(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(listed(json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(listed(json!(null)), Ok(vec![]));
        assert_eq!(listed(json!(7)), Err(Error::List("job_ids")));
        assert_eq!(listed(json!([7])), Err(Error::Id));
        assert_eq!(listed(json!([""])), Err(Error::Id));
        let many: Vec<_> = (0..=MOST).map(|number| number.to_string()).collect();
        assert_eq!(listed(json!(many)), Err(Error::List("job_ids")));
        assert_eq!(one(&JsonObject::new()), Err(Error::Missing));
    }
}
