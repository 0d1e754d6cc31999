//! Which fields a schema has, and which of them a value uses.

use std::collections::BTreeSet;

use serde_json::Value;

/// The paths of all fields in an `OpenAPI` schema, such as `env[].valueFrom.fieldRef`, and `path=word` for each word of
/// an enum. Maps and objects of any content end a path.
#[must_use]
pub fn fields_of_schema(schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    schema_below(schema, "", &mut paths);
    paths
}

fn schema_below(schema: &Value, at: &str, paths: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = below(at, name);
        schema_below(field, &path, paths);
        paths.insert(path);
    }
    if schema["items"].is_object() {
        schema_below(&schema["items"], &format!("{at}[]"), paths);
    }
    for word in schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        paths.insert(format!("{at}={word}"));
    }
}

/// The paths that `value` uses, in the same form; every text is `path=text` too, for those that are words of an enum.
#[must_use]
pub fn fields_of_value(value: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    value_below(value, "", &mut paths);
    paths
}

fn value_below(value: &Value, at: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = below(at, name);
                value_below(field, &path, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| value_below(item, &format!("{at}[]"), paths)),
        Value::String(text) => {
            paths.insert(format!("{at}={text}"));
        }
        _ => {}
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_and_a_value_name_fields_alike() {
        let schema = json!({"properties": {
            "mode": {"enum": ["A", "B"]},
            "list": {"items": {"properties": {"name": {}, "map": {"additionalProperties": {}}}}},
        }});
        let value = json!({"mode": "B", "list": [{"name": "x"}, {"map": {"k": 1}}]});
        let (schema, value) = (fields_of_schema(&schema), fields_of_value(&value));
        let missing: Vec<_> = schema.difference(&value).collect();
        assert_eq!(missing, ["mode=A"]);
    }
}
