//! JSON Schemas that every client can read.
//!
//! schemars writes `"format": "uint32"`, which AJV warns about at each validation, and
//! `"type": ["string", "null"]` for an optional field, which the `OpenAPI` subset of some models refuses
//! (Inspector `--strict`). Here the former go, and the latter become plain types that may be left out.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value};

/// The schema of `T`, without references.
#[must_use]
pub fn of<T: JsonSchema>() -> Arc<JsonObject> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.transforms.push(Box::new(portable));
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut object = match schema.to_value() {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    // The type's own name and comment are for us; the tool has a title and a description.
    object.remove("title");
    object.remove("description");
    Arc::new(object)
}

fn portable(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        // First, since what it brings up is looked at below.
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        if object
            .get("format")
            .and_then(Value::as_str)
            .is_some_and(|format| {
                format.starts_with("int")
                    || format.starts_with("uint")
                    || matches!(format, "float" | "double")
            })
        {
            object.remove("format");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::String(text)) = object.get_mut("description") {
            // Doc comments are wrapped for readers of the source.
            *text = text.replace('\n', " ");
        }
        if let Some(values) = object.get("oneOf").and_then(constants) {
            object.remove("oneOf");
            object.insert("type".to_owned(), "string".into());
            object.insert("enum".to_owned(), values);
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
    }
    transform_subschemas(&mut portable, schema);
}

/// The values of an enum whose variants have comments, which schemars writes as a choice of constants.
fn constants(choices: &Value) -> Option<Value> {
    choices
        .as_array()?
        .iter()
        .map(|choice| choice.get("const").cloned())
        .collect::<Option<Vec<_>>>()
        .map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Everything {
        count: u32,
        amount: f64,
        maybe: Option<String>,
        nested: Option<Nested>,
        choice: Option<Choice>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Nested {
        flag: Option<bool>,
        number: Option<i64>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Choice {
        /// One.
        One,
        /// Two.
        Two,
    }

    #[test]
    fn no_formats_no_nulls_no_references() {
        let text = serde_json::to_string(&*of::<Everything>()).expect("JSON");
        for bad in ["\"format\"", "null", "$ref", "$defs", "anyOf", "oneOf"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
        assert!(text.contains(r#""enum":["One","Two"]"#), "{text}");
        assert!(text.contains(r#""required":["count","amount"]"#), "{text}");
    }
}
